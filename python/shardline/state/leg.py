"""A leg: a stretch of an epoch cut into equal shards; a job of another shape cuts what is left into a new leg."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from shardline._core import Legs


class Leg(NamedTuple):
    """One leg, as the core takes it."""

    num_shards: int
    batch_size: int
    drop_last: bool
    delivered: int
    """Batches delivered by all ranks."""
    skipped: list[tuple[int, int]]
    """Ranges of these that were skipped."""

    def plain(self) -> list[Any]:
        """As a state and JSON hold it."""
        return [self.num_shards, self.batch_size, self.drop_last, self.delivered, [list(pair) for pair in self.skipped]]

    @staticmethod
    def of(plain: Sequence[Any]) -> "Leg":
        """The inverse of `plain`; takes a core's tuple too."""
        num_shards, batch_size, drop_last, delivered, skipped = plain
        return Leg(num_shards, batch_size, drop_last, delivered, [(first, end) for first, end in skipped])


def delivered_batches(legs: Iterable[Leg]) -> int:
    """Batches that all ranks delivered, over all legs of an epoch."""
    return sum(leg.delivered for leg in legs)


def legs_of(legs: Legs) -> list[Leg]:
    """The legs that the core counts with."""
    return list(map(Leg.of, legs.legs))
