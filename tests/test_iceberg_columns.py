"""The columns of Iceberg tables: found by id, of the snapshot's names and types, whatever files are like."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from support import ids
from support.iceberg import Table
from test_iceberg import model, read, rows

from shardline import ShardlineTypeError, ShardlineValueError, StructuredDataset


def test_columns_that_were_renamed_dropped_moved_and_added_again(tmp_path):
    struct = {"type": "struct", "fields": [
        {"id": 10, "name": "x", "type": "long", "required": False},
        {"id": 11, "name": "y", "required": False, "type": {
            "type": "list", "element-id": 12, "element-required": False, "element": {"type": "struct", "fields": [
                {"id": 13, "name": "z", "type": "int", "required": False}]}}},
    ]}  # fmt: skip
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "old", "string"), (3, "gone", "int"), (4, "s", struct)])
    table.append(
        pa.table(
            {
                "i": pa.array(range(6), pa.int64()),
                "old": [f"a{n}" for n in range(6)],
                "gone": pa.array(range(6), pa.int32()),
                "s": pa.array([{"x": n, "y": [{"z": n}]} for n in range(6)]),
            }
        )
    )
    renamed = json.loads(json.dumps(struct))
    renamed["fields"][0]["name"] = "w"
    renamed["fields"][1]["type"]["element"]["fields"][0]["name"] = "v"
    table.evolve([(4, "s", renamed), (5, "gone", "string"), (2, "new", "string"), (1, "i", "long")])
    assert read(table.path)[0] == {"i": 0, "old": "a0", "gone": 0, "s": {"x": 0, "y": [{"z": 0}]}}, (
        "the snapshot's schema"
    )
    (file,) = table.data
    table.commit([table.positions({file.path: [4]}, file)])
    found = read(table.path)
    assert found == [{"s": {"w": n, "y": [{"v": n}]}, "gone": None, "new": f"a{n}", "i": n} for n in (0, 1, 2, 3, 5)]
    assert read(table.path, columns=["new", "i"], filters=[("new", ">", "a2")]) == [
        {"new": f"a{n}", "i": n} for n in (3, 5)
    ]


def test_types_that_were_promoted(tmp_path):
    table = Table.create(tmp_path / "t", [(1, "i", "int"), (2, "f", "float"), (3, "d", "decimal(6, 2)")])
    values = {"i": [1, -2], "f": [1.5, None], "d": [Decimal(1), Decimal(2)]}
    narrow = {"i": pa.int32(), "f": pa.float32(), "d": pa.decimal128(6, 2)}
    table.append(pa.table({name: pa.array(values[name], of) for name, of in narrow.items()}))
    wide = {"i": pa.int64(), "f": pa.float64(), "d": pa.decimal128(12, 2)}
    table.evolve([(1, "i", "long"), (2, "f", "double"), (3, "d", "decimal(12, 2)")])
    table.append(pa.table({name: pa.array(values[name], of) for name, of in wide.items()}))
    found = pa.Table.from_batches(list(StructuredDataset(table.path, format="iceberg", output_format="arrow")))
    assert {field.name: field.type for field in found.schema} == wide
    key = str
    assert sorted(found.to_pylist(), key=key) == sorted(model(table), key=key)


def test_every_type(tmp_path):
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 1, 5)
    utc = moment.replace(tzinfo=datetime.UTC)
    lists = {"type": "list", "element-id": 30, "element": "int", "element-required": False}
    maps = {"type": "map", "key-id": 31, "key": "string", "value-id": 32, "value": "long", "value-required": False}
    values = {
        "boolean": [True, None],
        "int": [1, None],
        "float": [1.5, None],
        "double": [2.5, None],
        "date": [day, None],
        "time": [moment.time(), None],
        "timestamp": [moment, None],
        "timestamptz": [utc, None],
        "string": ["ü", None],
        "binary": [b"\0", None],
        "fixed[3]": [b"abc", None],
        "decimal(38, 9)": [Decimal(1), None],
    }
    fields = [(1, "i", "long")] + [(n, f"c{n}", kind) for n, kind in enumerate(values, 2)]
    columns = {f"c{n}": of for n, of in enumerate(values.values(), 2)}
    table = Table.create(tmp_path / "t", [*fields, (20, "l", lists), (21, "m", maps), (22, "u", "uuid")])
    columns |= {"i": [0, 1], "l": [[1, None], None], "m": [[("a", 1)], None], "u": [bytes(range(16)), None]}
    known = table.arrow()
    plain = pa.schema([each if each.name != "u" else pa.field("u", pa.binary(16)) for each in known])
    given = pa.table({each.name: pa.array(columns[each.name], each.type) for each in plain}, schema=plain)
    table.append(given)
    assert read(table.path) == given.to_pylist()
    schema = StructuredDataset(table.path, format="iceberg", output_format="arrow").schema.arrow
    assert schema.names == known.names
    assert all(not field.metadata for field in schema)
    assert schema.field("c8").type == pa.timestamp("us")
    assert schema.field("c9").type == pa.timestamp("us", "UTC")


def mapping(*fields):
    said = [{"field-id": number, "names": list(names)} for number, *names in fields]
    return {"schema.name-mapping.default": json.dumps(said)}


def test_files_without_ids_go_by_the_name_mapping(tmp_path):
    table = Table.create(tmp_path / "t", properties=mapping((1, "i"), (2, "s", "new")))
    table.append(rows(0, 5), ids=False)
    table.evolve([(1, "i", "long"), (2, "new", "string"), (3, "s", "string")])
    more = pa.table({"i": pa.array([5, 6], pa.int64()), "new": ["a", "b"]})
    table.append(more, ids=False)
    table.append(more.set_column(0, "i", pa.array([7, 8], pa.int64())))
    table.commit([table.equality(pa.table({"new": ["b", "text 3"]}), [2])])
    found = read(table.path)
    assert found == model(table)
    assert [row["i"] for row in found] == [0, 1, 2, 4, 5, 7]
    assert {row["s"] for row in found} == {None}, "a new column under an old name is not the old one"


def test_files_without_ids_are_refused_where_nothing_says_what_they_hold(tmp_path):
    table = Table.create(tmp_path / "t")
    table.append(rows(0, 5), ids=False)
    with pytest.raises(ShardlineValueError, match=r"\.parquet.*no field ids.*schema.name-mapping.default"):
        read(table.path)


PARTITIONED = [(1, "i", "long"), (2, "p", "int"), (3, "d", "date")]


def part(start, p, day):
    return pa.table(
        {
            "i": pa.array(range(start, start + 3), pa.int64()),
            "p": pa.array([p] * 3, pa.int32()),
            "d": pa.array([datetime.date(1970, 1, 1) + datetime.timedelta(day)] * 3, pa.date32()),
        }
    )


def test_identity_partitions_are_columns_though_files_lack_them(tmp_path):
    table = Table.create(tmp_path / "t", PARTITIONED, [(2, 1000, "p", "identity"), (3, 1001, "day", "day")])
    table.append(part(0, 7, 1), (7, 1))
    lacking = table.append(part(3, 8, 2).drop_columns("p"), (8, 2))
    for row in lacking.content:
        row[2] = 8
    found = read(table.path)
    assert found == model(table)
    assert [row["p"] for row in found] == [7] * 3 + [8] * 3
    assert list(found[0]) == ["i", "p", "d"]
    dataset = StructuredDataset(table.path, format="iceberg", filters=[("p", "=", 8), ("i", ">", 3)], batch_size=5)
    assert dataset.plan.num_files == 1
    assert ids(dataset) == [[4, 5]]
    # By a partition value that only some files have, and a key that is one.
    table.commit([table.equality(pa.table({"p": pa.array([8], pa.int32())}), [2], (8, 2))])
    assert read(table.path) == model(table) == found[:3]


def test_a_column_that_is_a_partition_of_some_files_only(tmp_path):
    table = Table.create(tmp_path / "t", PARTITIONED, [(2, 1000, "p", "identity")])
    table.append(part(0, 7, 1), (7,))
    table.repartition([])
    table.append(part(3, 9, 2))
    assert read(table.path) == model(table)
    table.append(part(6, 8, 2).drop_columns("p"), (8,), spec=0)
    with pytest.raises(ShardlineValueError, match=r'lacks the column "p".*partition.*other files have no partition'):
        read(table.path)
    assert [row["i"] for row in read(table.path, columns=["i", "d"])] == list(range(9))


def test_types_that_are_not_read_are_named(tmp_path):
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "g", "geometry")], version=3)
    table.append(pa.table({"i": pa.array([1], pa.int64())}))
    with pytest.raises(ShardlineTypeError, match=r"column 'g' of the Iceberg table is of the type geometry"):
        read(table.path)
