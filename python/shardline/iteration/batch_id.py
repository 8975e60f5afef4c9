"""Which batch of the epoch an iterator's n-th is: what seeds its transform, and what an error calls it."""

from typing import NamedTuple

from shardline.reading.batch_source import BatchStride
from shardline.reading.transform import key_of


class BatchId(NamedTuple):
    """`before`: the batches of earlier legs, of all ranks, as the stride's are counted."""

    seed: int
    epoch: int
    before: int
    stride: BatchStride
    num_ranks: int

    def number(self, n: int) -> int:
        """g: the job's number of the n-th batch in the epoch, through all legs."""
        return self.before + self.stride.first + n * self.stride.stride

    def key(self, n: int) -> bytes:
        """What seeds the n-th batch's functions."""
        return key_of(self.seed, self.epoch, self.number(n))

    def name(self, n: int) -> str:
        """The n-th batch, for an error: by this rank's step."""
        return f"batch {self.number(n) // self.num_ranks} of epoch {self.epoch}"
