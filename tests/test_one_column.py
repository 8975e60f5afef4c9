"""A large row group of one column: its pages are decompressed by all threads, and nobody sees a difference."""

from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline import DataLoader

ROWS = 60_000
THREADS = (1, 2, 3, 8)
ORDERS = {"none": {}, "rows": {"shuffle": True, "shuffle_seed": 3, "shuffle_buffer_size": 9_000}}


def lists(rng):
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 60, ROWS))]).astype("i4")
    return pa.ListArray.from_arrays(offsets, rng.integers(0, 1 << 20, offsets[-1]).astype("i4"))


COLUMNS = {
    "lists": lists,
    "numbers": lambda rng: pa.array(rng.standard_normal(20 * ROWS)),
    "few values": lambda rng: pa.array(rng.integers(0, 40_000, 20 * ROWS)),
}
# Data pages are 100 KB at least: smaller ones are not worth the attention of another thread.
WRITERS = {
    "zstd": {"compression": "zstd", "use_dictionary": False, "data_page_size": 300_000},
    "snappy": {"compression": "snappy", "data_page_size": 150_000, "dictionary_pagesize_limit": 400_000},
    "lz4, version 2": {"compression": "lz4", "use_dictionary": False, "data_page_version": "2.0"},
}


@pytest.fixture(scope="module", params=COLUMNS)
def column(request):
    return COLUMNS[request.param](np.random.default_rng(11))


def values(batch):
    found = batch["c"]
    return (found.values().numpy(), np.diff(found.offsets().numpy())) if found.is_nested else (found.numpy(),)


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*map(values, batches), strict=True)]


def written(folder, column, writer, **more):
    path = folder / "one.parquet"
    pq.write_table(pa.table({"c": column}), path, row_group_size=len(column), **WRITERS[writer], **more)
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    return path


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_those_of_the_file_with_any_number_of_threads(tmp_path, column, writer, order):
    path = written(tmp_path, column, writer)
    options = {"batch_size": 700, **ORDERS[order]}
    wanted = list(map(values, DataLoader(path, num_threads=1, **options)))
    if order == "none":
        (flat, *lengths) = [np.concatenate(parts) for parts in zip(*wanted, strict=True)]
        theirs = column.flatten() if lengths else column
        np.testing.assert_array_equal(flat, theirs.to_numpy())
        if lengths:
            np.testing.assert_array_equal(lengths[0], column.value_lengths().to_numpy())
    for number, threads in enumerate(THREADS):
        # Stopped at another place each time, and resumed by another number of threads.
        first = DataLoader(path, num_threads=threads, prefetch_bytes=(1, "1MiB", "1GiB")[number % 3], **options)
        begun = [values(batch) for batch in islice(first, len(wanted) * (number + 1) // 5)]
        second = DataLoader(path, num_threads=THREADS[number - 1], **options)
        second.load_state_dict(first.state_dict())
        found = begun + list(map(values, second))
        assert len(found) == len(wanted)
        for mine, theirs in zip(found, wanted, strict=True):
            for part, other in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("threads", THREADS)
def test_damage_is_an_error_behind_the_rows_before_it(tmp_path, column, writer, threads):
    path = written(tmp_path, column, writer, write_page_checksum=True)
    options = {"batch_size": 700, "num_threads": threads, "prefetch_bytes": 1}
    whole = joined(DataLoader(path, **options))
    good = bytearray(path.read_bytes())
    good[len(good) * 3 // 4] ^= 1
    path.write_bytes(good)
    begun = []
    with pytest.raises(shardline.ShardlineError, match=r"one\.parquet.*checksum"):
        begun.extend(DataLoader(path, **options))
    assert len(begun) * 700 > len(column) // 4, "rows that lie far before the damage"
    for part, theirs in zip(joined(begun), whole, strict=True):
        np.testing.assert_array_equal(part, theirs[: len(part)])
