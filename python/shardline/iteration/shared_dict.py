"""What a dataset and its copies in the worker processes of a torch DataLoader tell each other: a small shared file.

The file has no name, and goes with the last process that holds it. Its descriptor is inherited by a fork, and sent
along when a dataset is pickled to start a process; any other pickle begins a board of its own.
"""

import fcntl
import json
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any

from shardline.workers.shared_memory import new_memory


class SharedDict:
    """A dict of plain values, shared. Every access reads it whole; `edit` also locks it and writes it back."""

    def __init__(self, handle: int | None = None) -> None:
        self._handle = new_memory(0) if handle is None else handle
        weakref.finalize(self, os.close, self._handle).atexit = False  # other threads may be using it

    def read(self) -> dict[str, Any]:
        """What stands there now."""
        size = os.fstat(self._handle).st_size
        text = os.pread(self._handle, size, 0) if size else b""
        return dict(json.loads(text)) if text else {}

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """The dict, to be changed in place; nobody else reads or writes meanwhile, and an exception changes nothing."""
        fcntl.lockf(self._handle, fcntl.LOCK_EX)
        try:
            values = self.read()
            yield values
            text = json.dumps(values).encode()
            os.pwrite(self._handle, text, 0)
            os.ftruncate(self._handle, len(text))
        finally:
            fcntl.lockf(self._handle, fcntl.LOCK_UN)

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._handle),)


def being_sent() -> bool:
    """Whether what is pickled now is an argument of a process that is being started."""
    return get_spawning_popen() is not None


def _received(handle: Any) -> SharedDict:
    return SharedDict(handle.detach())
