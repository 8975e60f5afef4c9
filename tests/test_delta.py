"""Delta tables: their rows are those that deltalake finds, version by version; the rest is refused by name."""

import datetime
import json
import os
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta, ids

from shardline import ShardlineValueError, StructuredDataset


def table(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


def read(path, **options):
    """The rows of a table, by shardline, in the order of `i`."""
    options = {"batch_size": 7, "output_format": "arrow", "format": "delta", **options}
    found = pa.Table.from_batches(list(StructuredDataset(str(path), **options)))
    return sorted(found.to_pylist(), key=lambda row: row["i"])


def wanted(path, version=None):
    """The same, by deltalake."""
    found = pa.table(DeltaTable(path, version=version).scan())
    return sorted(found.to_pylist(), key=lambda row: row["i"])


def two_files(path):
    """A table of two files of 20 and 10 rows."""
    write_deltalake(path, table(0, 20))
    write_deltalake(path, table(20, 30), mode="append")
    return path


@pytest.fixture
def path(tmp_path):
    return two_files(tmp_path / "db" / "a table")


def files_of(path):
    """The paths of the files in the log, by the first row number in each."""
    found = {pq.read_table(path / name)["i"][0].as_py(): name for name in delta.live(path)}
    return [found[first] for first in sorted(found)]


def test_versions_with_deletes_of_every_kind(path):
    first, second = files_of(path)
    delta.delete(path, {first: [0, 7, 19]})
    delta.delete(path, {first: [0, 7, 8, 19], second: range(9)}, inline=False)
    delta.delete(path, {second: range(10)}, inline=False, prefix="ab")
    write_deltalake(path, table(30, 70_000), mode="append")
    (third,) = set(delta.live(path)) - {first, second}
    delta.delete(path, {third: range(0, 69_970, 3)})
    DeltaTable(path).create_checkpoint()
    write_deltalake(path, table(70_000, 70_003), mode="append")
    counts = []
    for version in range(delta.latest(path) + 1):
        found = read(path, version=version, batch_size=10_000)
        assert found == wanted(path, version)
        counts.append(len(found))
    assert counts == [20, 30, 27, 17, 16, 16 + 69_970, 16 + 46_646, 19 + 46_646]
    assert read(path, batch_size=10_000) == found
    dataset = StructuredDataset(path, format="delta", version=3, batch_size=4)
    assert dataset.plan.deleted[0] == 13
    assert dataset.state_dict()["rows"]["source"] == {
        "kind": "delta",
        "table": str(DeltaTable(path).metadata().id),
        "version": 3,
        "reading": None,
        "schema": dataset.state_dict()["rows"]["source"]["schema"],
        "deleted": 13,
        "deletes": dataset.plan.deleted[1],
    }
    assert str(path) not in json.dumps(dataset.state_dict()["rows"])


def test_overwritten_and_deleted_by_copy(path):
    DeltaTable(path).delete("i < 5")
    DeltaTable(path).update(predicate="i = 9", updates={"s": "'nine'"})
    write_deltalake(path, table(100, 103), mode="overwrite")
    for version in range(delta.latest(path) + 1):
        assert read(path, version=version) == wanted(path, version)
    assert read(path) == table(100, 103).to_pylist()


def test_types_and_partitions(tmp_path):
    day = datetime.date(2024, 2, 29)
    moment = datetime.datetime(2024, 2, 29, 12, 30, 1, 5)
    rows = pa.table(
        {
            "d": pa.array([day, None, day]),
            "i": pa.array([0, 1, 2], pa.int64()),
            "t": pa.array([moment] * 3, pa.timestamp("us", "UTC")),
            "n": pa.array([moment, None, moment], pa.timestamp("us")),
            "p": pa.array(["a b/c%20", None, "ü=1"]),
            "decimal": pa.array([Decimal(1), Decimal(2), None], pa.decimal128(22, 2)),
            "list": pa.array([[1], [], None], pa.list_(pa.int32())),
            "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            "struct": pa.array([{"x": 1, "y": ["z"]}, None, {"x": None, "y": []}]),
            "f": pa.array([1.5, None, float("nan")], pa.float32()),
            "b": pa.array([b"\0", b"", None]),
            "flag": pa.array([True, False, None]),
            "small": pa.array([1, 2, 3], pa.int8()),
        }
    )
    path = tmp_path / "t"
    write_deltalake(path, rows, partition_by=["d", "p"])
    found = read(path)
    assert list(found[0]) == rows.column_names, "partition columns stand where the table has them"
    assert str(found) == str(rows.to_pylist()), "as text, in which NaN is NaN"
    schema = StructuredDataset(path, format="delta", output_format="arrow").schema.arrow
    assert schema.field("t").type == pa.timestamp("us", "UTC")
    assert schema.field("n").type == pa.timestamp("us")
    assert schema.field("d").type == pa.date32()
    assert all(not schema.field(name).metadata for name in rows.column_names)


def test_filters_drop_files_by_partitions(tmp_path):
    rows = table(0, 30).append_column("p", pa.array(np.arange(30) % 3, pa.int32()))
    write_deltalake(tmp_path / "t", rows, partition_by=["p"])
    for path in delta.live(tmp_path / "t"):
        if "p=1/" not in path:
            (tmp_path / "t" / path).unlink()
    dataset = StructuredDataset(tmp_path / "t", format="delta", filters=[("p", "=", 1), ("i", ">", 4)], batch_size=5)
    assert dataset.plan.num_files == 1
    assert sorted(row for batch in ids(dataset) for row in batch) == [i for i in range(5, 30) if i % 3 == 1]


def mapped(tmp_path, mode):
    """A table under column mapping whose columns were renamed, dropped, and added again under an old name."""
    path = tmp_path / f"by {mode}"
    rows = pa.table(
        {
            "i": pa.array(range(6), pa.int64()),
            "old": [f"a{n}" for n in range(6)],
            "gone": pa.array(range(6), pa.int32()),
            "s": pa.array([{"x": n, "y": [{"z": n}]} for n in range(6)]),
        }
    )
    write_deltalake(path, rows, configuration={"delta.columnMapping.mode": mode})
    meta = delta.entry(path, "metaData")
    schema = json.loads(meta["schemaString"])
    by_name = {field["name"]: field for field in schema["fields"]}
    by_name["old"]["name"] = "new"
    by_name["s"]["type"]["fields"][0]["name"] = "renamed"
    again = {"name": "gone", "type": "string", "nullable": True}
    again["metadata"] = {"delta.columnMapping.id": 90, "delta.columnMapping.physicalName": "col-90"}
    schema["fields"] = [by_name["s"], again, by_name["old"], by_name["i"]]
    delta.commit(path, {"metaData": {**meta, "schemaString": json.dumps(schema)}})
    return path


@pytest.mark.parametrize("mode", ["name", "id"])
def test_columns_that_were_renamed_dropped_and_added_again(tmp_path, mode):
    path = mapped(tmp_path, mode)
    found = read(path)
    assert found == [{"s": {"renamed": n, "y": [{"z": n}]}, "gone": None, "new": f"a{n}", "i": n} for n in range(6)]
    assert read(path, columns=["new", "i"], filters=[("new", ">", "a2")]) == [
        {"new": f"a{n}", "i": n} for n in range(3, 6)
    ]
    (file,) = delta.live(path)
    delta.delete(path, {file: [1, 2]})
    assert read(path) == [found[n] for n in (0, 3, 4, 5)]


def test_time_travel_by_time(path):
    for version, when in enumerate(["2024-01-01", "2024-01-02"]):
        moment = datetime.datetime.fromisoformat(f"{when}T00:00:00+00:00").timestamp()
        lines = delta.actions(path, version)
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] = int(moment * 1000)
        file = delta.log_file(path, version)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.utime(file, (moment, moment))
    assert len(read(path, timestamp="2024-01-01T12:00:00Z")) == 20
    assert len(read(path, timestamp=datetime.datetime(2024, 1, 3, tzinfo=datetime.UTC))) == 30
    with pytest.raises(ShardlineValueError, match=r"no version .* is as old as timestamp='2023-"):
        read(path, timestamp="2023-01-01T00:00:00Z")


@pytest.mark.parametrize("shuffle", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 5}])
def test_the_line_is_that_of_the_same_files(path, shuffle):
    plain = StructuredDataset(path, format="parquet", batch_size=4, **shuffle)
    of_table = StructuredDataset(path, format="delta", batch_size=4, **shuffle)
    assert ids(of_table) == ids(plain)
    assert of_table.plan.digest == plain.plan.digest
    assert of_table.plan.decoded_bytes == plain.plan.decoded_bytes
