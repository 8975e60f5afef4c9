"""`python -m shardline.benchmark.server`: forks a process for every turn, from one that has imported what takes long.

A turn is then a process of its own, with its own memory and threads, and no import is timed. Turns come on standard
input and results go to standard output, pickled, each behind its length. It ends when its standard input does.
"""

import gc
import importlib
import os
import pickle
import select
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

from shardline.benchmark.turn import Failed, Turn

_PRELOADED = ("torch", "pyarrow.parquet", "pandas", "shardline")  # pyarrow imports pandas at its first to_numpy


def main() -> None:
    """Serves until the end of its input."""
    results = os.dup(1)
    os.dup2(2, 1)  # what a transform prints is no result
    warnings.simplefilter("ignore")
    for name in _PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    import torch

    # Torch's first jagged tensor imports its compiler, once in a process.
    torch.nested.nested_tensor_from_jagged(torch.zeros(1), torch.tensor([0, 1]))
    kinds = {kind: importlib.import_module(f"shardline.benchmark.{kind}_turn") for kind in ("loader", "loop", "pages")}
    gc.collect()
    gc.freeze()  # so that a fork does not copy what its collector looks at
    sys.path[:] = receive(0)
    send(results, "ready")
    while (asked := receive(0)) is not None:
        body, limit = asked
        send(results, _fork(kinds, body, limit))


def receive(descriptor: int) -> Any:
    """The next message; None at the end."""
    head = _read(descriptor, 8)
    return pickle.loads(_read(descriptor, int.from_bytes(head, "little"))) if head else None


def send(descriptor: int, message: Any) -> None:
    """Writes a message."""
    body = pickle.dumps(message)
    data = memoryview(len(body).to_bytes(8, "little") + body)
    while data:
        data = data[os.write(descriptor, data) :]


def _read(descriptor: int, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = os.read(descriptor, count - len(found))
        if not piece:
            return b""
        found += piece
    return found


def _fork(kinds: dict[str, Any], body: bytes, limit: float) -> Any:
    """The result of a turn in a fork, which has so many seconds."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)  # its workers, too, are ended by `_end`
        os.close(here)
        _perform(kinds, body, there)
    os.close(there)
    found: Any = Failed(f"no two batches within {limit:.3g} s")
    try:
        # The input's end, too: then nobody waits for the result.
        ready, _, _ = select.select([here, 0], [], [], limit)
        if here in ready:
            found = receive(here)
        if found is None:
            found = Failed("its process died; out of memory, perhaps")
    finally:
        os.close(here)
        _end(child)
    return found


def _end(child: int) -> None:
    for end in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            end(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _perform(kinds: dict[str, Any], body: bytes, there: int) -> NoReturn:
    """Does the turn in this process, and ends it."""
    try:
        turn: Turn = pickle.loads(body)
        found: Any = kinds[turn.kind].run(turn)
    except Exception as error:
        found = Failed(f"{type(error).__name__}: {error}")
    with suppress(OSError):
        send(there, found)
    os._exit(0)


if __name__ == "__main__":
    main()
