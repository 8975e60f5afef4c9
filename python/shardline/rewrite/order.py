"""The order of rows that are shuffled or sorted, and the bucket of each row.

Both are a sort by keys that all differ: of a shuffle, 64 random bits of (seed, row number); of a sort, the columns and
then the row number. The buckets are ranges of keys. Pass one finds each row's bucket, and pass two sorts a bucket in
memory; the buckets end to end are the sorted whole, however many they are.

Rows sorted by independent random keys are a uniform shuffle. So are buckets that are independent draws for each row,
and have the sizes that come of these (multinomial), each permuted uniformly: a permutation has the chance B^-N / Πn_b!
summed over all sizes n_b, which is the same for every permutation. To deal rows out evenly, as many to each bucket,
would not be: neighbours would then be too seldom in one bucket.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shardline.errors import ShardlineTypeError
from shardline.rewrite.types import stored_schema

ROW = "__shardline_row"
"""The column of temporary files that ends a tie, or is the whole key: the row's number, or random bits."""


def random_keys(seed: int, first: int, rows: int) -> npt.NDArray[np.uint64]:
    """64 bits for each row from `first` on, which depend on the seed and the row's number only: Philox 4x64-10.

    >>> (random_keys(7, 5, 3) == random_keys(7, 0, 8)[5:]).all()
    np.True_
    """
    generator = np.random.Philox(key=np.array([seed, 0], np.uint64), counter=first // 4)
    skipped = first % 4
    found: npt.NDArray[np.uint64] = generator.random_raw(rows + skipped)[skipped:]
    return found


class Order(Protocol):
    """How rows are scattered to buckets, and arranged in each."""

    def place(self, batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """The batch by bucket, with the column ROW, and the rows of each bucket."""

    def arrange(self, bucket: pa.RecordBatch) -> pa.RecordBatch:
        """A bucket's rows in order."""


class Shuffled:
    """By random keys."""

    def __init__(self, seed: int, buckets: int) -> None:
        self._seed, self._buckets = seed, buckets

    def place(self, batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """A row's bucket is the high part of its key."""
        keys = random_keys(self._seed, first, batch.num_rows)
        buckets = (((keys >> np.uint64(32)) * np.uint64(self._buckets)) >> np.uint64(32)).astype(np.uint16)
        order = np.argsort(buckets, kind="stable")
        placed = _with_row(batch, keys).take(pa.array(order))
        return placed, np.bincount(buckets, minlength=self._buckets)

    def arrange(self, bucket: pa.RecordBatch) -> pa.RecordBatch:
        """By key; two that are equal, one in 10^19 pairs, keep their order."""
        keys = bucket.column(ROW).to_numpy()
        return bucket.take(pa.array(np.argsort(keys, kind="stable")))


class Sorted:
    """By columns, then by row number or, where a seed is given, by random keys."""

    def __init__(
        self, keys: list[tuple[str, str]], splitters: pa.Table | None, schema: pa.Schema, seed: int | None
    ) -> None:
        self._keys, self._seed = [*keys, (ROW, "ascending")], seed
        fields = [*stored_schema(pa.schema([schema.field(name) for name, _ in keys])), pa.field(ROW, pa.uint64())]
        key_schema = pa.schema(fields)
        self._splitters = key_schema.empty_table() if splitters is None else splitters.cast(key_schema)

    def place(self, batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """A row's bucket is the number of splitters that stand before it when both are sorted together."""
        rows = batch.num_rows
        if self._seed is None:
            batch = _with_row(batch, np.arange(first, first + rows, dtype=np.uint64))
        else:
            batch = _with_row(batch, random_keys(self._seed, first, rows))
        keys = pa.Table.from_batches([batch.select(self._splitters.schema.names)]).cast(self._splitters.schema)
        both = pa.concat_tables([self._splitters, keys]).combine_chunks()
        order = pc.sort_indices(both, sort_keys=self._keys).to_numpy()
        cuts = len(self._splitters)
        is_cut = order < cuts
        buckets = np.cumsum(is_cut)[~is_cut]
        return batch.take(pa.array(order[~is_cut] - cuts)), np.bincount(buckets, minlength=cuts + 1)

    def arrange(self, bucket: pa.RecordBatch) -> pa.RecordBatch:
        """By the columns, and then as `place` says."""
        return bucket.take(pc.sort_indices(bucket, sort_keys=self._keys))


def check_sortable(schema: pa.Schema, keys: list[tuple[str, str]], argument: str) -> None:
    """ShardlineTypeError names the column of a type that has no order."""
    for name, direction in keys:
        try:
            table = pa.table({name: pa.nulls(2, schema.field(name).type), ROW: pa.array([0, 1], pa.uint64())})
            pc.sort_indices(table, sort_keys=[(name, direction), (ROW, "ascending")])
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
            raise ShardlineTypeError(
                f"{argument}={name!r}: values of {schema.field(name).type} have no order"
            ) from None


def _with_row(batch: pa.RecordBatch, row: npt.NDArray[np.uint64]) -> pa.RecordBatch:
    schema = batch.schema.append(pa.field(ROW, pa.uint64(), nullable=False))
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(row)], schema=schema)
