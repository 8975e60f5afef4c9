"""Files of several writers in one data set: what is read is compared, and nothing else; types widen without loss."""

import datetime
import sys
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import columns as t

import shardline
from shardline import DataLoader, Plan, StructuredDataset


def write(folder, *tables):
    folder.mkdir(exist_ok=True)
    for number, columns in enumerate(tables):
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=2)
    return folder


def arrow(path, **options):
    return pa.Table.from_batches(list(DataLoader(path, output_format="arrow", batch_size=3, **options)))


class TestWhatIsRead:
    """A column in which files differ is an error for those who read it."""

    @pytest.fixture
    def folder(self, tmp_path):
        one = {"x": [1, 2, 3], "y": [1, 2, 3], "z": [1, 2, 3], "only": [1, 2, 3]}
        return write(tmp_path / "data", one, {"x": [4], "y": ["a"], "z": [1.5]})

    def test_other_columns_read(self, folder):
        assert arrow(folder, columns=["x"])["x"].to_pylist() == [1, 2, 3, 4]
        (batch,) = DataLoader(folder, matrices={"m": ["x"]}, batch_size=9)
        assert batch["m"].flatten().tolist() == [1, 2, 3, 4]
        assert arrow(folder, columns=["x"], filters=[("x", ">", 2)])["x"].to_pylist() == [3, 4]

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({}, "yz+"),
            ({"columns": ["x", "y"]}, "y"),
            ({"columns": ["x"], "filters": [("z", ">", 2)]}, "z"),
            ({"matrices": {"m": ["x", "y"]}}, "y"),
        ],
        ids=str,
    )
    def test_all_differences_of_what_is_read_are_listed(self, folder, options, named):
        with pytest.raises(shardline.ShardlineValueError, match=r"1\.parquet: column") as caught:
            DataLoader(folder, output_format="arrow" if "matrices" not in options else "torch", **options)
        message = str(caught.value)
        assert [f'column "{name}"' in message for name in ("x", "y", "z", "only")] == [
            False,
            "y" in named,
            "z" in named,
            "+" in named,
        ], message
        assert "0.parquet" in message

    def test_a_saved_plan_knows(self, folder, tmp_path):
        StructuredDataset(folder, columns=["x"]).plan.save(tmp_path / "plan")
        plan = Plan.load(tmp_path / "plan")
        assert sum(len(batch["x"]) for batch in DataLoader(plan=plan, columns=["x"])) == 4
        with pytest.raises(shardline.ShardlineValueError, match=r'column "y" is Utf8 here and Int64'):
            DataLoader(plan=plan, columns=["y"])

    def test_a_name_that_is_there_twice(self, tmp_path):
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["x", "y", "y"])
        write(tmp_path, table, {"x": [4], "y": [5]})
        assert arrow(tmp_path, columns=["x"])["x"].to_pylist() == [1, 4]
        for columns in (None, ["y"]):
            with pytest.raises(shardline.ShardlineValueError, match=r'0\.parquet: column "y" is there twice'):
                DataLoader(tmp_path, columns=columns)

    def test_fields_of_a_struct_that_all_files_have(self, tmp_path):
        write(tmp_path, {"s": [{"a": 1, "b": 2}]}, {"s": [{"a": 3}]})
        assert arrow(tmp_path, columns=["s.a"])["s.a"].to_pylist() == [1, 3]
        for column in ("s", "s.b"):
            with pytest.raises(shardline.ShardlineValueError, match=r"1\.parquet: column \"s"):
                DataLoader(tmp_path, columns=[column], output_format="arrow")

    def test_a_zero_byte_in_a_name(self, tmp_path):
        inner = pa.struct([pa.field("a\0b", pa.int64())])
        write(tmp_path, pa.table({"x": [1], "s": pa.array([{"a\0b": 1}], inner), "l\0": [1]}))
        assert arrow(tmp_path, columns=["x"])["x"].to_pylist() == [1]
        with pytest.raises(shardline.ShardlineValueError, match=r'column "s" has a zero byte.*"l\\0"'):
            DataLoader(tmp_path, output_format="arrow")


S, L = pa.string(), pa.large_string()
PAIRS = [
    (pa.list_(pa.int32()), pa.large_list(pa.int32()), pa.large_list(pa.int32())),
    (pa.list_(pa.int32(), 2), pa.list_(pa.int32()), pa.list_(pa.int32())),
    (pa.list_(pa.int32(), 2), pa.large_list(pa.int64()), pa.large_list(pa.int64())),
    (pa.list_(pa.int32(), 2), pa.list_(pa.int32(), 3), pa.list_(pa.int32())),
    (pa.dictionary(pa.int8(), S), S, S),
    (pa.dictionary(pa.int32(), L), S, L),
    (pa.dictionary(pa.int8(), S), pa.dictionary(pa.int32(), S), pa.dictionary(pa.int32(), S)),
    (pa.string_view(), S, L),
    (pa.binary(3), pa.binary(), pa.binary()),
    (pa.binary_view(), pa.large_binary(), pa.large_binary()),
    (pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("us")),
    (pa.timestamp("us", "UTC"), pa.timestamp("ns", "Etc/UTC"), pa.timestamp("ns", "UTC")),
    (pa.time32("ms"), pa.time64("ns"), pa.time64("ns")),
    (pa.decimal128(10, 2), pa.decimal128(20, 2), pa.decimal128(20, 2)),
    (pa.list_(pa.dictionary(pa.int32(), S)), pa.large_list(S), pa.large_list(S)),
    (pa.struct([("a", pa.list_(pa.int32())), ("b", S)]), pa.struct([("a", pa.large_list(pa.int32())), ("b", L)]), None),
]


@pytest.mark.parametrize(("one", "other", "both"), PAIRS, ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_types_of_two_writers_widen(tmp_path, one, other, both, turned):
    rng = np.random.default_rng(0)
    types = [other, one] if turned else [one, other]
    columns = [t.random_array(rng, type_, 9, 0.2) for type_ in types]
    write(tmp_path, *({"c": column} for column in columns))
    with pytest.raises(shardline.ShardlineValueError, match="widen_types=True"):
        DataLoader(tmp_path, output_format="arrow")
    found = arrow(tmp_path, widen_types=True)["c"].combine_chunks()
    if pa.types.is_timestamp(one):
        both = pa.timestamp(both.unit, types[0].tz)  # the zone is the first file's
        columns = [column.cast(both) for column in columns]
    if both is not None:
        assert found.type.equals(both)
    assert t.same(found.to_pylist(), [value for column in columns for value in column.to_pylist()])


def test_a_time_that_the_finer_unit_has_no_room_for_is_named(tmp_path):
    far = datetime.datetime(2500, 1, 1)
    write(tmp_path, {"t": pa.array([None, far], pa.timestamp("us"))}, {"t": pa.array([0], pa.timestamp("ns"))})
    with pytest.raises(shardline.ShardlineValueError, match=r'0\.parquet: column "t", row group 0, row 1: the value'):
        arrow(tmp_path, widen_types=True)


def test_a_filter_looks_at_the_wider_unit(tmp_path):
    days = [datetime.datetime(2020, 1, day) for day in (1, 2, 3, 4)]
    write(tmp_path, {"t": pa.array(days, pa.timestamp("ms"))}, {"t": pa.array(days, pa.timestamp("us"))})
    found = arrow(tmp_path, widen_types=True, filters=[("t", ">", days[1])])
    assert found["t"].to_pylist() == days[2:] * 2


def test_a_batch_has_one_dictionary_without_duplicates(tmp_path):
    words = pa.array(["a", "b", None, "b", "c", "a", "a"]).dictionary_encode()
    pq.write_table(
        pa.table({"c": words, "l": pa.array([[w] for w in words]).cast(pa.list_(words.type))}),
        tmp_path / "x.parquet",
        row_group_size=2,
    )
    for options in ({}, {"shuffle": True}):
        for batch in DataLoader(tmp_path, output_format="arrow", batch_size=5, **options):
            batch.to_pandas()
            assert len(batch["c"].dictionary) == len(set(batch["c"].dictionary.to_pylist()))
            items = batch["l"].flatten().dictionary.to_pylist()
            assert len(items) == len(set(items))
    found = pa.Table.from_batches(list(DataLoader(tmp_path, output_format="arrow", batch_size=5)))
    assert found["c"].to_pylist() == words.to_pylist()


def test_a_uuid_without_arrows_schema(tmp_path):
    ids = [uuid.UUID(int=i) for i in range(3)]
    table = pa.table({"u": pa.array([i.bytes for i in ids], pa.uuid())})
    pq.write_table(table, tmp_path / "x.parquet", store_schema=False)
    (batch,) = DataLoader(tmp_path, output_format="dict")
    assert batch["u"] == ids
    (batch,) = DataLoader(tmp_path)
    assert batch["u"].tolist() == [list(i.bytes) for i in ids]


@pytest.mark.parametrize("type_", [pa.timestamp("s"), pa.timestamp("us"), pa.date32()], ids=str)
def test_a_date_that_python_has_not_is_named(tmp_path, type_):
    count = 2**31 - 1 if type_ == pa.date32() else 2**62
    values = pa.array([0, count], pa.int32() if type_ == pa.date32() else pa.int64()).view(type_)
    if type_ == pa.timestamp("s"):
        values = pa.array([0, 10**14], pa.int64()).view(type_)
    pq.write_table(
        pa.table({"d": values, "l": pa.array([[v] for v in values]).cast(pa.list_(type_))}), tmp_path / "x.parquet"
    )
    with pytest.raises(shardline.ShardlineValueError, match="column 'd' .* holds a value that Python's objects cannot"):
        list(DataLoader(tmp_path, output_format="dict"))
    with pytest.raises(shardline.ShardlineValueError, match="column 'l' .* holds a value that"):
        list(DataLoader(tmp_path, columns=["l"], column_defaults=shardline.ColumnOptions(lists="objects")))


def test_the_other_columns_of_a_file_with_an_unknown_codec_read(tmp_path):
    """The codec of `y` becomes one that nobody knows: its number is the byte after its path in the footer."""
    pq.write_table(pa.table({"x": [1, 2], "yy": ["a", "b"]}), tmp_path / "x.parquet", compression="snappy")
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    at = data.rindex(b"\x18\x02yy\x15\x02")
    data[at + 5] = 2 * 42
    (tmp_path / "x.parquet").write_bytes(data)
    assert arrow(tmp_path, columns=["x"])["x"].to_pylist() == [1, 2]
    with pytest.raises(
        shardline.ShardlineTypeError, match=r'column "yy" is not supported: its codec has the number 42'
    ):
        DataLoader(tmp_path)


def test_a_page_of_an_unknown_encoding_is_named(tmp_path):
    """The footer says nothing of it: only the header of the page of `yy` does."""
    table = pa.table({"x": [1, 2], "yy": [3, 4]})
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    plain = b"\x15\x00\x15\x06\x15\x06"  # a page's encoding of values (PLAIN) and of levels (RLE)
    at = data.index(plain, data.index(plain) + 1)
    data[at + 1] = 2 * 42
    (tmp_path / "x.parquet").write_bytes(data)
    assert arrow(tmp_path, columns=["x"])["x"].to_pylist() == [1, 2]
    with pytest.raises(shardline.ShardlineError, match=r'x.parquet: column "yy", row group 0: .* encoding number 42'):
        list(DataLoader(tmp_path))


def test_work_grows_with_the_columns_and_not_with_their_square(tmp_path):
    """Counted in calls, since a clock says nothing on a busy machine."""

    def calls(columns: int, matrix: bool) -> int:
        path, names = tmp_path / f"{columns}.parquet", [f"x{i}" for i in range(columns)]
        pq.write_table(pa.table({name: [1.0, 2.0] for name in names}), path)
        options = {"matrices": {"m": names}} if matrix else {}
        count = 0

        def counted(_frame, event, _value):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counted)
        try:
            loader = DataLoader(path, batch_size=2, **options)
            loader.load_state_dict(loader.state_dict())
            next(iter(loader))
        finally:
            sys.setprofile(None)
        return count

    for matrix in (False, True):
        calls(50, matrix)  # what is imported and kept at first use
        few, many = calls(200, matrix), calls(800, matrix)
        assert many < 5 * few, (few, many)


@pytest.mark.timeout(50)
def test_thirty_thousand_columns_in_a_matrix(tmp_path):
    """Work with the square of the columns, in the core too, would take minutes, where this takes about a second."""
    names = [f"x{i}" for i in range(30_000)]
    pq.write_table(pa.table({name: [1.0, 2.0] for name in names}), tmp_path / "x.parquet")
    loader = DataLoader(tmp_path, batch_size=2, matrices={"m": names})
    loader.load_state_dict(loader.state_dict())
    assert len(loader) == 1
