"""Iceberg tables: their rows are those that the specification says, snapshot by snapshot."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import StaticTable
from support import ids
from support.iceberg import Table

import shardline
from shardline import ShardlineValueError, StructuredDataset


def rows(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


def place(row):
    return row["i"], str(row)


def read(path, **options):
    """The rows of a table, by shardline, in the order of `i`."""
    options = {"batch_size": 7, "output_format": "arrow", "format": "iceberg", **options}
    found = pa.Table.from_batches(list(StructuredDataset(str(path), **options)))
    return sorted(found.to_pylist(), key=place)


def model(table, snapshot=None):
    """The same, as the specification has it, under the current schema's names."""
    fields = {each.field_id: each.name for each in table.schema.fields}
    found = [{name: row.get(number) for number, name in fields.items()} for row in table.rows(snapshot)]
    return sorted(found, key=place)


def scanned(path, snapshot=None):
    """The same, by pyiceberg, where it can read it."""
    newest = max(Path(path, "metadata").glob("v*.json"), key=lambda file: int(file.name[1:].split(".")[0]))
    found = StaticTable.from_metadata(str(newest)).scan(snapshot_id=snapshot).to_arrow()
    return sorted(found.to_pylist(), key=place)


@pytest.fixture(params=[1, 2, 3])
def table(request, tmp_path):
    """Two files of 20 and 10 rows, in each version of the format."""
    table = Table.create(tmp_path / "db" / "a table", version=request.param)
    table.append(rows(0, 20))
    table.append(rows(20, 30))
    return table


@pytest.fixture
def newer(tmp_path):
    """The same in the third version, which has every kind of delete."""
    table = Table.create(tmp_path / "t", version=3)
    table.append(rows(0, 20))
    table.append(rows(20, 30))
    return table


def test_snapshots_of_a_table_that_is_appended_to(table):
    assert read(table.path) == rows(0, 30).to_pylist() == model(table)
    first, second = (each["snapshot-id"] for each in table.metadata["snapshots"])
    assert read(table.path, snapshot=first) == rows(0, 20).to_pylist() == scanned(table.path, first)
    assert read(table.path, snapshot=second) == rows(0, 30).to_pylist() == scanned(table.path, second)
    assert read(table.metadata_file()) == rows(0, 30).to_pylist()
    table.commit([], remove=[table.data[0].path])
    assert read(table.path) == rows(20, 30).to_pylist() == scanned(table.path)
    dataset = StructuredDataset(table.path, format="iceberg", snapshot=second, batch_size=4)
    source = dataset.state_dict()["rows"]["source"]
    assert source == {
        "kind": "iceberg",
        "table": table.metadata["table-uuid"],
        "version": second,
        "reading": None,
        "schema": source["schema"],
        "deleted": 0,
        "deletes": None,
    }
    assert str(table.path) not in json.dumps(dataset.state_dict()["rows"])


def test_deletes_of_every_kind(newer):
    table = newer
    first, second = table.data
    counts = [len(read(table.path))]

    def check():
        found = read(table.path, batch_size=1000)
        assert found == model(table)
        counts.append(len(found))

    table.commit([table.positions({first.path: [0, 7, 19], second.path: [3]}, first)])
    check()
    table.commit([table.positions({second.path: range(9)}, second, one=True)])
    check()
    table.commit([table.equality(pa.table({"i": pa.array([5, 6, 25, 99], pa.int64())}), [1])])
    check()
    third = table.append(rows(0, 8))
    check()
    table.commit([table.equality(pa.table({"i": pa.array([7, 8], pa.int64()), "s": ["text 7", "no"]}), [1, 2])])
    check()
    table.commit(table.vectors({first.path: [0, 1, 19], third.path: [3]}))
    check()
    wide = table.append(rows(100, 10_100), row_group_size=3000)
    table.commit(table.vectors({wide.path: [*range(0, 9000, 2), 9999]}))
    check()
    assert counts == [30, 26, 18, 16, 24, 23, 21, 21 + 10_000 - 4501]
    for snapshot in table.metadata["snapshots"]:
        number = snapshot["snapshot-id"]
        assert read(table.path, snapshot=number, batch_size=10_000) == model(table, number)


def test_position_deletes_are_those_that_pyiceberg_finds(tmp_path):
    table = Table.create(tmp_path / "t")
    first, second = table.append(rows(0, 20)), table.append(rows(20, 30))
    table.commit([table.positions({first.path: [0, 7], second.path: [3]}, first)])
    table.commit([table.positions({first.path: [0, 8]}, first)])
    for snapshot in table.metadata["snapshots"]:
        number = snapshot["snapshot-id"]
        assert read(table.path, snapshot=number) == scanned(table.path, number) == model(table, number)


def test_a_delete_is_of_earlier_files_of_its_partition_only(tmp_path):
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "s", "string")], [(2, 1000, "s", "identity")])
    one = pa.table({"i": pa.array(range(6), pa.int64()), "s": ["a"] * 6})
    two = pa.table({"i": pa.array(range(6), pa.int64()), "s": ["b"] * 6})
    a, b = table.append(one, ("a",)), table.append(two, ("b",))
    keys = pa.table({"i": pa.array([1, 2], pa.int64())})
    table.commit([table.equality(keys, [1], ("a",)), table.positions({a.path: [0], b.path: [0]}, a)])
    table.append(one, ("a",))
    found = read(table.path)
    assert found == model(table)
    assert sum(row["s"] == "a" for row in found) == 3 + 6
    assert sum(row["s"] == "b" for row in found) == 6, "neither delete is of this partition"
    # Without partitions, an equality delete is of the whole table; and so it is of files with other specs.
    table.repartition([])
    table.commit([table.equality(keys, [1])])
    assert read(table.path) == model(table)
    assert not any(row["i"] in (1, 2) for row in read(table.path))


def test_a_file_and_a_delete_of_one_commit(tmp_path):
    """A position delete is of files of its own sequence number too, an equality delete is not."""
    table = Table.create(tmp_path / "t")
    file = table.data_file(rows(0, 10))
    keys = table.equality(pa.table({"i": pa.array([5], pa.int64())}), [1])
    table.commit([file, table.positions({file.path: [1]}, file), keys])
    assert [row["i"] for row in read(table.path)] == [0, *range(2, 10)] == [row["i"] for row in model(table)]


def test_a_delete_of_a_partition_of_floats(tmp_path):
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "x", "double")], [(2, 1000, "x", "identity")])
    nan, minus = float("nan"), -0.0
    for value in (nan, 0.0, minus, None):
        file = table.append(pa.table({"i": pa.array([1, 2]), "x": pa.array([value] * 2, pa.float64())}), (value,))
        table.commit([table.equality(pa.table({"i": pa.array([1])}), [1], (value,))])
        assert len(read(table.path)) == len(model(table))
    assert file.partition == (None,)
    assert [row["i"] for row in read(table.path)] == [2] * 4


KEYS = {
    "boolean": [True, False, None],
    "int": [1, -2, None],
    "float": [1.5, float("nan"), None],
    "double": [0.0, float("nan"), None],
    "decimal(20, 3)": [Decimal("1.500"), Decimal("-2.000"), None],
    "date": [datetime.date(2024, 2, 29), datetime.date(1900, 1, 1), None],
    "time": [datetime.time(1, 2, 3, 4), datetime.time(0), None],
    "timestamp": [datetime.datetime(2024, 2, 29, 12, 30, 1, 5), datetime.datetime(1900, 1, 1), None],
    "timestamptz": [datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC), None],
    "string": ["a", "", None],
    "binary": [b"a", b"", None],
    "fixed[3]": [b"abc", b"\0\0\0", None],
    "uuid": [UUID(int=7).bytes, UUID(int=2**127).bytes, None],
}


@pytest.mark.parametrize("kind", KEYS)
def test_equality_deletes_by_every_type(tmp_path, kind):
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "k", kind)])
    values = KEYS[kind]
    arrow = table.arrow().field("k").type
    arrow = arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow
    for one in range(len(values)):
        table.append(pa.table({"i": pa.array(range(len(values)), pa.int64()), "k": pa.array(values, arrow)}))
        table.commit([table.equality(pa.table({"k": pa.array(values[one : one + 1], arrow)}), [2])])
        found = [row["i"] for row in read(table.path, columns=["i"])]
        assert found == sorted(row[1] for row in table.rows())
        assert one not in found


def test_equality_deletes_over_evolution(tmp_path):
    """Keys are fields, whatever they are called, whichever files have them, and though the table has dropped them."""
    table = Table.create(tmp_path / "t", [(1, "i", "int"), (2, "s", "string"), (3, "f", "float")])
    first = pa.table(
        {"i": pa.array([1, 2, 3], pa.int32()), "s": ["a", "b", None], "f": pa.array([0.5, 1, 2], pa.float32())}
    )
    table.append(first)
    table.evolve([(1, "i", "long"), (2, "renamed", "string"), (3, "f", "double"), (4, "added", "string")])
    table.commit([table.equality(pa.table({"i": pa.array([2, 2**40], pa.int64())}), [1])])
    second = pa.table(
        {"i": pa.array([4, 2**40], pa.int64()), "renamed": ["a", None], "f": [0.5, 2.0], "added": ["x", None]}
    )
    table.append(second)
    table.commit([table.equality(pa.table({"added": pa.array([None], pa.string()), "f": pa.array([2.0])}), [4, 3])])
    assert read(table.path) == model(table)
    assert [row["i"] for row in read(table.path)] == [1, 4]
    keys = table.equality(pa.table({"renamed": ["a"]}), [2])
    table.evolve([(1, "i", "long"), (5, "renamed", "string")])
    table.commit([keys])
    assert model(table) == []
    with pytest.raises(ShardlineValueError, match="all 5 rows in 2 files .* were deleted"):
        read(table.path)


@pytest.mark.parametrize("shuffle", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 5}])
def test_the_line_is_that_of_the_same_files(table, shuffle):
    plain = StructuredDataset(table.path, format="parquet", batch_size=4, **shuffle)
    of_table = StructuredDataset(table.path, format="iceberg", batch_size=4, **shuffle)
    assert ids(of_table) == ids(plain)
    assert of_table.plan.digest == plain.plan.digest
    assert of_table.plan.decoded_bytes == plain.plan.decoded_bytes


def test_rows_are_named_as_they_stand_in_files(newer):
    """`rows_at` and `row_id` count deleted rows too."""
    table, first = newer, newer.data[0]
    table.commit(table.vectors({first.path: [0, 1, 19]}))
    dataset = StructuredDataset(table.path, format="iceberg", batch_size=4, row_id=True)
    names = [name for name, _, _ in dataset.plan.files()]
    files = {names.index(Path(file.path).relative_to(f"file://{table.path}").as_posix()): file for file in table.data}
    for batch in dataset:
        for number, file, row in zip(
            *(batch[key].tolist() for key in ("i", "row_id__file", "row_id__row")), strict=True
        ):
            assert files[file].content[row][1] == number


def test_rewrite_takes_a_snapshot(newer, tmp_path):
    table, first = newer, newer.data[0]
    old = table.current
    table.commit(table.vectors({first.path: range(10)}))
    shardline.rewrite(table.path, tmp_path / "now", format="iceberg")
    shardline.rewrite(table.path, tmp_path / "then", format="iceberg", snapshot=old)
    assert sorted(pq.read_table(tmp_path / "now")["i"].to_pylist()) == list(range(10, 30))
    assert pq.read_table(tmp_path / "then").num_rows == 30
