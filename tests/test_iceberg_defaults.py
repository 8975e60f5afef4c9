"""Columns that an Iceberg table got with an initial default: older files have it, whatever its type."""

import datetime
import json
import pickle
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from support import ids
from support.iceberg import Table
from support.lakes.lake import rows_of
from test_iceberg import read

from shardline import Plan, ShardlineTypeError, ShardlineValueError, StructuredDataset

FIELDS = [(1, "i", "long"), (2, "s", "string")]
DEFAULTS = {
    "boolean": (True, True),
    "int": (-5, -5),
    "long": (2**40, 2**40),
    "float": (1.5, 1.5),
    "double": (-0.25, -0.25),
    "decimal(20, 3)": ("14.200", Decimal("14.200")),
    "date": ("2024-02-29", datetime.date(2024, 2, 29)),
    "time": ("12:30:01.000005", datetime.time(12, 30, 1, 5)),
    "timestamp": ("2024-02-29T12:30:01.000005", datetime.datetime(2024, 2, 29, 12, 30, 1, 5)),
    "timestamptz": (
        "2024-02-29T12:30:01.000005+00:00",
        datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.UTC),
    ),
    "string": ("ü", "ü"),
    "binary": ("00ff", b"\0\xff"),
    "fixed[3]": ("616263", b"abc"),
    "uuid": ("f79c3e09-677c-4bbd-a479-3f349cb785e7", UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7").bytes),
}


def older(path, kind, said):
    """A table of three rows that are older than a column, and two that have it: the default, and null."""
    table = Table.create(path, FIELDS, version=3)
    table.append(rows_of(0, 3))
    table.evolve([*FIELDS, (3, "x", kind, {"initial-default": said, "write-default": said})])
    return table


def newer(table, values):
    arrow = table.arrow().field("x").type
    arrow = arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow
    table.append(rows_of(3, 3 + len(values)).append_column("x", pa.array(values, arrow)))


@pytest.mark.parametrize("kind", DEFAULTS)
def test_older_files_have_the_default(tmp_path, kind):
    said, value = DEFAULTS[kind]
    table = older(tmp_path / "t", kind, said)
    newer(table, [value, None])
    assert [row["x"] for row in read(table.path)] == [value] * 4 + [None]
    assert [row["x"] for row in read(table.path, columns=["x", "i"])] == [value] * 4 + [None]
    # As a key of an equality delete it counts.
    keys = pa.table({"x": pa.array([value], pa.array([value]).type if kind != "uuid" else pa.binary(16))})
    table.commit([table.equality(keys, [3])])
    assert [row["i"] for row in read(table.path)] == [4]


def test_it_is_filtered_counted_and_kept_as_a_value_is(tmp_path):
    table = older(tmp_path / "t", "long", 7)
    newer(table, [1, 7, 9])
    make = {"format": "iceberg", "batch_size": 2}
    for filters, wanted in [
        ([("x", "=", 7)], [0, 1, 2, 4]),
        ([("x", ">", 7)], [5]),
        ([("x", "!=", 7)], [3, 5]),
        ([("x", "<", 8)], [0, 1, 2, 3, 4]),
    ]:
        dataset = StructuredDataset(table.path, filters=filters, **make)
        assert sorted(row for batch in ids(dataset) for row in batch) == wanted
    dataset = StructuredDataset(table.path, **make)
    found = {i: x for batch in dataset for i, x in zip(batch["i"].tolist(), batch["x"].tolist(), strict=True)}
    assert found == {0: 7, 1: 7, 2: 7, 3: 1, 4: 7, 5: 9}, "as tensors, in which there are no nulls"
    dataset.plan.save(tmp_path / "plan")
    for plan in (Plan.load(tmp_path / "plan"), pickle.loads(pickle.dumps(dataset.plan))):
        again = StructuredDataset(plan=plan, batch_size=10)
        assert sorted(x for batch in again for x in batch["x"].tolist()) == [1, 7, 7, 7, 7, 9]
    assert all(
        not field.metadata for field in StructuredDataset(table.path, output_format="arrow", **make).schema.arrow
    )
    # A row that was deleted, and rows of a window.
    table.commit(table.vectors({table.data[0].path: [1]}))
    shuffled = StructuredDataset(table.path, shuffle=True, **make)
    assert sorted(x for batch in shuffled for x in batch["x"].tolist()) == [1, 7, 7, 7, 9]


def test_each_snapshot_has_its_own(tmp_path):
    table = older(tmp_path / "t", "long", 7)
    newer(table, [1])
    first, second = (each["snapshot-id"] for each in table.metadata["snapshots"])
    assert "x" not in read(table.path, snapshot=first)[0]
    assert [row["x"] for row in read(table.path, snapshot=second)] == [7, 7, 7, 1]


def test_the_default_of_a_field_in_a_column_is_refused_by_name(tmp_path):
    inner = {"id": 10, "name": "a", "type": "long", "required": False}
    struct = {"type": "struct", "fields": [inner]}
    table = Table.create(tmp_path / "t", [(1, "i", "long"), (2, "s", struct)], version=3)
    rows = pa.table({"i": pa.array([0], pa.int64()), "s": pa.array([{"a": 1}])})
    table.append(rows)
    grown = json.loads(json.dumps(struct))
    grown["fields"].append({"id": 11, "name": "b", "type": "long", "required": False, "initial-default": 3})
    table.evolve([(1, "i", "long"), (2, "s", grown)])
    table.append(pa.table({"i": pa.array([1], pa.int64()), "s": pa.array([{"a": 1, "b": 2}])}))
    with pytest.raises(ShardlineValueError, match='the field "b" is not in it.*initial default, 3, as a field'):
        read(table.path)


def test_a_default_that_is_no_value_of_its_type_is_refused(tmp_path):
    table = older(tmp_path / "t", "int", 2**40)
    newer(table, [1])
    with pytest.raises(ShardlineTypeError, match=f"column 'x' .* initial default that is no int: {2**40}"):
        read(table.path)
