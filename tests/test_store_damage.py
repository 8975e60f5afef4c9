"""Damaged footers in a store: what comes of them is what comes of the same file here, and nothing hangs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.store import Store

from shardline import DataLoader, ShardlineError

ROWS = 20_000


def outcome(path, **arguments):
    """The rows, or the kind of error."""
    try:
        return list(DataLoader(path, batch_size=3000, output_format="dict", num_threads=1, **arguments))
    except ShardlineError as caught:
        error = caught
    assert "a.parquet" in str(error)
    assert "internal error" not in str(error)
    return type(error)


def varint(number, length=1):
    """As Thrift's compact protocol writes it, in so many bytes at least."""
    number <<= 1
    length = max(length, -(-number.bit_length() // 7))
    return bytes((number >> 7 * n) & 127 | (128 if n < length - 1 else 0) for n in range(length))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("prefetch", [1, "256MiB"])
@pytest.mark.parametrize("place", ["same", "inside", "around"])
def test_column_chunks_that_overlap(tmp_path, prefetch, place):
    """The footer says that b begins where a does, inside it, or a little before it."""
    table = pa.table({"a": np.arange(ROWS), "b": np.arange(ROWS, dtype="i4"), "c": np.arange(ROWS) * 3})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False, write_statistics=False)
    body = (tmp_path / "a.parquet").read_bytes()
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        a, b, c = (file.metadata.row_group(0).column(n) for n in range(3))
    moved, to = {
        "same": (b, a.data_page_offset),
        "inside": (b, a.data_page_offset + 100_000),
        "around": (c, b.data_page_offset - 10),
    }[place]
    end = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    old = varint(moved.data_page_offset)
    new = varint(to, len(old))
    footer = body[end:].replace(old, new)
    assert footer != body[end:]
    assert len(footer) == len(body) - end
    (tmp_path / "a.parquet").write_bytes(body[:end] + footer)
    here = outcome(tmp_path / "a.parquet")
    with Store(tmp_path) as store:
        there = outcome(store.url, storage_options=store.options, prefetch_bytes=prefetch)
    assert here == there


@pytest.fixture(scope="module")
def small():
    table = pa.table(
        {
            "i": np.arange(60),
            "d": pa.array([n % 3 for n in range(60)], pa.int32()),
            "t": pa.array([[n] * (n % 4) for n in range(60)], pa.list_(pa.int16())),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=25, use_dictionary=["d"], write_page_index=True)
    with Store() as store:
        yield sink.getvalue().to_pybytes(), store


@examples(60)
@given(data=st.data(), filters=st.sampled_from([None, [("d", "=", 1)]]))
def test_any_footer(tmp_path_factory, small, data, filters):
    body, store = small
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    damaged = bytearray(body)
    places = st.integers(footer, len(body) - 9)
    for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3)):
        damaged[at] = byte
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    path.write_bytes(damaged)
    store.objects = {"data/a.parquet": bytes(damaged)}
    here = outcome(path, filters=filters)
    there = outcome(store.url, filters=filters, storage_options=store.options)
    assert here == there
