"""The digest of a multiset of rows: equal rows in any order and in any physical layout have an equal digest.

It finds mistakes, not forgeries. The core computes it, while other threads run.
"""

from typing import NamedTuple

import pyarrow as pa

from shardline._core import digest as core_digest

_MASK = 2**64 - 1


class Digest(NamedTuple):
    """Of some rows; `+` is that of both. Printed as 32 hex digits.

    >>> one = digest(pa.record_batch({"x": [1, 2], "y": ["a", None]}))
    >>> other = pa.record_batch({"y": [None, "a"], "x": pa.array([2, 1], pa.int16())})
    >>> one == digest(other), one == digest(other.slice(1)) + digest(other.slice(0, 1))
    (True, True)
    """

    rows: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: object) -> "Digest":
        if not isinstance(other, Digest):
            return NotImplemented
        low, high = (self.low + other.low) & _MASK, (self.high + other.high) & _MASK
        return Digest(self.rows + other.rows, low, high)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"


def digest(batch: pa.RecordBatch) -> Digest:
    """The digest of a batch's rows.

    Raises:
        ShardlineTypeError: A column is of a type that has no canonical value.
    """
    return Digest(*core_digest(batch))
