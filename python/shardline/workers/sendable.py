"""Whether a user's functions can be sent to a process that is not a fork, and found there."""

import sys
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler

from shardline.errors import ShardlineTypeError
from shardline.reading.transform import Functions

Init = Callable[[int], None] | None
_CURE = "or give multiprocessing_context='fork'"


def check_found_again(functions: Functions, init: Init, method: str) -> None:
    """A new process imports a script's file again, but a notebook's cells are in none.

    Raises:
        ShardlineTypeError: A function is defined in a notebook or an interactive session.
    """
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) is not None or getattr(main, "__spec__", None) is not None:
        return
    for name, function in _named(functions, init):
        try:
            sent = bytes(ForkingPickler.dumps(function))
        except Exception:
            return  # `unsendable` says why, when the process is started
        if b"__main__" in sent:
            raise ShardlineTypeError(
                f"{name} ({function!r}) is defined in a notebook's cell or an interactive session, where a worker "
                f"process started by {method!r} cannot find it. Put it in a module and import it from there "
                f"(%%writefile in a cell makes one), {_CURE}"
            )


def unsendable(functions: Functions, init: Init, method: str, error: Exception) -> ShardlineTypeError:
    """Names the function that cannot be sent."""
    named = "transform, collate_fn or worker_init_fn"
    for name, function in _named(functions, init):
        try:
            ForkingPickler.dumps(function)
        except Exception:
            named = f"{name} ({function!r})"
            break
    return ShardlineTypeError(
        f"{named} cannot be sent to a worker process started by {method!r}: {error}. Define it at the top level of a "
        f"module (not as a lambda or inside a function), {_CURE}"
    )


def _named(functions: Functions, init: Init) -> Iterator[tuple[str, object]]:
    yield from functions._asdict().items()
    yield "worker_init_fn", init
