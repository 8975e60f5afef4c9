"""The order against an implementation of its own, written from docs/order.md: what version 2 is, it must stay."""

import itertools
import re
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
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
    buffers = [
        st.fixed_dictionaries({}),
        st.fixed_dictionaries({"buffer_bytes": st.one_of(st.integers(1, 700), st.sampled_from([1, 8, 64, 2000]))}),
        st.fixed_dictionaries({"buffer_rows": st.one_of(st.integers(0, 90), st.sampled_from([0, 1, 2, 8, 64]))}),
    ]
    settings = spec.Settings(
        shuffle=draw(st.sampled_from([True, True, True, False])),
        seed=draw(st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))),
        **draw(st.sampled_from([0, 1, 1, 2, 2]).flatmap(buffers.__getitem__)),
        strands=draw(st.one_of(st.none(), st.integers(1, 9))),
        split_bytes=draw(st.sampled_from([1, 700, 2000, 2**27])),
        split_rows=draw(st.one_of(st.none(), st.integers(1, 80))),
    )
    drop_last = draw(st.booleans()) and rows // shards >= batch
    return files, settings, draw(st.integers(0, 3)), shards, batch, drop_last


def write(folder, files):
    """Writes the files; of every one its row groups."""
    start, found = 0, []
    for number, groups in enumerate(files):
        path = folder / f"{number:03}.parquet"
        with pq.ParquetWriter(path, pa.schema([("i", pa.int64())])) as writer:
            for size in groups:
                writer.write_table(pa.table({"i": np.arange(start, start + size)}), row_group_size=max(size, 1))
                start += size
        meta = pq.read_metadata(path)
        found.append([spec.group_of(meta.row_group(g)) for g in range(meta.num_row_groups)])
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
        shuffle_buffer_bytes=settings.buffer_bytes,
        shuffle_buffer_size=settings.buffer_rows,
        shuffle_strands=settings.strands,
        split_bytes=settings.split_bytes,
        split_rows=settings.split_rows,
        num_shards=shards,
    )
    # Row groups numbered through all files, and the number of each row.
    places = [(f"{n:03}.parquet", g) for n, of in enumerate(groups) for g in range(len(of))]
    starts = np.cumsum([0, *(group.rows for of in groups for group in of)])
    line = spec.line(groups, settings, epoch, spec.resolve(groups, settings, shards))
    expected = spec.batches(len(line), shards, batch, drop_last)
    assert len(dataset) == len(expected)
    for step, positions in enumerate(expected):
        rows = [(*places[line[p][0]], line[p][1]) for p in positions]
        listed = dataset.rows_at(step, epoch=epoch)
        assert [(name, g, row) for name, g, first, end in listed for row in range(first, end)] == rows
    # And what is delivered is what is listed.
    dataset.set_epoch(epoch)
    assert ids(dataset) == [[int(starts[line[p][0]] + line[p][1]) for p in positions] for positions in expected]


GOLDEN = Path(__file__).parents[1] / "rust/core/tests/golden/version_2.rs"
# As rust/core/tests/golden.rs has them: the row groups' rows, by file.
DATA_SETS = [
    [[5, 3], [], [4]],
    [[7 + 13 * file + 5 * group for group in range(file % 4 + 1)] for file in range(12)],
    [[200] * 10, [0, 1, 0], [77] * 30],
]
BUFFERS = [
    {"shuffle": False},
    {"shuffle": True, "buffer_rows": 0},
    {"shuffle": True, "buffer_rows": 100},
    {"shuffle": True, "buffer_bytes": 2_000},
    {"shuffle": True, "buffer_bytes": 2**40},
]


@pytest.mark.parametrize("number", range(len(DATA_SETS)))
def test_the_core_is_pinned_to_what_the_specification_says(number):
    """Rows of very unequal widths, and a filter: what no file as small as a test's has."""
    count = itertools.count()
    files = []
    for of_file in DATA_SETS[number]:
        files.append([])
        for rows in of_file:
            g = next(count)
            passing = (0 if g % 5 == 4 else rows // 3) if number == 1 else rows
            files[-1].append(spec.Group(rows, rows * 100, rows * (10 + g % 7 * 300), passing))
    found = []
    for seed, epoch in [(0, 0), (42, 0), (42, 1), (2**64 - 1, 2**40)]:
        for buffer in BUFFERS:
            settings = spec.Settings(seed=seed, strands=5, split_bytes=5_000, **buffer)
            line = spec.line(files, settings, epoch, spec.resolve(files, settings, 4))
            rows = [struct.pack("<QQ", *row) for row in line]
            whole, batches = xxhash.xxh3_64(b"".join(rows)), xxhash.xxh3_64()
            for g, positions in enumerate(spec.batches(len(line), 4, 3, False)):
                batches.update(struct.pack("<Q", g) + b"".join(rows[p] for p in positions))
            found.append((whole.intdigest(), batches.intdigest()))
    pinned = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"\((0x\w+), (0x\w+)\)", GOLDEN.read_text())]
    assert len(pinned) == len(DATA_SETS) * len(found)
    assert found == pinned[number * len(found) : (number + 1) * len(found)]
