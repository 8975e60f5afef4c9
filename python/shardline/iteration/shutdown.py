"""The interpreter's end: what other threads do here ends first, and they begin nothing after it.

Before 3.14, Python unwinds the stack of a thread that asks for the GIL too late, and C++ on that stack (a tensor of
torch's that is freed, a function of pyarrow's) aborts the process. So the end waits for a batch that another thread is
about to get; who asks for one after that waits for ever, as such threads do anyhow.
"""

import atexit
import os
import threading
import time
import weakref
from contextlib import ExitStack
from typing import Protocol

from shardline._core import end_calls


class Endable(Protocol):
    """What works until it is closed, on a thread that holds `busy`."""

    busy: threading.RLock

    def close(self) -> None:
        """Stops threads and processes."""


_PATIENCE = 3.0  # seconds for what is under way
_open: "weakref.WeakValueDictionary[int, Endable]" = weakref.WeakValueDictionary()
_end = threading.RLock()  # `busy` of all that is asked after the end
_ended = False
os.register_at_fork(after_in_child=_open.clear)


def enrol(it: Endable) -> None:
    """Gives it its `busy`, and closes it at the end."""
    it.busy = threading.RLock()
    _open[id(it)] = it
    if _ended:  # looked at after it is listed: the end sees it, or it sees the end
        it.busy = _end


@atexit.register
def _close_all() -> None:
    global _ended
    _end.acquire()
    _ended = True
    deadline = time.monotonic() + _PATIENCE
    with ExitStack() as closing:
        for reference in _open.valuerefs():
            it = reference()
            if it is not None:
                busy, it.busy = it.busy, _end
                busy.acquire(timeout=max(0.0, deadline - time.monotonic()))
                closing.callback(it.close)
    end_calls(max(0.0, deadline - time.monotonic()))
