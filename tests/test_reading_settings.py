"""Threads and bytes read ahead change no batch: every combination, over megabytes of chunks, also across a resume."""

import hashlib
import time
from itertools import islice, product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.forks import child

from shardline import DataLoader

WAYS = [{"num_threads": n, "prefetch_bytes": b} for n, b in product((1, 2, 3, 8), (1, "1MiB", "1GiB"))]
ORDERS = {
    "none": {},
    "splits": {"shuffle": True, "shuffle_seed": 3, "shuffle_buffer_size": 0},
    "rows": {"shuffle": True, "shuffle_seed": 3, "shuffle_buffer_size": 20_000},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 MB as tensors, in row groups from 500 to 100,000 rows: values that seldom and that often come twice, lists."""
    folder = tmp_path_factory.mktemp("settings")
    rng = np.random.default_rng(5)
    for number, (rows, group) in enumerate([(130_000, 90_000), (60_000, 7_000), (10_000, 500), (100_000, 100_000)]):
        lengths = rng.integers(0, 12, rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("i4")
        columns = {f"x{i}": rng.standard_normal(rows, dtype="f4") for i in range(12)}
        columns["id"] = np.arange(rows) + 1_000_000 * number
        columns["few"] = rng.integers(0, 50, rows).astype("i2")
        columns["tokens"] = pa.ListArray.from_arrays(offsets, rng.integers(0, 9_000, offsets[-1]).astype("i4"))
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet", row_group_size=group)
    return folder


def digests(batches):
    found = []
    for batch in batches:
        digest = hashlib.blake2b(digest_size=8)
        for name, value in batch.items():
            parts = (value.values(), value.offsets()) if value.is_nested else (value,)
            digest.update(name.encode())
            for part in parts:
                digest.update(part.numpy())
        found.append(digest.digest())
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("batch_size", [1_000, 8_192])
def test_no_batch_depends_on_threads_or_bytes_read_ahead(folder, order, batch_size):
    def loader(way):
        return DataLoader(folder, batch_size=batch_size, **ORDERS[order], **WAYS[way])

    wanted = digests(loader(0))
    assert len(set(wanted)) == len(wanted) == -(-300_000 // batch_size)
    for way in range(1, len(WAYS)):
        stop = len(wanted) * way // len(WAYS)
        first = loader(way)
        begun = digests(islice(first, stop))
        # Resumed by one that reads in another way.
        second = loader((way + 5) % len(WAYS))
        second.load_state_dict(first.state_dict())
        assert begun + digests(second) == wanted, WAYS[way]


def test_what_is_read_ahead_is_bounded(folder):
    child(lambda: bounded(folder))  # a reader that another test has left in this process takes its part


def bounded(folder):
    sizes = {}
    for prefetch in (1, 2**20, 2**23):
        loader = DataLoader(folder, batch_size=1_000, num_threads=3, prefetch_bytes=prefetch)
        batches = iter(loader)
        next(batches)
        while prefetch == 2**23 and loader.get_metrics()["peak_prefetch_bytes"] <= sizes[1]:
            time.sleep(0.005)  # more is read ahead of a caller who waits
        assert sum(1 for _ in batches) == 299
        sizes[prefetch] = loader.get_metrics()["peak_prefetch_bytes"]
        # The chunk that is waited for is read whatever it takes.
        assert sizes[prefetch] <= prefetch + 6 * 2**20
    assert sizes[1] < sizes[2**23]
