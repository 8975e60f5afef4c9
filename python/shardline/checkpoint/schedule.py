"""When to save: by steps and epochs, which every rank can tell by itself, by minutes and signals, which one decides.

For the latter the ranks agree at a step's border. The first rank says there whether to save, and at which border the
ranks are to ask next: about a second later, so that agreeing costs nothing that could be measured.
"""

import time
from dataclasses import dataclass
from typing import Any

from shardline.checkpoint.coordinator import Coordinator
from shardline.errors import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError
from shardline.options.validate import check_seconds

_EVERY = 1.0  # seconds between two agreements, about
_FARTHEST = 10_000


@dataclass(frozen=True)
class Schedule:
    """`step()` saves after every so many steps, minutes, or epochs; whichever comes first."""

    every_steps: int | None
    every_minutes: float | None
    every_epochs: int | None

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_epochs"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise ShardlineTypeError(f"{name} must be an integer, not {value!r}")
            if value is not None and value < 1:
                raise ShardlineValueError(f"{name} must be at least 1, not {value}")
        if self.every_minutes is not None:
            check_seconds("every_minutes", self.every_minutes)


class SaveClock:
    """Whether a checkpoint is due, asked once a step on every rank."""

    def __init__(self, schedule: Schedule, coordinator: Coordinator, *, signals: bool) -> None:
        self._schedule, self._coordinator = schedule, coordinator
        self._agrees = coordinator.ranks > 1 and (signals or schedule.every_minutes is not None)
        self._saved_at = time.monotonic()
        self._epochs: int | None = None
        self._calls, self._next, self._stride = 0, 1, 1
        self._asked_at = time.monotonic()

    def saved(self) -> None:
        """The minutes count from here."""
        self._saved_at = time.monotonic()

    def begin(self, epochs: int | None) -> None:
        """So many epochs are complete where the training goes on."""
        self._epochs = epochs

    def due(self, step: int, epochs: int | None, signalled: bool) -> tuple[bool, bool]:
        """(whether to save, whether to end after it). `epochs`: how many are complete, where the data says so."""
        every, before, self._epochs = self._schedule, self._epochs, epochs
        save = every.every_steps is not None and step % every.every_steps == 0
        if every.every_epochs is not None and epochs is not None and before is not None:
            save = save or epochs // every.every_epochs > before // every.every_epochs
        if not self._agrees:
            return save or signalled or self._time_is_up(), signalled
        self._calls += 1
        if signalled and not self._coordinator.leads:
            self._coordinator.call_out("signal")
        if self._calls != self._next:
            return save, False
        word = self._agree(step, signalled)
        self._next = word["next"]
        return save or word["save"] or word["end"], word["end"]

    def _time_is_up(self) -> bool:
        minutes = self._schedule.every_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _agree(self, step: int, signalled: bool) -> dict[str, Any]:
        """The first rank's word; ShardlineRuntimeError where this one is at another step."""
        if not self._coordinator.leads:
            word = self._coordinator.heed(self._calls, f"step({step})")
            if word["step"] != step:
                raise ShardlineRuntimeError(
                    f"rank 0 is at step {word['step']}, and rank {self._coordinator.rank} at step {step}: call step() "
                    "once after each optimizer step on every rank"
                )
            return word
        now = time.monotonic()
        took, self._asked_at = max(now - self._asked_at, 1e-6), now
        self._stride = max(1, min(int(self._stride * _EVERY / took), 2 * self._stride, _FARTHEST))
        end = signalled or self._coordinator.called_out("signal")
        word = {"save": self._time_is_up(), "end": end, "next": self._calls + self._stride, "step": step}
        self._coordinator.announce(self._calls, word)
        return word
