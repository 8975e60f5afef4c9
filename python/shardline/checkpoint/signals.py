"""Signals that ask a job to end: noted when they come, and answered at the end of the step."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from shardline.errors import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError

EXIT_CODE = 75
"""EX_TEMPFAIL: it is to be tried again."""


class SignalWatcher:
    """Notes these signals instead of what they did before, until `close`. A forked child does not inherit it.

    shardline's own worker processes ignore them (`workers.signals`).
    """

    def __init__(self, signals: Iterable[int], grace: float | None, stop_after: Callable[[float], object]) -> None:
        """`grace`: seconds from the first signal to the end of the process; `stop_after` hears of them at once."""
        self.came: signal.Signals | None = None
        self.grace, self._stop_after, self._end = grace, stop_after, math.inf
        self._before: dict[int, Any] = {}
        self._pid = os.getpid()
        wanted = [signals] if isinstance(signals, int) else list(signals)
        for one in wanted:
            if not isinstance(one, int):
                raise ShardlineTypeError(f"signals must be of signal.Signals, such as signal.SIGTERM, not {one!r}")
        if wanted and threading.current_thread() is not threading.main_thread():
            raise ShardlineRuntimeError("signals= works in the main thread only: Python handles signals there")
        if grace is not None and not wanted:
            raise ShardlineValueError("grace= is the time from one of signals= to the end of the process: give both")
        for one in wanted:
            self._before[one] = signal.signal(one, self._note)

    @property
    def watches(self) -> bool:
        """Whether any signal was asked for."""
        return bool(self._before)

    @property
    def is_over(self) -> bool:
        """Whether the grace is."""
        return time.monotonic() >= self._end

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            if self.came is None and self.grace is not None:
                self._end = time.monotonic() + self.grace
                self._stop_after(self.grace)
            self.came = signal.Signals(number)
            return
        # a process that was forked from the training: it ends as it would have ended
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def ignore(self) -> None:
        """For a process that is about to end, and has an exit status to keep: they do nothing any more."""
        if os.getpid() == self._pid and threading.current_thread() is threading.main_thread():
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)
            self._before = {}

    def close(self) -> None:
        """What the signals did before, they do again."""
        if os.getpid() == self._pid and threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
