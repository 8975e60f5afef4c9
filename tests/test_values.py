"""Every value equals pyarrow's, over what writers can choose."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples

from shardline import DataLoader

ROWS = 1200
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def numbers(rng, kind, count):
    """Values of a numpy type over its whole range, every other block repeated so that dictionaries are used."""
    if kind == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if kind.startswith("float"):
        values = rng.standard_normal(count).astype(kind)
        values[:6] = [0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(kind).tiny]
        return values
    info = np.iinfo(kind)
    values = rng.integers(info.min, info.max, count, dtype=kind, endpoint=True)
    values[:2] = [info.min, info.max]
    return np.where(np.arange(count) % 100 < 50, values, values[0]).astype(kind)


def ragged(rng, values, large):
    lengths = rng.integers(0, 9, ROWS)
    lengths[:3] = [0, 0, 5]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    make = pa.LargeListArray if large else pa.ListArray
    return make.from_arrays(pa.array(offsets.astype("i8" if large else "i4")), values(int(offsets[-1])))


def table():
    rng = np.random.default_rng(7)
    columns = {
        kind: pa.array(numbers(rng, kind, ROWS)) for kind in [*INTEGERS, "float16", "float32", "float64", "bool"]
    }
    columns["fixed"] = pa.FixedSizeListArray.from_arrays(pa.array(numbers(rng, "float32", ROWS * 4)), 4)
    columns["fixed_int8"] = pa.FixedSizeListArray.from_arrays(pa.array(numbers(rng, "int8", ROWS * 3)), 3)
    columns["nested"] = pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(pa.array(numbers(rng, "int32", ROWS * 6)), 3), 2
    )
    columns["list"] = ragged(rng, lambda n: pa.array(numbers(rng, "int32", n)), False)
    columns["large_list"] = ragged(rng, lambda n: pa.array(numbers(rng, "float64", n)), True)
    columns["list_float16"] = ragged(rng, lambda n: pa.array(numbers(rng, "float16", n)), False)
    return pa.table(columns)


TABLE = table()


def bits(array):
    """The bytes of a numpy array, so that NaN and -0.0 are compared too."""
    return np.ascontiguousarray(array).tobytes()


def as_numpy(column):
    """A fixed-width column of pyarrow as numpy, (n, d…)."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_fixed_size_list(array.type):
        inner = as_numpy(array.flatten())
        return inner.reshape(len(array), array.type.list_size, *inner.shape[1:])
    return array.to_numpy(zero_copy_only=False)


def same(loader, expected):
    """Asserts that a loader delivers a table's rows in order, bit for bit."""
    batches = list(loader)
    assert list(batches[0]) == expected.schema.names
    for name in expected.schema.names:
        column = expected[name].combine_chunks()
        parts = [batch[name] for batch in batches]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            values = torch.cat([part.values() for part in parts]).numpy()
            lengths = torch.cat([part.offsets().diff() for part in parts]).tolist()
            assert lengths == column.value_lengths().to_pylist(), name
            assert all(int(part.offsets()[0]) == 0 for part in parts), name
            wanted = as_numpy(column.flatten())
        else:
            values, wanted = torch.cat(parts).numpy(), as_numpy(column)
        assert (values.dtype, values.shape) == (wanted.dtype, wanted.shape), name
        assert bits(values) == bits(wanted), name


WRITERS = [
    *({"compression": c} for c in ("snappy", "zstd", "gzip", "lz4", "brotli", "none")),
    {"use_dictionary": False},
    {"use_dictionary": True, "dictionary_pagesize_limit": 200},
    {"data_page_version": "2.0"},
    {"data_page_version": "2.0", "use_dictionary": False, "compression": "none"},
    {"write_page_index": True},
    {"write_page_index": True, "data_page_size": 256, "write_batch_size": 16},
    {"data_page_size": 128, "write_batch_size": 8},
    {"data_page_size": 128, "write_batch_size": 8, "data_page_version": "2.0"},
    {"row_group_size": 7},
    {"version": "1.0"},
    {"version": "2.4"},
    {"write_page_checksum": True},
    {"write_statistics": False},
    {"store_schema": False},
]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: "-".join(f"{k}={v}" for k, v in w.items()))
def test_values_whatever_the_writer_chose(tmp_path, writer):
    expected = TABLE
    if writer.get("version") == "1.0" or not writer.get("store_schema", True):
        # What such files hold is what pyarrow reads back from them; fixed-size lists come back as lists.
        expected = expected.drop_columns(["fixed", "fixed_int8", "nested", "uint32", "large_list"])
    pq.write_table(expected, tmp_path / "t.parquet", **{"row_group_size": 500, **writer})
    same(DataLoader(tmp_path, batch_size=97), pq.read_table(tmp_path / "t.parquet"))


ENCODINGS = [
    ({"int32": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED"}, ["int32", "int64"]),
    ({"float32": "BYTE_STREAM_SPLIT", "float64": "BYTE_STREAM_SPLIT"}, ["float32", "float64"]),
    ({"int32": "BYTE_STREAM_SPLIT", "int64": "PLAIN"}, ["int32", "int64"]),
]


@pytest.mark.parametrize(("encoding", "columns"), ENCODINGS, ids=lambda v: "-".join(v))
def test_other_encodings(tmp_path, encoding, columns):
    expected = TABLE.select(columns)
    pq.write_table(expected, tmp_path / "t.parquet", use_dictionary=False, column_encoding=encoding, row_group_size=500)
    same(DataLoader(tmp_path, batch_size=100), expected)


@examples(150)
@given(
    compression=st.sampled_from(["snappy", "zstd", "gzip", "lz4", "none"]),
    dictionary=st.booleans(),
    version=st.sampled_from(["1.0", "2.0"]),
    index=st.booleans(),
    page=st.sampled_from([64, 1000, 1 << 20]),
    group=st.integers(1, 400),
    batch=st.integers(1, 300),
    nullable=st.booleans(),
    shuffle=st.booleans(),
    columns=st.lists(st.sampled_from(TABLE.schema.names), min_size=1, max_size=5, unique=True),
)
def test_values_over_random_writers(
    tmp_path_factory, compression, dictionary, version, index, page, group, batch, nullable, shuffle, columns
):
    folder = tmp_path_factory.mktemp("values")
    expected = TABLE.select(columns).append_column("row", pa.array(np.arange(ROWS)))
    schema = pa.schema([field.with_nullable(nullable) for field in expected.schema])
    pq.write_table(
        expected.cast(schema),
        folder / "t.parquet",
        compression=compression,
        use_dictionary=dictionary,
        data_page_version=version,
        write_page_index=index,
        data_page_size=page,
        write_batch_size=32,
        row_group_size=group,
    )
    loader = DataLoader(folder, batch_size=batch, shuffle=shuffle, shuffle_buffer_size=100)
    batches = list(loader)
    order = np.concatenate([b["row"].numpy() for b in batches])
    assert sorted(order.tolist()) == list(range(ROWS))
    same(batches, expected.take(pa.array(order)))


@pytest.mark.parametrize("output_format", ["numpy", "arrow", "dict"])
def test_other_outputs_hold_the_same_values(tmp_path, output_format):
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=500)
    batches = list(DataLoader(tmp_path, batch_size=97, output_format=output_format))
    if output_format == "arrow":
        found = pa.Table.from_batches(batches)
        for name in TABLE.schema.names:
            assert found.schema.field(name).type == TABLE.schema.field(name).type
            assert str(found[name].to_pylist()) == str(TABLE[name].to_pylist()), name
    elif output_format == "dict":
        for name in TABLE.schema.names:
            joined = list(itertools.chain.from_iterable(batch[name] for batch in batches))
            assert str(joined) == str(TABLE[name].to_pylist()), name
    else:
        for name in TABLE.schema.names:
            column = TABLE[name].combine_chunks()
            if isinstance(batches[0][name], tuple):
                values = np.concatenate([batch[name][0] for batch in batches])
                lengths = np.concatenate([np.diff(batch[name][1]) for batch in batches])
                assert lengths.tolist() == column.value_lengths().to_pylist()
                assert bits(values) == bits(as_numpy(column.flatten()))
            else:
                assert bits(np.concatenate([batch[name] for batch in batches])) == bits(as_numpy(column)), name


def test_strings_and_nulls_pass_as_arrow(tmp_path):
    expected = pa.table(
        {"s": ["a", None, "c"] * 40, "n": [1, None, 3] * 40, "d": pa.array([0, 1, None] * 40, pa.date32())}
    )
    pq.write_table(expected, tmp_path / "t.parquet", row_group_size=50)
    found = pa.Table.from_batches(list(DataLoader(tmp_path, batch_size=33, output_format="arrow")))
    assert found.equals(expected)
    batches = list(DataLoader(tmp_path, batch_size=33, output_format="dict", shuffle=True))
    assert sorted(map(str, itertools.chain.from_iterable(b["s"] for b in batches))) == sorted(
        map(str, expected["s"].to_pylist())
    )


def test_projection_gives_the_columns_in_the_order_asked(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    batch = next(iter(DataLoader(tmp_path, columns=["list", "bool", "int8"])))
    assert list(batch) == ["list", "bool", "int8"]
