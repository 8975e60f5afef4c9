"""Which batch of the epoch an iterator's n-th is: what seeds its transform, and what an error calls it."""

from collections.abc import Callable
from typing import NamedTuple

from shardline.reading.batch_source import BatchSource, BatchStride, DecodedBatches, TransformedBatches
from shardline.reading.transform import Functions, key_of
from shardline.workers import Pool, Pooled

MakePool = Callable[[Functions], tuple[Pool, bool]]
"""The processes for some functions, and whether they outlive an iterator."""


class Origin(NamedTuple):
    """`before`: the batches of earlier legs, of all ranks, as the share's are counted."""

    seed: int
    epoch: int
    before: int
    share: BatchStride
    num_ranks: int

    def number(self, n: int) -> int:
        """g: the job's number of the n-th batch in the epoch, through all legs."""
        return self.before + self.share.first + n * self.share.stride

    def key(self, n: int) -> bytes:
        """What seeds the n-th batch's functions."""
        return key_of(self.seed, self.epoch, self.number(n))

    def name(self, n: int) -> str:
        """The n-th batch, for an error: by this rank's step."""
        return f"batch {self.number(n) // self.num_ranks} of epoch {self.epoch}"


def process(reading: DecodedBatches, functions: Functions, origin: Origin, workers: MakePool | None) -> BatchSource:
    """The batches as the functions leave them, made in worker processes if there are any, or in this one."""
    if not functions.any:
        return reading
    if workers is None:
        return TransformedBatches(reading, functions, origin.key)
    pool, persistent = workers(functions)
    return Pooled(reading, pool, origin.share.steps, origin.key, origin.name, persistent)
