"""Where the time of a loop over batches goes, as its iterator sees it."""

from time import perf_counter
from typing import Any

import torch.autograd.profiler as profiler


class Timing:
    """Counts batches, the time inside of next(), and the time from the first next() on."""

    __slots__ = ("batches", "loop_seconds", "next_seconds", "range", "start")

    def __init__(self) -> None:
        self.batches = 0
        self.loop_seconds = self.next_seconds = 0.0
        self.start: float | None = None
        self.range: Any = None  # torch's, which has no types

    def enter(self) -> float:
        """The time at which next() is entered."""
        now = perf_counter()
        if self.start is None:
            self.start = now
        self._close_range()  # of a next() that raised
        if profiler._is_profiler_enabled:
            self.range = profiler.record_function("shardline.next")
            self.range.__enter__()
        return now

    def leave(self, entered: float, batches: int) -> None:
        """next() returns so many batches: one, or none at the end."""
        now = perf_counter()
        self.batches += batches
        self.next_seconds += now - entered
        self.loop_seconds = now - (self.start or entered)
        self._close_range()

    def counters(self) -> dict[str, float]:
        """As they stand in `get_metrics()`."""
        return {"batches": self.batches, "loop_seconds": self.loop_seconds, "next_seconds": self.next_seconds}

    def _close_range(self) -> None:
        if self.range is not None:
            self.range.__exit__(None, None, None)
            self.range = None
