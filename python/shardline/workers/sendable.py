"""Whether a user's functions can be sent to a process that is not a fork, and found there."""

import pickle
import pickletools
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

from shardline.errors import ShardlineRuntimeError, ShardlineTypeError
from shardline.reading.transform import Functions

Init = Callable[[int], None] | None


class CannotLoad(Exception):
    """A function that was sent cannot be had in the new process: its name, and the traceback."""


class Sent:
    """Functions on their way to a process, each a pickle of its own, so that one that cannot be had there is named."""

    def __init__(self, functions: Functions, init: Init) -> None:
        self._functions: dict[str, Any] = dict(_named(functions, init))

    def __getstate__(self) -> dict[str, Any]:
        # Within the pickling of the process, where locks and queues of multiprocessing may be sent.
        return {name: bytes(ForkingPickler.dumps(function)) for name, function in self._functions.items()}

    def __setstate__(self, sent: dict[str, bytes]) -> None:
        self._functions = sent

    def load(self) -> tuple[Functions, Init]:
        """The functions, in the new process; CannotLoad where one raises or is not found."""
        found: dict[str, Any] = {}
        for name, function in self._functions.items():
            try:
                found[name] = pickle.loads(function) if isinstance(function, bytes) else function
            except (Exception, SystemExit):
                raise CannotLoad(name, traceback.format_exc()) from None
        init = found.pop("worker_init_fn")
        return Functions(**found), init


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
        if _mentions_main(sent):
            raise ShardlineTypeError(
                f"{name} ({function!r}) is defined in a notebook's cell or an interactive session, where a worker "
                f"process started by {method!r} cannot find it. Put it in a module and import it from there "
                f"(%%writefile in a cell makes one), {_CURE}"
            )


def _mentions_main(sent: bytes) -> bool:
    """Whether a pickle takes something out of `__main__`; what is pickled by value, as cloudpickle's is, does not."""
    names = (value for _, value, _ in pickletools.genops(sent) if isinstance(value, str))
    return any(name == "__main__" or name.startswith("__main__ ") for name in names)


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


def not_loaded(worker: str, method: str, name: str, said: str) -> ShardlineRuntimeError:
    """A function could be sent, but its process cannot make it again. `said`: the traceback there."""
    return ShardlineRuntimeError(
        f"{worker} could not load {name}:\n\n{said.strip()}\n\nA worker process started by {method!r} imports the "
        "function's module anew and looks the function up in it: define it at the top level of a module that can be "
        f"imported there, not under `if __name__ == '__main__':`, {_CURE}"
    )


def _named(functions: Functions, init: Init) -> Iterator[tuple[str, object]]:
    yield from functions._asdict().items()
    yield "worker_init_fn", init
