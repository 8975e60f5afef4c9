"""Memory is bounded by bytes, however wide and unequal rows are, and however many loaders and files there are."""

import json
import os
import resource
import subprocess
import sys
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_rows
from support.store import Store

from shardline import DataLoader

MIB = 2**20
PROGRAM = """
import json, sys
from shardline import DataLoader

def field(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

path, options = json.loads(sys.argv[1])
loader = DataLoader(path, num_threads=2, output_format="arrow", **options)
open("/proc/self/clear_refs", "w").write("5")
before = field("VmRSS")
rows = sum(batch.num_rows for batch in loader)
print(json.dumps([rows, field("VmHWM") - before]))
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is resident")


def peak(path, **options):
    """The rows of an epoch, and the most bytes that were resident meanwhile over those before."""
    case = json.dumps([str(path), options])
    # Beside a full load each thread of the allocator's has an arena of its own, and keeps what is free in it.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", PROGRAM, case]
    done = subprocess.run(command, env=env, check=True, timeout=100, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def wide(path, files, rows, size):
    """Binary values of one size, in one row group a file; `i` counts the rows."""
    path.mkdir()
    block = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes()
    for file in range(files):
        values = pa.array([bytes([row % 256]) + block[1:] for row in range(rows)], pa.binary())
        table = pa.table({"i": np.arange(file * rows, (file + 1) * rows), "image": values})
        pq.write_table(table, path / f"{file:02}.parquet", use_dictionary=False, compression="none")
    return path


@linux
@pytest.mark.parametrize("shuffle", [False, True])
def test_wide_values_are_decoded_few_at_a_time(tmp_path, shuffle):
    # 200 MiB, which 8,192 rows at a time would all be decoded at once.
    path = wide(tmp_path / "data", 4, 200, MIB // 4)
    shuffled = {"shuffle": True, "shuffle_buffer_bytes": "16MiB"} if shuffle else {}
    rows, bytes_ = peak(path, batch_size=8, prefetch_bytes="16MiB", **shuffled)
    assert rows == 800
    # Two windows of up to 2 x 16 MiB, what is read ahead, and a page of each of up to 32 strands.
    assert bytes_ < (2 * 32 + 16 + 32 if shuffle else 16 + 32) * MIB, bytes_ / MIB


@linux
def test_a_dictionary_of_large_words_is_bounded_by_what_it_decodes_to(tmp_path):
    words = pa.array([bytes([65 + word]) * 20_000 for word in range(10)], pa.binary())
    indices = pa.array(np.random.default_rng(0).integers(0, 10, 10_000), pa.int8())
    table = pa.table({"word": pa.DictionaryArray.from_arrays(indices, words).cast(pa.binary())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=5_000)
    assert (tmp_path / "a.parquet").stat().st_size < MIB  # and 200 MB decoded
    for options in ({}, {"shuffle": True, "shuffle_buffer_bytes": "16MiB"}):
        rows, bytes_ = peak(tmp_path, batch_size=16, prefetch_bytes="16MiB", **options)
        assert rows == 10_000
        assert bytes_ < (2 * 32 + 16 + 24) * MIB, bytes_ / MIB


@linux
def test_dictionaries_of_the_row_groups_that_many_shards_have_open(tmp_path):
    rng = np.random.default_rng(0)
    groups, rows = 64, 40_000
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([(f"x{n}", pa.float32()) for n in range(12)])) as writer:
        for _ in range(groups):
            columns = {f"x{n}": rng.standard_normal(rows, dtype="f4") for n in range(12)}
            writer.write_table(pa.table(columns), row_group_size=rows)
    # 16 shards of 4 strands have all row groups open, with 110 MiB of dictionaries. Windows are 8 buffers in all.
    options = {"shuffle_strands": 4, "shuffle_buffer_bytes": "1MiB", "prefetch_bytes": "8MiB", "batch_size": 256}
    found, most = peak(tmp_path, shuffle=True, num_shards=16, **options)
    assert found == groups * rows
    assert most < 96 * MIB


@linux
def test_one_file_of_wide_rows_among_narrow_ones(tmp_path):
    path = wide(tmp_path / "data", 1, 200, MIB // 2)
    narrow = pa.table({"i": np.arange(200, 400_200), "image": pa.array([b"x"] * 400_000, pa.binary())})
    pq.write_table(narrow, path / "narrow.parquet", row_group_size=20_000)
    for options in ({}, {"shuffle": True, "shuffle_buffer_bytes": "16MiB"}):
        rows, bytes_ = peak(path, batch_size=32, prefetch_bytes="16MiB", **options)
        assert rows == 400_200
        # A batch of the wide file has 16 MiB.
        assert bytes_ < (2 * 32 + 16 + 64) * MIB, bytes_ / MIB


@pytest.mark.parametrize("shuffle", [False, True])
def test_wide_rows_are_the_right_ones(tmp_path, shuffle):
    path = wide(tmp_path / "data", 2, 60, MIB // 8)
    expected = pq.read_table(path).sort_by("i")
    shuffled = {"shuffle": True, "shuffle_buffer_bytes": "2MiB"} if shuffle else {}
    found = pa.Table.from_batches(list(DataLoader(path, batch_size=7, output_format="arrow", **shuffled)))
    assert found.sort_by("i").equals(expected)
    assert shuffle != (found["i"].to_pylist() == list(range(120)))


def test_many_loaders_of_many_files_keep_few_open(tmp_path):
    path = write_rows(tmp_path, [[10]] * 60)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    loaders = [DataLoader(path, batch_size=7, shuffle=kind) for kind in (False, True) for _ in range(4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        rows = [[] for _ in loaders]
        for batches in zip_longest(*loaders):
            for seen, batch in zip(rows, batches, strict=True):
                seen.extend(batch["i"].tolist())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert all(sorted(seen) == list(range(600)) for seen in rows)


def test_loaders_of_one_process_share_its_threads_and_give_the_same(tmp_path):
    path = write_rows(tmp_path, [[5_000]] * 8)
    alone = [batch["i"].tolist() for batch in DataLoader(path, batch_size=64, shuffle=True, num_threads=2)]
    loaders = [DataLoader(path, batch_size=64, shuffle=True, num_threads=n, prefetch_bytes=1) for n in (1, 2, 3)]
    for batches in zip(*loaders, strict=True):
        expected = alone.pop(0)
        assert all(batch["i"].tolist() == expected for batch in batches)
    assert not alone


@linux
def test_open_row_groups_of_a_store_hold_a_bounded_memory(tmp_path):
    rng = np.random.default_rng(1)
    for file in range(4):
        rows = 320_000
        # Each row group has a dictionary of as many values as rows, in each of eight columns: 160 KB.
        columns = {f"x{i}": rng.permuted(np.arange(rows) + file * rows) for i in range(8)}
        pq.write_table(pa.table(columns), tmp_path / f"{file}.parquet", row_group_size=20_000)
    options = {"batch_size": 100, "shuffle": True, "num_shards": 32, "prefetch_bytes": MIB, "shuffle_buffer_bytes": MIB}
    with Store(tmp_path) as store:
        rows, grown = peak(store.url, **options, storage_options=store.options)
    assert rows == 4 * 320_000
    # It was 600 MiB with all of them held.
    assert grown < 400 * MIB
