"""What files hold and readers are known to lose without a word: read exactly, or an error that names the row."""

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from shardline import ColumnOptions, DataLoader, ShardlineTypeError, ShardlineValueError

DATA = Path(__file__).parent / "data"


def only(path, **options):
    """The one batch of a file."""
    (batch,) = DataLoader(path, **options)
    return batch


# --- timestamps of 96 bits --------------------------------------------------------------------------------------------

FAR = [dt.datetime(2000, 1, 1), None, dt.datetime(2262, 4, 11), dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1)]


def int96(path, values, type_=None, **writer):
    """A file of the column `t` and row numbers `i`, timestamps in 96 bits."""
    type_ = type_ or pa.timestamp("us")
    table = pa.table({"t": pa.array(values, type_), "i": pa.array(range(len(values)), pa.int64())})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=False, **writer)
    leaves = pq.ParquetFile(path).schema
    assert any(leaves.column(leaf).physical_type == "INT96" for leaf in range(len(leaves)))


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("output", ["torch", "arrow", "dict"])
@pytest.mark.parametrize(("far", "seconds"), [(FAR[3], 253402214400), (FAR[4], -62135596800)])
def test_a_timestamp_beyond_nanoseconds_is_an_error_that_names_the_row(tmp_path, dictionary, output, far, seconds):
    # One such row: of several, in row groups that are decoded at the same time, any may be met first.
    int96(tmp_path / "a.parquet", [*FAR[:3], far], use_dictionary=dictionary, row_group_size=2)
    options = {"output_format": output, "batch_size": 3, "column_defaults": ColumnOptions(nulls="fill", fill=0)}
    batches = iter(DataLoader(tmp_path, **options))
    with pytest.raises(ShardlineValueError, match=rf'a\.parquet: column "t", row group 1, row 3: .* {seconds} .*"us"'):
        list(batches)
    assert len(next(iter(DataLoader(tmp_path, columns=["i"], **options | {"batch_size": 4})))["i"]) == 4


@pytest.mark.parametrize(
    ("type_", "wrap"),
    [
        (pa.list_(pa.timestamp("us")), lambda t: [t, t]),
        (pa.struct([("x", pa.timestamp("us")), ("y", pa.int64())]), lambda t: {"x": t, "y": 1}),
        (pa.map_(pa.string(), pa.timestamp("us")), lambda t: [("k", t)]),
    ],
)
def test_so_it_is_inside_of_lists_structs_and_maps(tmp_path, type_, wrap):
    near = [wrap(FAR[0]), None, wrap(FAR[2])]
    int96(tmp_path / "a.parquet", near, type_)
    assert only(tmp_path, columns=["t"], output_format="dict")["t"] == near
    int96(tmp_path / "a.parquet", [*near, wrap(FAR[3])], type_)
    with pytest.raises(ShardlineValueError, match=r'column "t", row group 0, row 3: the timestamp of 96 bits'):
        only(tmp_path, output_format="dict")


def test_a_filter_does_not_lose_the_row_either(tmp_path):
    int96(tmp_path / "a.parquet", FAR)
    with pytest.raises(ShardlineValueError, match="row group 0, row 3"):
        list(DataLoader(tmp_path, columns=["i"], filters=[("t", ">", dt.datetime(2000, 6, 1))]))
    int96(tmp_path / "a.parquet", FAR[:3])
    batch = only(tmp_path, columns=["i"], filters=[("t", ">", dt.datetime(2000, 6, 1))])
    assert batch["i"].tolist() == [2]


def test_timestamps_at_the_ends_of_nanoseconds_are_exact(tmp_path):
    values = [-(2**63) + 1, -1, 0, 1, 2**63 - 1]
    int96(tmp_path / "a.parquet", values, pa.timestamp("ns"))
    assert only(tmp_path)["t"].tolist() == values


# --- numbers in dictionaries ------------------------------------------------------------------------------------------

DAY = dt.date(2024, 2, 29)
NUMBERS = [
    (pa.int8(), [-3, 7]),
    (pa.int64(), [2**60 + 1, -(2**60)]),
    (pa.uint16(), [7, 65_535]),
    (pa.uint64(), [2**64 - 1, 1]),
    (pa.float16(), [np.float16(0.5), np.float16(-2)]),
    (pa.float32(), [0.25, -8.0]),
    (pa.float64(), [1e300, -0.1]),
    (pa.bool_(), [True, False]),
    (pa.date32(), [DAY, dt.date(1960, 1, 1)]),
    (pa.timestamp("us"), [dt.datetime(2024, 2, 29, 1, 2, 3, 4), dt.datetime(1960, 1, 1)]),
    (pa.timestamp("ms", "UTC"), [dt.datetime(2024, 2, 29, tzinfo=dt.UTC), dt.datetime(1960, 1, 1, tzinfo=dt.UTC)]),
    (pa.time64("us"), [dt.time(1, 2, 3, 4), dt.time(0)]),
    (pa.duration("s"), [dt.timedelta(seconds=5), dt.timedelta(days=-1)]),
    (pa.decimal128(7, 2), [Decimal("12345.67"), Decimal("-0.01")]),
]


@pytest.mark.parametrize(("type_", "values"), NUMBERS, ids=[str(type_) for type_, _ in NUMBERS])
def test_numbers_in_a_dictionary_are_values(tmp_path, type_, values):
    keys = pa.array([1, 0, None, 1, 0], pa.int8())
    column = pa.DictionaryArray.from_arrays(keys, pa.array(values, type_))
    lists = pa.ListArray.from_arrays([0, 2, 5], pa.DictionaryArray.from_arrays(keys.fill_null(0), column.dictionary))
    pq.write_table(pa.table({"c": column}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"l": lists}), tmp_path / "b.parquet")
    (tmp_path / "plain").mkdir()
    pq.write_table(pa.table({"c": column.cast(type_)}), tmp_path / "plain" / "a.parquet")
    options = {"column_defaults": ColumnOptions(nulls="mask")}
    found, wanted = only(tmp_path / "a.parquet", **options), only(tmp_path / "plain", **options)
    assert found["c"].dtype == wanted["c"].dtype
    assert all(torch.equal(found[key], wanted[key]) for key in ("c", "c__mask"))
    assert only(tmp_path / "a.parquet", output_format="dict")["c"] == column.to_pylist()
    assert only(tmp_path / "b.parquet", output_format="dict")["l"] == lists.to_pylist()
    assert only(tmp_path / "a.parquet", output_format="arrow").schema.field("c").type == type_
    loader = DataLoader(tmp_path / "a.parquet", **options)
    described = loader.dataset.schema["c"]
    assert (described.encode, described.vocabulary, described.num_ids) == (None, None, None)
    assert described.dtype == found["c"].dtype


def test_pandas_categories_of_integers_are_the_integers(tmp_path):
    frame = pd.DataFrame({"c": pd.Categorical([10, 20, 10]), "s": pd.Categorical(["x", "y", "x"])})
    frame.to_parquet(tmp_path / "a.parquet")
    batch = only(tmp_path)
    assert (batch["c"].tolist(), batch["s"].tolist()) == ([10, 20, 10], [0, 1, 0])
    narrow = only(tmp_path, columns=["c"], column_options={"c": ColumnOptions(dtype="float32")})["c"]
    assert (narrow.dtype, narrow.tolist()) == (torch.float32, [10.0, 20.0, 10.0])
    loader = DataLoader(tmp_path, column_options={"c": ColumnOptions(encode="codes")})
    assert next(iter(loader))["c"].tolist() == [0, 1, 0]
    assert loader.dataset.schema["c"].vocabulary == [10, 20]
    assert only(tmp_path, columns=["s"], filters=[("c", "==", 20)])["s"].tolist() == [1]


def test_a_dictionary_in_a_file_and_none_in_another_are_one_type(tmp_path):
    pq.write_table(pa.table({"c": pa.array([5, 6]).dictionary_encode()}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"c": pa.array([6, 7])}), tmp_path / "b.parquet")
    assert only(tmp_path)["c"].tolist() == [5, 6, 6, 7]


def test_arrow_data_are_codes_only_where_these_are_asked_for(tmp_path):
    pq.write_table(pa.table({"s": pa.array(["b", None, "a"]).dictionary_encode()}), tmp_path / "a.parquet")
    of = lambda **options: only(tmp_path, output_format="dict", column_options={"s": ColumnOptions(**options)})["s"]  # noqa: E731
    assert of(nulls="keep") == ["b", None, "a"]
    assert of(nulls="fill") == ["b", "", "a"]
    assert of(nulls="fill", fill="z") == ["b", "z", "a"]
    assert of(encode="codes") == [0, 2, 1]


# --- the ids of nulls -------------------------------------------------------------------------------------------------

WORDS = ["b", None, "a"]
COLUMNS = {
    "plain": pa.array(WORDS),
    "dictionary": pa.array(WORDS).dictionary_encode(),
    "integers": pa.array([5, None, 3]),
}


@pytest.mark.parametrize("name", list(COLUMNS))
@pytest.mark.parametrize("defaults", [None, "fill", "mask"])
@pytest.mark.parametrize("encode", ["hash", "codes"])
def test_the_id_of_a_null_is_no_values(tmp_path, name, defaults, encode):
    pq.write_table(pa.table({"c": COLUMNS[name]}), tmp_path / "a.parquet")
    own = ColumnOptions(encode="hash", buckets=1000) if encode == "hash" else ColumnOptions(encode="codes")
    loader = DataLoader(
        tmp_path, column_options={"c": own}, column_defaults=ColumnOptions(nulls=defaults) if defaults else None
    )
    batch = next(iter(loader))
    last = 1000 if encode == "hash" else 2
    ids = batch["c"].tolist()
    assert (ids[1], loader.dataset.schema["c"].num_ids) == (last, last + 1)
    assert last not in (ids[0], ids[2])
    assert list(batch) == (["c", "c__mask"] if defaults == "mask" else ["c"])
    assert loader.dataset.schema["c"].nulls == ("mask" if defaults == "mask" else "id")


def test_a_null_in_a_dictionary_is_not_its_first_category(tmp_path):
    pq.write_table(pa.table({"c": COLUMNS["dictionary"]}), tmp_path / "a.parquet")
    loader = DataLoader(tmp_path, column_defaults=ColumnOptions(nulls="fill"))
    assert next(iter(loader))["c"].tolist() == [0, 2, 1]
    assert loader.dataset.schema["c"].num_ids == 3


def test_a_fill_that_was_given_is_the_id(tmp_path):
    pq.write_table(pa.table({"c": COLUMNS["plain"]}), tmp_path / "a.parquet")
    for fill, num_ids in ((0, 11), (-1, 11), (12, 13)):
        own = ColumnOptions(encode="hash", buckets=10, nulls="fill", fill=fill)
        loader = DataLoader(tmp_path, column_options={"c": own})
        assert next(iter(loader))["c"][1].item() == fill
        assert loader.dataset.schema["c"].num_ids == num_ids
    own = ColumnOptions(encode="codes", vocabulary=["a"], unknown=7)
    loader = DataLoader(tmp_path, column_options={"c": own})
    assert (next(iter(loader))["c"].tolist(), loader.dataset.schema["c"].num_ids) == ([7, 1, 0], 8)


def test_ids_in_a_matrix_have_one_for_nulls(tmp_path):
    pq.write_table(pa.table({"a": COLUMNS["plain"], "b": COLUMNS["dictionary"]}), tmp_path / "a.parquet")
    ids = ColumnOptions(encode="hash", buckets=10)
    for options in ({"x": ids}, {"a": ids, "b": ids}):
        assert only(tmp_path, matrices={"x": ["a", "b"]}, column_options=options)["x"][1].tolist() == [10, 10]


def test_defaults_hold_for_whatever_a_columns_own_options_leave_open(tmp_path):
    pq.write_table(pa.table({"n": pa.array([1, None]), "m": pa.array([1, None])}), tmp_path / "a.parquet")
    own = {"n": ColumnOptions(dtype="float32"), "m": ColumnOptions(nulls="nan")}
    batch = only(tmp_path, column_defaults=ColumnOptions(nulls="fill", fill=9), column_options=own)
    assert (batch["n"].dtype, batch["n"].tolist()) == (torch.float32, [1.0, 9.0])
    assert batch["m"].isnan().tolist() == [False, True]  # its own policy: the default's fill is not for it


# --- intervals --------------------------------------------------------------------------------------------------------


def test_an_interval_is_its_bytes(tmp_path):
    path = DATA / "interval_duckdb.parquet"
    wanted = pq.read_table(path)["v"].to_pylist()
    assert [int.from_bytes(row[:4], "little") for row in wanted if row] == [0, 1, 2, 4]  # months
    assert only(path, output_format="dict")["v"] == wanted
    assert only(path, output_format="arrow").schema.field("v").type == pa.binary(12)
    batch = only(path, column_options={"v": ColumnOptions(nulls="fill")})["v"]
    assert [bytes(row.tolist()) for row in batch] == [row or bytes(12) for row in wanted]
    counts = only(path, column_options={"v": ColumnOptions(nulls="fill", dtype="int32")})["v"]
    assert counts[4].tolist() == [4, 8, 4007]
    assert only(path, output_format="dict", filters=[("i", ">=", 4)])["v"] == wanted[4:]


# --- text that is not UTF-8 -------------------------------------------------------------------------------------------

BYTES = [b"a", b"\xffb", "é".encode(), None]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]


def not_text(type_, values=BYTES):
    """Strings that are not UTF-8, which pyarrow makes only of bytes that it does not look at."""
    if pa.types.is_string_view(type_):
        return pa.array(values, pa.binary_view()).view(type_)
    return pa.array(values, pa.large_binary() if pa.types.is_large_string(type_) else pa.binary()).view(type_)


def texts(folder, type_=None, rows=1, **writer):
    """Files of the columns `s` and `i`: each value of BYTES comes `rows` times in a row."""
    column = not_text(type_ or pa.string(), [value for value in BYTES for _ in range(rows)])
    pq.write_table(pa.table({"s": column, "i": range(len(column))}), folder / "a.parquet", **writer)


@pytest.mark.parametrize("type_", TEXTS, ids=str)
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("output", ["torch", "numpy", "arrow", "dict"])
def test_text_that_is_not_utf8_names_its_row_or_is_replaced(tmp_path, type_, dictionary, output):
    texts(tmp_path, type_, rows=5_000, use_dictionary=dictionary, row_group_size=4_500)
    keep = {"output_format": output, "column_defaults": ColumnOptions(nulls="keep"), "columns": ["s"]}
    where = r'a\.parquet: column "s", row group (1, row 5000|2, row 9000)'
    wrong = where + r': the text b"\\xffb" is not UTF-8; .*errors="replace"'
    with pytest.raises(ShardlineValueError, match=wrong):
        list(DataLoader(tmp_path, **keep))
    replaced = DataLoader(tmp_path, column_options={"s": ColumnOptions(errors="replace")}, batch_size=1_000, **keep)
    found = [value for b in replaced for value in (b["s"].to_pylist() if output == "arrow" else b["s"])]
    assert found == [value for value in ["a", "\ufffdb", "é", None] for _ in range(5_000)]


def test_bytes_and_hashes_need_no_utf8(tmp_path):
    texts(tmp_path)
    masked = {"strings": "bytes", "nulls": "mask"}
    values, offsets = only(tmp_path, column_options={"s": ColumnOptions(**masked)})["s"]
    ends = offsets.tolist()
    cut = [bytes(values[a:b].tolist()) for a, b in zip(ends, ends[1:], strict=False)]
    assert cut == [value or b"" for value in BYTES]
    (tmp_path / "binary").mkdir()
    pq.write_table(pa.table({"s": pa.array(BYTES, pa.binary())}), tmp_path / "binary" / "a.parquet")
    ids = {"column_options": {"s": ColumnOptions(encode="hash", buckets=10**9)}}
    assert torch.equal(only(tmp_path / "a.parquet", **ids)["s"], only(tmp_path / "binary", **ids)["s"])
    known = ColumnOptions(encode="codes", vocabulary=["é", "a"], unknown=9)
    assert only(tmp_path / "a.parquet", column_options={"s": known})["s"].tolist() == [1, 9, 0, 2]


def test_codes_of_text_that_is_not_utf8(tmp_path):
    texts(tmp_path)
    with pytest.raises(ShardlineValueError, match="row group 0, row 1: the text"):
        only(tmp_path, column_options={"s": ColumnOptions(encode="codes")})
    loader = DataLoader(tmp_path, column_options={"s": ColumnOptions(encode="codes", errors="replace")})
    assert next(iter(loader))["s"].tolist() == [0, 1, 2, 3]
    assert loader.dataset.vocabulary("s") == loader.dataset.schema["s"].vocabulary == ["a", "\ufffdb", "é"]


def test_filters_compare_bytes(tmp_path):
    texts(tmp_path)
    assert only(tmp_path, columns=["i"], filters=[("s", "==", "é")])["i"].tolist() == [2]


@pytest.mark.parametrize(
    ("wrap", "type_"),
    [
        (lambda s: pa.ListArray.from_arrays([0, 1, 1, 3, 4], s), pa.list_(pa.string())),
        (lambda s: pa.StructArray.from_arrays([s], ["x"]), pa.struct([("x", pa.string())])),
        (lambda s: pa.MapArray.from_arrays([0, 1, 1, 3, 4], pa.array(list("kkkk")), s), pa.map_("utf8", "utf8")),
        (lambda s: pa.FixedSizeListArray.from_arrays(s, 2), pa.list_(pa.string(), 2)),
        (lambda s: s.dictionary_encode(), pa.dictionary(pa.int32(), pa.string())),
    ],
    ids=["list", "struct", "map", "fixed", "dictionary"],
)
def test_text_inside_of_other_types(tmp_path, wrap, type_):
    column = wrap(not_text(pa.string()))
    good = wrap(pa.array(["a", "\ufffdb", "é", None]))
    row = {"list": 2, "fixed": 0}.get("fixed" if type_.id == pa.list_(pa.int8(), 2).id else str(type_)[:4], 1)
    row = 2 if pa.types.is_map(type_) else row
    pq.write_table(pa.table({"c": column}), tmp_path / "a.parquet")
    with pytest.raises(ShardlineValueError, match=rf'column "c", row group 0, row {row}: the text b"\\xffb"'):
        only(tmp_path, output_format="dict")
    found = only(tmp_path, output_format="arrow", column_options={"c": ColumnOptions(errors="replace")})
    assert found.column("c").to_pylist() == good.to_pylist()


def test_the_policy_is_for_strings(tmp_path):
    pq.write_table(pa.table({"n": [1], "b": [b"x"]}), tmp_path / "a.parquet")
    for name in ("n", "b"):
        with pytest.raises(ShardlineTypeError, match="errors= is for strings"):
            DataLoader(tmp_path, column_options={name: ColumnOptions(errors="replace")})
    assert only(tmp_path, column_defaults=ColumnOptions(errors="replace"))["b"] == [b"x"]
    with pytest.raises(ShardlineValueError, match="errors"):
        ColumnOptions(errors="ignore")


# --- pages of old writers ---------------------------------------------------------------------------------------------

LISTS = DATA / "lists_v2_pyarrow11.parquet"


@pytest.mark.parametrize("name", ["a", "s", "n"])
def test_rows_of_lists_in_pages_that_count_items(name):
    """A rank, a resume and a filter pass over rows, and all of them are read."""
    wanted = dict(zip(*pq.read_table(LISTS, columns=["i", name]).to_pydict().values(), strict=True))

    def rows(**options):
        loader = DataLoader(LISTS, batch_size=20, columns=["i", name], output_format="dict", **options)
        return [row for batch in loader for row in zip(batch["i"], batch[name], strict=True)]

    assert dict(rows()) == wanted
    for ranks in (2, 3, 7):
        parts = [row for rank in range(ranks) for row in rows(rank=rank, num_ranks=ranks)]
        assert dict(parts) == wanted
        assert len(parts) == len(wanted)
    assert rows(filters=[("i", ">=", 377)]) == [row for row in wanted.items() if row[0] >= 377]
    assert rows(filters=[[("i", "in", [3, 290, 555])]]) == [(i, wanted[i]) for i in (3, 290, 555)]
    for step in (1, 9, 16):
        loader = DataLoader(LISTS, batch_size=20, columns=["i", name], output_format="dict")
        resumed = DataLoader(LISTS, batch_size=20, columns=["i", name], output_format="dict")
        resumed.load_state_dict(loader.state_at(step))
        assert [row for b in resumed for row in b["i"]] == list(range(20 * step, 600))
        resumed.load_state_dict(loader.state_at(step))
        assert [row for b in resumed for row in b[name]] == [wanted[i] for i in range(20 * step, 600)]


def flagged(path, version):
    """Says of all compressed pages of version 2 that they are not, as `version` of Arrow did."""
    content = bytearray(path.read_bytes())
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    for chunk in map(chunks.column, range(chunks.num_columns)):
        at = chunk.data_page_offset
        header = re.compile(rb"\x15\x06(\x15[\x80-\xff]*[\x00-\x7f]){2}\x5c(\x15[\x80-\xff]*[\x00-\x7f]){6}\x11")
        found = header.match(content, at)
        assert found, bytes(content[at : at + 40])
        content[found.end() - 1] = 0x12
    now = f"parquet-cpp-arrow version {pa.__version__}".encode()
    assert content.count(now) == 1
    path.write_bytes(content.replace(now, f"parquet-cpp-arrow version {version}".encode().ljust(len(now), b" ")))


@pytest.mark.parametrize("codec", ["snappy", "zstd", "lz4"])
@pytest.mark.parametrize("version", ["2.0.0", "8.0.0"])
def test_compressed_pages_that_are_flagged_as_not_compressed(tmp_path, codec, version):
    table = pa.table({"n": [1, 2, 3, 4, 5] * 200, "m": [1, None, 3] * 333 + [7], "s": ["aaaaaaa", "b"] * 500})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, data_page_version="2.0", compression=codec, use_dictionary=False)
    flagged(path, version)
    assert only(tmp_path, output_format="dict") == table.to_pydict()
    assert only(tmp_path, columns=["n"])["n"].tolist() == table["n"].to_pylist()


def test_a_codec_of_another_reader_is_refused_then(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"n": [1, 2, 3, 4, 5] * 200}), path, data_page_version="2.0", compression="gzip", use_dictionary=False
    )
    flagged(path, "2.0.0")
    with pytest.raises(ShardlineValueError, match=r'column "n".*flagged as not compressed.*write the file again'):
        only(tmp_path)
