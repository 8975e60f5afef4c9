"""Types of files that are not those of their Delta table: narrower, timestamps of 96 bits, other structs."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake
from support import delta, ids

from shardline import ShardlineError, ShardlineValueError, StructuredDataset

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12, 30, 1, 5)
UTC = datetime.UTC


def read(path, **options):
    options = {"batch_size": 7, "output_format": "arrow", "format": "delta", **options}
    return pa.Table.from_batches(list(StructuredDataset(path, **options)))


def decimal(digits, places):
    return pa.decimal128(digits, places)


# Types of a column in a file and in the table, that as the log writes it; values, and the same in the table's type.
WIDENED = {
    "int to long": (pa.int32(), pa.int64(), "long", [1, None, -(2**31)], None),
    "byte to short": (pa.int8(), pa.int16(), "short", [-128, None, 4], None),
    "float to double": (pa.float32(), pa.float64(), "double", [1.5, None, -0.0], None),
    "int to double": (pa.int32(), pa.float64(), "double", [2**31 - 1, None, -7], [2.0**31 - 1, None, -7.0]),
    "short to double": (pa.int16(), pa.float64(), "double", [-(2**15), None, 3], [-(2.0**15), None, 3.0]),
    "digits": (decimal(6, 2), decimal(12, 2), "decimal(12,2)", [Decimal("1.25"), None, Decimal("-9999.99")], None),
    "places": (decimal(6, 2), decimal(12, 4), "decimal(12,4)", [Decimal("1.25"), None, Decimal("-9999.99")], None),
    "more": (decimal(20, 2), decimal(38, 10), "decimal(38,10)", [Decimal(10**17), None, Decimal("-0.01")], None),
    "byte to decimal": (pa.int8(), decimal(10, 0), "decimal(10,0)", [-128, None, 3], [Decimal(-128), None, Decimal(3)]),
    "long to decimal": (pa.int64(), decimal(22, 2), "decimal(22,2)", [-(2**63), None, 1], [Decimal(-(2**63)), None, 1]),
    "date to timestamp": (
        *(pa.date32(), pa.timestamp("us"), "timestamp_ntz", [DAY, None, datetime.date(1, 1, 1)]),
        [datetime.datetime(2024, 2, 29), None, datetime.datetime(1, 1, 1)],
    ),
}


@pytest.mark.parametrize("kind", WIDENED)
@pytest.mark.parametrize("encoding", [{}, {"use_dictionary": False}])
def test_types_that_were_widened(tmp_path, kind, encoding):
    narrow, wide, name, values, same = WIDENED[kind]
    path = tmp_path / "t"
    numbers = pa.array(range(3), pa.int64())
    write_deltalake(path, pa.table({"i": numbers[:0], "x": pa.array([], narrow)}))
    delta.add_file(path, "a.parquet", pa.table({"i": numbers, "x": pa.array(values, narrow)}), **encoding)
    features = ["typeWidening", *(["timestampNtz"] if name == "timestamp_ntz" else [])]
    delta.retype(path, {"x": name}, *features)
    wanted = pa.array(same or values, wide)
    for count in (1, 2):
        found = read(path)
        assert found.schema.field("x").type == wide
        assert found["x"].to_pylist() == wanted.to_pylist() * count
        # Statistics of the older file are in its own units.
        for i, value in enumerate(wanted):
            if value.is_valid:
                for condition in (("x", "=", value), ("x", "<=", value), ("x", ">=", value)):
                    rows = read(path, filters=[(*condition[:2], value.as_py())])["i"].to_pylist()
                    assert rows.count(i) == count, condition
        newer = pa.table({"i": numbers, "x": wanted})
        delta.add_file(path, "b.parquet", newer, **encoding)


def test_what_no_table_widens_is_refused_by_the_column(tmp_path):
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"i": pa.array([0], pa.int64()), "x": ["a"]}))
    delta.retype(path, {"x": "long"}, "typeWidening")
    with pytest.raises(
        ShardlineError, match='column "x" is Utf8 in this file and Int64 in the table.*leave the column'
    ):
        read(path)
    assert read(path, columns=["i"])["i"].to_pylist() == [0]


@pytest.mark.parametrize("encoding", [{}, {"use_dictionary": False}])
def test_timestamps_of_96_bits(tmp_path, encoding):
    """As Spark writes them; years that nanoseconds of 64 bits do not have, too."""
    path = tmp_path / "t"
    times = [NOON, None, datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)]
    utc = [time and time.replace(tzinfo=UTC) for time in times]
    stamps = pa.array(utc, pa.timestamp("us", "UTC"))
    rows = pa.table({"i": pa.array(range(4), pa.int64()), "t": stamps, "s": [[{"t": each}] for each in utc]})
    rows = rows.set_column(2, "s", rows["s"].cast(pa.list_(pa.struct({"t": stamps.type}))))
    write_deltalake(path, rows)
    for name in ("a.parquet", "b.parquet"):
        delta.add_file(path, name, rows, use_deprecated_int96_timestamps=True, **encoding)
    for found in (read(path), read(path, batch_size=100)):
        assert found.schema.field("t").type == stamps.type
        assert found["t"].to_pylist() == utc * 3
        assert found["s"].to_pylist() == [[{"t": each}] for each in utc] * 3
    late = datetime.datetime(3000, 1, 1, tzinfo=UTC)
    assert read(path, filters=[("t", ">", late)])["i"].to_pylist() == [3, 3, 3]
    tensors = StructuredDataset(path, format="delta", batch_size=12, columns=["t"], filters=[("i", "=", 3)])
    assert [batch["t"].tolist() for batch in tensors] == [[int(stamps.cast(pa.int64())[3].as_py())] * 3]


def test_structs_that_got_and_lost_fields(tmp_path):
    path = tmp_path / "t"
    long, text = (
        {"nullable": True, "metadata": {}, "type": "long"},
        {"nullable": True, "metadata": {}, "type": "string"},
    )
    struct = {"type": "struct", "fields": [{"name": "new", **text}, {"name": "x", **long}]}
    array = {"type": "array", "elementType": struct, "containsNull": True}
    old = pa.table(
        {
            "i": pa.array([0, 1], pa.int64()),
            "s": pa.array([{"x": 1, "gone": "a"}, None]),
            "l": pa.array([[{"x": 1, "gone": "a"}, None], []]),
        }
    )
    write_deltalake(path, old)
    delta.retype(path, {"s": struct, "l": array})
    new = {
        "i": pa.array([2], pa.int64()),
        "s": pa.array([{"new": "n", "x": 3}]),
        "l": pa.array([[{"new": "n", "x": 3}]]),
    }
    delta.add_file(path, "z.parquet", pa.table(new))
    wanted = {
        0: ({"new": None, "x": 1}, [{"new": None, "x": 1}, None]),
        1: (None, []),
        2: ({"new": "n", "x": 3}, [{"new": "n", "x": 3}]),
    }
    assert {row["i"]: (row["s"], row["l"]) for row in read(path).to_pylist()} == wanted
    fields = read(path, columns=["i", "s.new", "s.x", "l.x"]).to_pylist()
    assert {row["i"]: (row["s.new"], row["s.x"], row["l.x"]) for row in fields} == {
        0: (None, 1, [1, None]),
        1: (None, None, []),
        2: ("n", 3, [3]),
    }
    assert read(path, columns=["i"], filters=pc.field("s", "new") == "n")["i"].to_pylist() == [2]
    with pytest.raises(ShardlineError, match=r'the lists in this file have no such field.*columns=\["l"\]'):
        read(path, columns=["l.new"])


def test_columns_that_a_table_lacks_or_got_later(tmp_path):
    path = tmp_path / "t"
    write_deltalake(path, pa.table({"i": pa.array([0], pa.int64()), "gone": [1.5]}))
    meta = delta.entry(path, "metaData")
    schema = json.loads(meta["schemaString"])
    schema["fields"] = [{"name": "late", "type": "integer", "nullable": True, "metadata": {}}, schema["fields"][0]]
    delta.commit(path, {"metaData": {**meta, "schemaString": json.dumps(schema)}})
    assert read(path).to_pylist() == [{"late": None, "i": 0}]
    with pytest.raises(ShardlineValueError, match="late.*null"):
        ids(StructuredDataset(path, format="delta"))
    delta.add_file(path, "z.parquet", pa.table({"i": pa.array([1], pa.int64()), "late": pa.array([7], pa.int32())}))
    assert sorted(read(path).to_pylist(), key=lambda row: row["i"]) == [{"late": None, "i": 0}, {"late": 7, "i": 1}]
    assert ids(StructuredDataset(path, format="delta", columns=["i", "late"], filters=[("late", "=", 7)])) == [[1]]
