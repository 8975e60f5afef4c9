"""Counts rows and times of a turn, whoever reads."""

from collections.abc import Iterable
from time import perf_counter, sleep
from typing import Any

from shardline.benchmark.memory import begin_peak, peak


class Clock:
    """Begins when it is made, and lasts so many seconds, but at least to the second batch."""

    def __init__(self, seconds: float, step_seconds: float | None = None) -> None:
        self.rows = self.batches = 0
        self.first: float | None = None
        self.waited = 0.0
        self._limit, self._step = seconds, step_seconds
        self._memory = begin_peak()
        self._start = perf_counter()
        self._end = self._start

    @property
    def over(self) -> bool:
        """Whether the time is up, and there was a batch after the first one, so that there is a rate."""
        return self.batches > 0 and perf_counter() - self._start >= self._limit

    def through(self, batches: Iterable[int]) -> bool:
        """Takes batches, by their rows; whether they came to their end before the time was up."""
        asked = perf_counter()
        for rows in batches:
            now = perf_counter()
            if self.first is None:
                self.first = now - self._start
            else:
                self.rows, self.batches, self.waited = self.rows + rows, self.batches + 1, self.waited + now - asked
            self._end = now
            if self._step is not None:
                sleep(self._step)
                self._end = perf_counter()
            if self.over:
                return False
            asked = perf_counter()
        return True

    def done(self, rows: int) -> None:
        """So many rows more, as one batch."""
        self._end = perf_counter()
        if self.first is None:
            self.first = self._end - self._start
        else:
            self.rows, self.batches = self.rows + rows, self.batches + 1

    def times(self) -> dict[str, Any]:
        """As fields of a `Result`."""
        return {
            "rows": self.rows,
            "batches": self.batches,
            "seconds": self._end - self._start - (self.first or 0.0),
            "first_seconds": self.first or 0.0,
            "peak_bytes": max(0, peak() - self._memory),
        }
