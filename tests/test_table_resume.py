"""Runs over a table that is written to meanwhile: each goes on in its own version, or is refused by name."""

import json
import pickle
import random

import pytest
from support import ids
from support.lakes import TABLES, make
from support.lakes.lake import plain

import shardline
from shardline import CheckpointMismatchError, FileChangedError, Plan, StructuredDataset
from shardline.state.format import describe

MAKE = {"batch_size": 4, "columns": ["i"], "shuffle": True, "shuffle_buffer_size": 9}
DELETED = [1, 2, 3, 4, 5, 9]
LEFT = sorted(set(range(30)) - set(DELETED))


@pytest.fixture(params=TABLES)
def kept(request, tmp_path):
    """Two files of 20 and 10 rows."""
    lake = make(request.param, tmp_path / "table")
    lake.append(20)
    lake.append(10)
    return lake


@pytest.fixture
def lake(kept):
    """The same, without 6 of its rows."""
    kept.delete(DELETED)
    return kept


def open_lake(lake, **options):
    return lake.open(**{**MAKE, **options})


def begin(lake):
    """A state after two batches, the batches that come after it, and those of the second epoch."""
    dataset = open_lake(lake)
    iterator = iter(dataset)
    seen = [next(iterator)["i"].tolist() for _ in range(2)]
    state = plain(dataset.state_dict())
    rest = [batch["i"].tolist() for batch in iterator]
    assert sorted(row for batch in seen + rest for row in batch) == lake.ids
    return state, rest, ids(dataset)


@pytest.fixture
def begun(lake):
    return begin(lake)


CHANGES = {
    "append": lambda lake: lake.append(),
    "compaction": lambda lake: lake.compact(),
    "more deletes": lambda lake: lake.delete([22, 23]),
    "overwrite": lambda lake: lake.overwrite(),
    "evolution": lambda lake: lake.evolve(),
}


@pytest.mark.parametrize("changes", [[name] for name in CHANGES] + [["append", "compaction", "overwrite"]])
def test_newer_versions_change_nothing(lake, begun, changes, caplog):
    state, rest, second_epoch = begun
    for change in changes:
        CHANGES[change](lake)
    caplog.set_level("INFO", "shardline")
    dataset = open_lake(lake)
    dataset.load_state_dict(state)
    assert f"; {len(changes)} newer {lake.word}{'s' * (len(changes) > 1)}" in caplog.text
    assert ids(dataset) == rest
    assert ids(dataset) == second_epoch, "later epochs are of the same version"
    # And again, from the state of the resumed run, in a copy of the dataset.
    again = pickle.loads(pickle.dumps(open_lake(lake)))
    again.load_state_dict(dataset.state_dict())
    assert again.epoch == 2
    assert again.state_dict()["rows"] == state["rows"]


def test_refresh_takes_the_newest_version_from_the_next_epoch_on(lake, begun):
    state, rest, _ = begun
    lake.append()
    dataset = open_lake(lake, on_new_files="refresh")
    dataset.load_state_dict(state)
    assert ids(dataset) == rest
    assert sorted(row for batch in ids(dataset) for row in batch) == lake.ids
    assert dataset.state_dict()["rows"]["source"]["version"] == lake.version


def test_a_version_that_was_asked_for_is_kept_to(lake, begun):
    state, rest, _ = begun
    old = lake.version
    same, others = [lake.asked(old)], []
    if lake.kind == "iceberg":
        lake.table.tag("run")
        same += [{"ref": "run"}, {"ref": "main"}]
    lake.append()
    if lake.kind == "iceberg":
        lake.table.tag("new")
        others.append({"ref": "new"})
    for options in same:
        named = open_lake(lake, **options)
        named.load_state_dict(state)
        assert ids(named) == rest
    for options in (lake.asked(lake.version), *others):
        with pytest.raises(
            CheckpointMismatchError, match=f"{lake.word}: saved {old}, here {lake.version}; give {lake.word}={old}"
        ):
            open_lake(lake, **options).load_state_dict(state)


def job(lake, ranks, **options):
    return [open_lake(lake, num_ranks=ranks, rank=rank, **options) for rank in range(ranks)]


def test_with_a_filter_and_ranks(lake):
    options = {"filters": [("i", ">", 6)], "num_shards": 2}
    datasets = job(lake, 2, **options)
    iterators = [iter(dataset) for dataset in datasets]
    for iterator in iterators:
        next(iterator)
    state = datasets[0].state_dict()
    rest = [[batch["i"].tolist() for batch in iterator] for iterator in iterators]
    lake.append()
    datasets = job(lake, 2, **options)
    for dataset in datasets:
        dataset.load_state_dict(state)
    assert [ids(dataset) for dataset in datasets] == rest


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_other_ranks_deliver_the_rest(lake, before, after):
    datasets = job(lake, before)
    seen = [next(iter(dataset))["i"].tolist() for dataset in datasets]
    state = datasets[0].state_dict()
    lake.append()
    datasets = job(lake, after)
    for dataset in datasets:
        dataset.load_state_dict(state)
    rest = [row for dataset in datasets for batch in ids(dataset) for row in batch]
    assert sorted([row for batch in seen for row in batch] + rest) == LEFT


def saved_plan(path):
    return StructuredDataset(plan=Plan.load(path), **MAKE)


def test_with_deletes_a_version_that_expired_needs_the_plan(lake, begun, tmp_path):
    state, rest, _ = begun
    open_lake(lake).plan.save(tmp_path / "plan")
    old, keeps = lake.version, {"delta": "logRetentionDuration", "iceberg": "a tag or a branch"}[lake.kind]
    lake.append()
    lake.expire()
    with pytest.raises(CheckpointMismatchError, match=rf"{lake.word} {old} of the table.*Give plan=.*{keeps}"):
        open_lake(lake).load_state_dict(state)
    saved = saved_plan(tmp_path / "plan")
    saved.load_state_dict(state)
    assert ids(saved) == rest


@pytest.mark.parametrize("filters", [None, [("i", ">", 6)]])
def test_without_deletes_a_version_that_expired_is_gone_on_with(kept, filters, caplog):
    dataset = open_lake(kept, filters=filters)
    iterator = iter(dataset)
    next(iterator)
    state = plain(dataset.state_dict())
    rest = [batch["i"].tolist() for batch in iterator]
    old, second_epoch = kept.version, ids(dataset)
    kept.delete([22, 23])
    kept.overwrite()
    kept.expire()
    resumed = open_lake(kept, filters=filters)
    resumed.load_state_dict(state)
    assert f"{kept.word} {old} of the {kept.kind.capitalize()} table" in caplog.text
    assert "no longer in the table's history" in caplog.text
    assert [ids(resumed), ids(resumed)] == [rest, second_epoch]
    assert resumed.state_dict()["rows"] == state["rows"]
    too_many = {**state, "files": {**state["files"], "packed": None}}
    with pytest.raises(CheckpointMismatchError, match=rf"{kept.word} {old} of the table.*Give plan="):
        open_lake(kept, filters=filters).load_state_dict(too_many)
    kept.vacuum()
    with pytest.raises(FileChangedError, match=rf"\.parquet.* {kept.word} {old} .*{kept.remover}"):
        open_lake(kept, filters=filters).load_state_dict(state)


def test_a_version_that_expired_is_of_its_own_columns(kept):
    """A Delta table's log says only what the newest are; an Iceberg table keeps its schemas."""
    state, rest, _ = begin(kept)
    kept.evolve()
    kept.expire()
    resumed = open_lake(kept)
    if kept.kind == "delta":
        with pytest.raises(CheckpointMismatchError, match="cannot be planned again"):
            resumed.load_state_dict(state)
    else:
        resumed.load_state_dict(state)
        assert ids(resumed) == rest


def test_files_that_were_removed_are_named(lake, begun):
    state, _, _ = begun
    lake.overwrite()
    lake.vacuum()
    dataset = open_lake(lake)
    kind = lake.kind.capitalize()
    with pytest.raises(FileChangedError, match=rf"\.parquet.* {lake.word} \d+ of the {kind} table .*{lake.remover}"):
        dataset.load_state_dict(state)
    assert sorted(row for batch in ids(dataset) for row in batch) == lake.ids, "nothing was changed"


def test_another_table_under_the_name_is_refused(lake, begun):
    state, _, _ = begun
    lake.replace()
    kind = lake.kind.capitalize()
    with pytest.raises(
        CheckpointMismatchError,
        match=rf"table: saved {kind} table .*, {lake.word} \d+, 6 rows deleted, here {kind}",
    ):
        open_lake(lake).load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="table: saved .*, here plain files"):
        StructuredDataset(lake.path, format="parquet", **MAKE).load_state_dict(state)


def test_other_deletes_in_the_same_version_are_refused(lake, begun):
    state, _, _ = begun
    lake.alter()
    assert open_lake(lake).state_dict()["rows"]["source"]["version"] == state["rows"]["source"]["version"]
    with pytest.raises(CheckpointMismatchError, match="which rows are deleted: "):
        open_lake(lake).load_state_dict(state)


def test_no_delete_file_is_opened_by_a_run(lake):
    """Readers in other processes, and resumes with a plan, need none."""
    lake.delete([22, 23], random.Random(0))
    dataset = open_lake(lake)
    wanted = ids(open_lake(lake))
    lake.remove_delete_files()
    assert ids(pickle.loads(pickle.dumps(dataset))) == wanted


def test_what_a_state_says_of_its_table(lake, begun, tmp_path):
    state, _, _ = begun
    words = f"{lake.kind.capitalize()} table {lake.table_id}, {lake.word} {lake.version}, 6 rows deleted"
    assert words in describe(state)
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert words in " ".join(str(shardline.read_state(tmp_path / "state.json")).split())


def test_a_column_that_is_a_partition_by_now_is_filtered_as_before(tmp_path):
    """Other partitions in the newest snapshot say nothing of an older one."""
    lake = make("iceberg", tmp_path / "table")
    lake.append(30)
    dataset = open_lake(lake, filters=[("i", ">", 6)])
    whole = ids(open_lake(lake, filters=[("i", ">", 6)]))
    state = plain(dataset.state_dict())
    lake.table.repartition([(1, 1001, "by i", "identity")])
    lake.compact()
    resumed = open_lake(lake, filters=[("i", ">", 6)])
    resumed.load_state_dict(state)
    assert ids(resumed) == whole
