"""The order against an implementation of its own, written from docs/order.md: what version 1 is, it must stay."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids, spec

from shardline import StructuredDataset


def test_known_answers():
    words = spec.philox(0)
    assert list(itertools.islice(words, 4)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    # Random123's third vector has a counter that is no stream's first block; rust/core tests it.
    assert sorted(spec.permutation(spec.key("test", 1), 1000)) == list(range(1000))
    assert spec.key("splits", 1, 0) != spec.key("splits", 0, 1)


@st.composite
def cases(draw):
    sizes = st.one_of(st.integers(0, 12), st.integers(30, 70))
    files = draw(st.lists(st.lists(sizes, max_size=5), min_size=1, max_size=6))
    if not any(map(sum, files)):
        files = [*files, [draw(st.integers(1, 40))]]
    rows = sum(map(sum, files))
    shards = draw(st.integers(1, min(rows, 5)))
    batch = draw(st.integers(1, 40))
    settings = spec.Settings(
        shuffle=draw(st.sampled_from([True, True, True, False])),
        seed=draw(st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))),
        buffer=draw(st.one_of(st.none(), st.integers(0, 90), st.sampled_from([1, 2, 8, 64]))),
        strands=draw(st.integers(1, 9)),
        split_bytes=draw(st.sampled_from([1, 700, 2000, 2**27])),
        split_rows=draw(st.one_of(st.none(), st.integers(1, 80))),
    )
    drop_last = draw(st.booleans()) and rows // shards >= batch
    return files, settings, draw(st.integers(0, 3)), shards, batch, drop_last


def write(folder, files):
    """Writes the files; of every one its row groups as (rows, bytes)."""
    start, found = 0, []
    for number, groups in enumerate(files):
        path = folder / f"{number:03}.parquet"
        with pq.ParquetWriter(path, pa.schema([("i", pa.int64())])) as writer:
            for size in groups:
                writer.write_table(pa.table({"i": np.arange(start, start + size)}), row_group_size=max(size, 1))
                start += size
        meta = pq.read_metadata(path)
        found.append([(g.num_rows, g.total_byte_size) for g in map(meta.row_group, range(meta.num_row_groups))])
    return found


@examples(120)
@given(case=cases())
def test_the_order_is_what_its_specification_says(tmp_path_factory, case):
    files, settings, epoch, shards, batch, drop_last = case
    folder = tmp_path_factory.mktemp("order")
    groups = write(folder, files)
    dataset = StructuredDataset(
        folder,
        batch_size=batch,
        drop_last=drop_last,
        shuffle=settings.shuffle,
        shuffle_seed=settings.seed,
        shuffle_buffer_size=settings.buffer,
        shuffle_strands=settings.strands,
        split_bytes=settings.split_bytes,
        split_rows=settings.split_rows,
        num_shards=shards,
    )
    # Row groups numbered through all files, and the number of each row.
    places = [(f"{n:03}.parquet", g) for n, of in enumerate(groups) for g in range(len(of))]
    starts = np.cumsum([0, *(rows for of in groups for rows, _ in of)])
    line = spec.line(groups, settings, epoch)
    expected = spec.batches(len(line), shards, batch, drop_last)
    assert len(dataset) == len(expected)
    for step, positions in enumerate(expected):
        rows = [(*places[line[p][0]], line[p][1]) for p in positions]
        listed = dataset.rows_at(step, epoch=epoch)
        assert [(name, g, row) for name, g, first, end in listed for row in range(first, end)] == rows
    # And what is delivered is what is listed.
    dataset.set_epoch(epoch)
    assert ids(dataset) == [[int(starts[line[p][0]] + line[p][1]) for p in positions] for positions in expected]


@pytest.mark.parametrize(
    ("rows", "nbytes"), [(1000, 8000), (1000, 1000 * 4096), (1000, 1000 * 4095), (10, 2**33), (0, 0)]
)
def test_the_default_buffer_is_the_largest_power_of_two_under_256_mib(rows, nbytes):
    buffer = spec.default_buffer([[(rows, nbytes)]])
    assert buffer == 1 or buffer * nbytes < 2**28 * max(rows, 1)
    assert buffer == 65_536 or 2 * buffer * nbytes >= 2**28 * max(rows, 1)
