"""Where the runs of a verification stop, and with how many ranks and workers each goes on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import lcm
from typing import NamedTuple


class Life(NamedTuple):
    """A run from one stop to the next: the job's batches from `start` up to `stop`, through the epochs."""

    start: int
    stop: int
    num_ranks: int
    num_workers: int


@dataclass(frozen=True)
class Course:
    """All lives, one after the other. Batches are counted over all ranks, and through the epochs."""

    epoch_batches: int
    lives: tuple[Life, ...]

    @property
    def start(self) -> int:
        """The first batch."""
        return self.lives[0].start

    @property
    def stop(self) -> int:
        """Behind the last batch."""
        return self.lives[-1].stop

    @property
    def stops(self) -> int:
        """How often it is stopped and resumed."""
        return len(self.lives) - 1

    def place(self, batch: int) -> str:
        """A batch in words.

        >>> Course(10, ()).place(12)
        'batch 2 of epoch 1'
        """
        return f"batch {batch % self.epoch_batches:,} of epoch {batch // self.epoch_batches:,}"


def draw_course(
    epoch_batches: int, most: int, stops: int, ranks: Sequence[int], workers: Sequence[int], seed: int
) -> Course:
    """At most `most` batches of two epochs, with stops at random ones of those that all numbers of ranks divide.

    Ranks and workers take turns, so that as many pairs of them come as there are lives.

    >>> course = draw_course(20, 1000, 3, (1, 2), (0, 1, 2), seed=0)
    >>> course.start, course.stop, [(life.num_ranks, life.num_workers) for life in course.lives]
    (0, 40, [(2, 2), (1, 0), (2, 1), (1, 2)])
    """
    rng = random.Random(seed)
    step = lcm(*ranks)  # an epoch's batches are a multiple of the shards, and so of this
    span = min(2 * epoch_batches, max(2 * step, most // step * step))
    start = 0 if span >= epoch_batches else rng.randrange(0, 2 * epoch_batches - span + 1, step)
    possible = range(start + step, start + span, step)
    chosen = sorted(rng.sample(possible, min(stops, len(possible))))
    begin = rng.randrange(len(ranks)), rng.randrange(len(workers))
    borders = [start, *chosen, start + span]
    lives = (
        Life(a, b, ranks[(number + begin[0]) % len(ranks)], workers[(number + begin[1]) % len(workers)])
        for number, (a, b) in enumerate(pairwise(borders))
    )
    return Course(epoch_batches, tuple(lives))
