"""What a process says that fails before it is a worker, in memory that its caller reads when it has ended.

A new process imports the caller's main module before anything of ours: where that raises, there is a traceback, which
only goes to a terminal, and a notebook has none.
"""

import os
from multiprocessing.reduction import DupFd
from typing import Any

from shardline.workers.shared_memory import new_memory

_MOST = 16_384  # bytes
_HOOK = """
import os, sys, traceback
handle, before = handle.detach(), sys.excepthook
def hook(*error):
    os.write(handle, "".join(traceback.format_exception(*error)).encode("utf-8", "replace"))
    before(*error)
sys.excepthook = hook
"""


class LastWords:
    """Memory for a traceback, and the name under which a process gets it."""

    def __init__(self, *, fork: bool) -> None:
        """`fork`: nothing is imported anew, and there is nothing to say."""
        self._handle = None if fork else new_memory(0)

    def name(self, name: str) -> str:
        """A process's name, which brings the memory along."""
        return name if self._handle is None else _Name(name, self._handle)

    def read(self) -> str:
        """What was said: its end, if it is long."""
        if self._handle is None:
            return ""
        start = max(0, os.fstat(self._handle).st_size - _MOST)
        return os.pread(self._handle, _MOST, start).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Idempotent."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class _Name(str):
    """Of all that a process is given, its name comes first, and before the main module: the hook is put in with it.

    `eval` is all that surely can be imported there. Were the name to come later, words would be missing, no more.
    """

    def __new__(cls, name: str, handle: int) -> "_Name":
        new = super().__new__(cls, name)
        new._handle, new._sent = handle, False
        return new

    _handle: int
    _sent: bool

    def __reduce__(self) -> Any:
        if self._sent:  # the process itself comes later, with the name once more
            return str, (str(self),)
        self._sent = True
        scope = {"source": _HOOK, "name": str(self), "handle": DupFd(self._handle)}
        return eval, ("(exec(source), name)[1]", scope)
