"""Of one reader: medians over its rounds, and how far these lie apart."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from shardline.benchmark.readers import Reader
from shardline.benchmark.turn import Failed, Result

LEAST = 3
"""Rounds, that a median may be said."""


@dataclass
class Measured:
    """A reader's rounds."""

    key: str
    label: str
    threads: int = 0
    batch_size: int = 0
    why: str = ""
    """Why it was not measured, where it was not."""
    rounds: dict[int, Result] = field(default_factory=dict, repr=False)
    """By the number of the round."""

    @staticmethod
    def of(reader: Reader) -> "Measured":
        """Before the first round."""
        turn = reader.turn
        found = Measured(reader.key, reader.label, why=reader.reason)
        if turn is not None:
            found.threads, found.batch_size = turn.threads, turn.batch_size
        return found

    def add(self, number: int, result: Result | Failed) -> None:
        """Takes in a round."""
        if isinstance(result, Failed):
            self.why = result.why
        else:
            self.rounds[number] = result

    @property
    def rates(self) -> dict[int, float]:
        """Rows a second, of each round."""
        return {number: each.rows / each.seconds for number, each in self.rounds.items()}

    @property
    def rows_per_second(self) -> float | None:
        """The median; None where there is none."""
        return median(self.rates.values()) if self.rates else None

    @property
    def first_seconds(self) -> float | None:
        """The median time to the first batch, from the plan."""
        return self._median("first_seconds")

    @property
    def peak_bytes(self) -> float | None:
        """The median of the most memory."""
        return self._median("peak_bytes")

    @property
    def waited(self) -> list[float]:
        """Seconds a batch that the loop waited, of each round."""
        return [each.waited_seconds / each.batches for each in self.rounds.values()]

    @property
    def waited_share(self) -> list[float]:
        """The share of its time that the loop waited, of each round."""
        return [each.waited_seconds / each.seconds for each in self.rounds.values()]

    @property
    def verdict(self) -> str:
        """The loader's own, of the last round."""
        return next((each.verdict for each in reversed(self.rounds.values()) if each.verdict), "")

    def ratios(self, other: "Measured") -> list[float]:
        """Its rate divided by another's, of each round that both took part in."""
        theirs = other.rates
        return [rate / theirs[number] for number, rate in self.rates.items() if number in theirs]

    def to_dict(self, row_bytes: float) -> dict[str, Any]:
        """As JSON can hold it."""
        rates, rate = self.rates.values(), self.rows_per_second
        return {
            "label": self.label,
            "threads": self.threads,
            "batch_size": self.batch_size,
            "rounds": len(rates),
            "rows_per_second": rate,
            "lowest": min(rates, default=None),
            "highest": max(rates, default=None),
            "bytes_per_second": None if rate is None else rate * row_bytes,
            "first_seconds": self.first_seconds,
            "peak_bytes": self.peak_bytes,
            "why_not": self.why if not rates else "",
        }

    def _median(self, name: str) -> float | None:
        values = [getattr(each, name) for each in self.rounds.values()]
        return median(values) if values else None
