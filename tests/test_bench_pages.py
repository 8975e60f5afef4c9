"""The pages that `shardline bench` walks: its limit."""

import os
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.benched import turn

from shardline.benchmark import pages_turn
from shardline.benchmark.page_walk import pages


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
def test_pages_are_all_that_is_in_a_chunk(tmp_path, version, dictionary, codec):
    rng = np.random.default_rng(0)
    table = pa.table({
        "n": rng.integers(0, 50, 5000),
        "s": [None if i % 7 == 0 else f"text {i % 40}" for i in range(5000)],
        "l": pa.array([list(range(i % 5)) for i in range(5000)], pa.list_(pa.int32())),
    })  # fmt: skip
    how = {"data_page_version": version, "use_dictionary": dictionary, "compression": codec}
    pq.write_table(
        table, tmp_path / "x.parquet", row_group_size=3000, data_page_size=1000, write_page_checksum=True, **how
    )
    data, footer = (tmp_path / "x.parquet").read_bytes(), pq.read_metadata(tmp_path / "x.parquet")
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            chunk = footer.row_group(group).column(number)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            whole = memoryview(data)[start : start + chunk.total_compressed_size]
            found = list(pages(whole))
            headers = found[0].start + sum(b.start - a.end for a, b in pairwise(found))
            assert found[-1].end == len(whole)
            assert headers + sum(page.size + page.levels for page in found) == chunk.total_uncompressed_size
    done = pages_turn.run(turn(tmp_path, "pages", threads=2, seconds=0.05))
    assert done.rows % 1000 == 0
    assert done.page_bytes > 0


def test_what_is_no_page_is_an_error():
    for data in (b"\x00" * 40, bytes([0x15, 0, 0x15, 0x14, 0x15, 0x7F, 0]), b"\xff" * 40):
        with pytest.raises((KeyError, ValueError, IndexError)):
            list(pages(memoryview(data)))


def test_the_limit_reads_the_columns_that_are_read(tmp_path):
    pq.write_table(pa.table({"a": range(9000), "b": [0] * 9000}), tmp_path / "x.parquet", use_dictionary=False)
    a, both = (
        pages_turn.run(turn(tmp_path, "pages", arguments=arguments)).page_bytes
        for arguments in ({"columns": ["a"]}, {})
    )
    assert a == pytest.approx(both)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    for names, chunks in ((["a"], [group.column(0)]), (["a", "b"], [group.column(0), group.column(1)])):
        file = os.open(tmp_path / "x.parquet", os.O_RDONLY)
        size, _ = pages_turn.read_group(file, chunks, pages_turn.Memory())
        assert abs(size - 9000 * 8 * len(names)) < 1000
