"""Rows that a table has deleted are off the line, which the plan says: states, plans and errors; the laws are in
test_table_laws."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, write_rows
from support.filtered import epoch
from support.store import Store

import shardline
from shardline import CheckpointMismatchError, Plan, ShardlineValueError, StructuredDataset
from shardline.state.format import describe


def at(*rows):
    """Positions, as plans take them."""
    return np.array(rows, np.int64)


@pytest.fixture
def plan(tmp_path):
    return StructuredDataset(write_rows(tmp_path / "d", [[10, 10], [20]]), batch_size=4).plan


def test_the_state_says_what_was_deleted(plan, tmp_path):
    some, others = plan.with_deleted([(0, at(3, 12))]), plan.with_deleted([(0, at(3, 13))])
    dataset = StructuredDataset(plan=some, batch_size=4)
    next(iter(dataset))
    state = dataset.state_dict()
    assert state["rows"]["source"] == {
        "kind": "files",
        "table": None,
        "version": None,
        "schema": None,
        "reading": None,
        "deleted": 2,
        "deletes": some.deleted[1],
    }
    assert "2 rows deleted" in describe(state)
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert "2 rows deleted" in str(shardline.read_state(tmp_path / "state.json"))
    assert "source" not in StructuredDataset(plan=plan, batch_size=4).state_dict()["rows"]
    assert some != others
    assert some.digest == others.digest
    for other, words in ((others, "which rows are deleted"), (plan, "plain files"), (some.with_deleted([]), "plain")):
        with pytest.raises(CheckpointMismatchError, match=words):
            StructuredDataset(plan=other, batch_size=4).load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="plain files"):
        dataset.load_state_dict(StructuredDataset(plan=plan, batch_size=4).state_dict())
    state["rows"]["source"]["catalog"] = "x"
    with pytest.raises(CheckpointMismatchError, match=r"rows\.source\.catalog"):
        dataset.load_state_dict(state)


def test_where_rows_are_is_said_in_the_file_s_own_rows(plan):
    dataset = StructuredDataset(plan=plan.with_deleted([(0, at(0, 12, 13)), (1, at(19))]), batch_size=8, row_id=True)
    found = [
        (file, row) for batch in dataset for file, row in zip(batch["row_id__file"], batch["row_id__row"], strict=True)
    ]
    wanted = [(0, row) for row in range(20) if row not in (0, 12, 13)] + [(1, row) for row in range(19)]
    assert [(int(file), int(row)) for file, row in found] == wanted
    assert dataset.rows_at(0, resolve=True) == [("part-0000.parquet", 0, 1, 9)]
    assert dataset.rows_at(1, resolve=True)[:2] == [("part-0000.parquet", 0, 9, 10), ("part-0000.parquet", 1, 0, 2)]


def test_a_row_group_without_a_row_is_not_read(plan, tmp_path):
    """Its pages may be broken, and none of a whole file of deleted rows are asked for."""
    from support.filtered import broken

    broken(tmp_path / "d" / "part-0001.parquet", "i", "x")
    dataset = StructuredDataset(plan=plan.with_deleted([(1, at(*range(20)))]), batch_size=20)
    assert ids(dataset) == [list(range(20))]
    filtered = StructuredDataset(plan=plan.with_deleted([(1, at(*range(20)))]), batch_size=20, filters=[("i", ">", 4)])
    assert ids(filtered) == [list(range(5, 20))]


def test_nulls_of_deleted_rows_are_no_obstacle(tmp_path):
    pq.write_table(pa.table({"i": pa.array([0, None, 2])}), tmp_path / "x.parquet")
    plan = StructuredDataset(tmp_path, batch_size=2, output_format="arrow").plan
    assert ids(StructuredDataset(plan=plan.with_deleted([(0, at(1))]), batch_size=2)) == [[0, 2]]


def test_deletes_of_every_row_are_an_error_that_says_so(plan):
    with pytest.raises(ShardlineValueError, match="all 40 rows in 2 files .* were deleted"):
        StructuredDataset(plan=plan.with_deleted([(0, at(*range(20))), (1, at(*range(20)))]), batch_size=4)


def test_deletes_that_do_not_fit_are_refused(plan):
    with pytest.raises(ShardlineValueError, match=r"part-0000\.parquet: its row 20 is deleted, and it has 20 rows"):
        plan.with_deleted([(0, at(20))])
    with pytest.raises(ShardlineValueError, match="deleted twice"):
        plan.with_deleted([(0, at(1)), (0, at(2))])
    with pytest.raises(ShardlineValueError, match="row -1 of file 1 is deleted"):
        plan.with_deleted([(1, at(3, -1))])
    with pytest.raises((TypeError, BufferError)):
        plan.with_deleted([(1, np.array([1.5]))])
    assert plan.with_deleted([(0, at(5, 3, 5))]) == plan.with_deleted([(0, at(3, 5))]), "in any order"


def test_plans_keep_them(plan, tmp_path):
    some = plan.with_deleted([(0, at(3, 12)), (1, at(0))])
    some.save(tmp_path / "plan")
    for again in (Plan.load(tmp_path / "plan"), pickle.loads(pickle.dumps(some))):
        assert again == some
        assert again.deleted == some.deleted
        assert ids(StructuredDataset(plan=again, batch_size=40)) == ids(StructuredDataset(plan=some, batch_size=40))
    assert some.select([1]).deleted[0] == 1


def test_in_a_store_too(tmp_path):
    folder = write_rows(tmp_path / "d", [[3_000] * 2])
    gone = list(range(0, 6_000, 7))
    with Store(folder) as store:
        options = {"storage_options": store.options, "batch_size": 1000, "columns": ["i"]}
        plan = StructuredDataset(store.url, **options).plan.with_deleted([(0, at(*gone))])
        assert epoch(StructuredDataset(plan=plan, **options)) == [i for i in range(6_000) if i % 7]
