"""A column of one type: written in three files, and compared row by row."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support import columns as t

ROWS = 90


def written(folder, type_, nulls, seed, **writer):
    """Three files of a column `c` and row numbers `i`; and all of it as pyarrow reads it."""
    rng = np.random.default_rng(seed)
    for number in range(3):
        array = t.random_array(rng, type_, ROWS // 3, nulls)
        rows = pa.array(range(number * ROWS // 3, (number + 1) * ROWS // 3), pa.int64())
        pq.write_table(
            pa.table({"c": array, "i": rows}), folder / f"{number}.parquet", **{"row_group_size": 11, **writer}
        )
    parts = [pq.read_table(folder / f"{number}.parquet")["c"].combine_chunks() for number in range(3)]
    whole = pa.chunked_array(parts).combine_chunks()
    return whole.cast(type_) if pa.types.is_date64(type_) else whole  # pyarrow reads date32


def delivered(batches, name="c"):
    """A column of all batches, row by row."""
    return [row for batch in batches for row in t.plain(batch[name])]


def order(batches):
    return [int(i) for batch in batches for i in t.plain(batch["i"])]


def agree(found, expected):
    wrong = [(row, f, e) for row, (f, e) in enumerate(zip(found, expected, strict=True)) if not t.same(f, e)]
    assert not wrong, wrong[:3]
