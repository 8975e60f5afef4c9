"""Runs over a Delta table that is written to meanwhile: each goes on in its own version, or is refused."""

import json
import pickle
import random
import shutil

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from support import delta, examples, ids

import shardline
from shardline import CheckpointMismatchError, FileChangedError, Plan, StructuredDataset
from shardline.state.format import describe


def table(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


def open_table(path, **options):
    options = {"batch_size": 4, "columns": ["i"], "shuffle": True, "shuffle_buffer_size": 9, **options}
    return StructuredDataset(path, format="delta", **options)


@pytest.fixture
def path(tmp_path):
    """Two files of 20 and 10 rows, of which 6 are deleted."""
    path = tmp_path / "table"
    write_deltalake(path, table(0, 20))
    write_deltalake(path, table(20, 30), mode="append")
    first = min(delta.live(path))
    delta.delete(path, {first: [1, 2, 3, 4, 5, 9]})
    return path


@pytest.fixture
def begun(path):
    """A state after two batches, and the batches that come after it."""
    dataset = open_table(path)
    iterator = iter(dataset)
    seen = [next(iterator)["i"].tolist() for _ in range(2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    rest = [batch["i"].tolist() for batch in iterator]
    assert len({row for batch in seen + rest for row in batch}) == 24
    return state, rest, ids(dataset)


def append(path):
    write_deltalake(path, table(30, 60), mode="append")


def compact(path):
    DeltaTable(path).optimize.compact()


def delete_more(path):
    delta.delete(path, {max(delta.live(path)): [0, 1]})


def overwrite(path):
    write_deltalake(path, table(500, 700), mode="overwrite")


@pytest.mark.parametrize("changes", [(append,), (compact,), (delete_more,), (overwrite,), (append, compact, overwrite)])
def test_newer_versions_change_nothing(path, begun, changes, caplog):
    state, rest, second_epoch = begun
    for change in changes:
        change(path)
    caplog.set_level("INFO", "shardline")
    dataset = open_table(path)
    dataset.load_state_dict(state)
    assert f"; {len(changes)} newer version{'s' * (len(changes) > 1)}" in caplog.text
    assert ids(dataset) == rest
    assert ids(dataset) == second_epoch, "later epochs are of the same version"
    # And again, from the state of the resumed run, in a copy of the dataset.
    again = pickle.loads(pickle.dumps(open_table(path)))
    again.load_state_dict(dataset.state_dict())
    assert again.epoch == 2
    assert again.state_dict()["rows"] == state["rows"]


def test_refresh_takes_the_newest_version_from_the_next_epoch_on(path, begun):
    state, rest, _ = begun
    append(path)
    dataset = open_table(path, on_new_files="refresh")
    dataset.load_state_dict(state)
    assert ids(dataset) == rest
    assert {row for batch in ids(dataset) for row in batch} >= set(range(30, 60))
    assert dataset.state_dict()["rows"]["source"]["version"] == 3


def test_a_version_that_was_asked_for_is_kept_to(path, begun):
    state, rest, _ = begun
    append(path)
    named = open_table(path, version=2)
    named.load_state_dict(state)
    assert ids(named) == rest
    with pytest.raises(CheckpointMismatchError, match="version: saved 2, here 3; give version=2"):
        open_table(path, version=3).load_state_dict(state)


def test_with_a_filter_and_ranks(path):
    def make():
        options = {"filters": [("i", ">", 6)], "num_ranks": 2, "num_shards": 2}
        return [open_table(path, rank=rank, **options) for rank in range(2)]

    job = make()
    iterators = [iter(dataset) for dataset in job]
    for iterator in iterators:
        next(iterator)
    state = job[0].state_dict()
    rest = [[batch["i"].tolist() for batch in iterator] for iterator in iterators]
    append(path)
    job = make()
    for dataset in job:
        dataset.load_state_dict(state)
    assert [ids(dataset) for dataset in job] == rest


def test_a_log_that_was_cleaned_needs_the_plan(path, begun, tmp_path):
    state, rest, _ = begun
    open_table(path).plan.save(tmp_path / "plan")
    append(path)
    DeltaTable(path).create_checkpoint()
    for version in range(3):
        delta.log_file(path, version).unlink()
    with pytest.raises(CheckpointMismatchError, match=r"version 2 of the table.*Give plan=.*logRetentionDuration"):
        open_table(path).load_state_dict(state)
    saved = StructuredDataset(
        plan=Plan.load(tmp_path / "plan"), batch_size=4, columns=["i"], shuffle=True, shuffle_buffer_size=9
    )
    saved.load_state_dict(state)
    assert ids(saved) == rest


def test_files_that_were_vacuumed_are_named(path, begun):
    state, _, _ = begun
    overwrite(path)
    gone = DeltaTable(path).vacuum(0, enforce_retention_duration=False, dry_run=False)
    assert len(gone) >= 2
    dataset = open_table(path)
    with pytest.raises(FileChangedError, match=r"\.parquet.* version 2 of the Delta table .*VACUUM"):
        dataset.load_state_dict(state)
    assert {row for batch in ids(dataset) for row in batch} == set(range(500, 700)), "nothing was changed"


def test_another_table_under_the_name_is_refused(path, begun):
    state, _, _ = begun
    shutil.rmtree(path)
    write_deltalake(path, table(0, 30))
    with pytest.raises(
        CheckpointMismatchError, match=r"table: saved Delta table .*, version 2, 6 rows deleted, here Delta"
    ):
        open_table(path).load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="table: saved .*, here plain files"):
        plain = StructuredDataset(path, format="parquet", batch_size=4, shuffle=True, shuffle_buffer_size=9)
        plain.load_state_dict(state)


def test_other_deletes_in_the_same_version_are_refused(path, begun):
    state, _, _ = begun
    first = min(delta.live(path))
    lines = delta.actions(path, 2)
    for line in lines:
        if "add" in line:
            line["add"]["deletionVector"] = delta.inline_vector([1, 2, 3, 4, 5, 8])
    delta.log_file(path, 2).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert first in delta.live(path)
    with pytest.raises(CheckpointMismatchError, match="which rows are deleted: "):
        open_table(path).load_state_dict(state)


def test_no_delete_file_is_opened_by_a_run(path, begun):
    """Readers in other processes, and resumes with a plan, need none."""
    delta.delete(path, {max(delta.live(path)): [0]}, inline=False)
    dataset = open_table(path)
    wanted = ids(open_table(path))
    for vector in path.glob("deletion_vector_*.bin"):
        vector.unlink()
    assert ids(pickle.loads(pickle.dumps(dataset))) == wanted


def test_what_a_state_says_of_its_table(path, begun, tmp_path):
    state, _, _ = begun
    words = f"Delta table {DeltaTable(path).metadata().id}, version 2, 6 rows deleted"
    assert words in describe(state)
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert words in str(shardline.read_state(tmp_path / "state.json"))


operations = st.lists(
    st.sampled_from(["append", "delete", "delete by copy", "overwrite a part", "compact", "checkpoint"]), max_size=6
)


def run(path, steps, draws):
    """Commits to a table, chosen by a generator."""
    for step in steps:
        files = sorted(delta.live(path).items())
        vectors = any("deletionVector" in add for _, add in files)
        if step == "append":
            start = draws.randrange(1000, 10**9)
            write_deltalake(path, table(start, start + 5), mode="append")
        elif step == "delete" and files:
            name, add = draws.choice(files)
            rows = range(json.loads(add["stats"])["numRecords"])
            if "deletionVector" not in add:
                delta.delete(path, {name: draws.sample(rows, draws.randint(1, len(rows)))}, inline=draws.random() < 0.5)
        elif step == "delete by copy" and not vectors:
            DeltaTable(path).delete(f"i % 7 = {draws.randrange(7)}")
        elif step == "overwrite a part" and not vectors:
            DeltaTable(path).update(predicate="i % 5 = 1", updates={"s": "'new'"})
        elif step == "compact" and not vectors:
            DeltaTable(path).optimize.compact()
        elif step == "checkpoint":
            DeltaTable(path).create_checkpoint()


@examples(12)
@given(
    st.lists(st.integers(1, 15), min_size=1, max_size=3), operations, operations, st.booleans(), st.integers(0, 2**32)
)
def test_any_history_is_read_exactly_and_resumed(tmp_path_factory, sizes, before, after, shuffle, seed):
    path, start, draws = tmp_path_factory.mktemp("history") / "t", 0, random.Random(seed)
    for size in sizes:
        write_deltalake(path, table(start, start + size), mode="append")
        start += size
    run(path, before, draws)
    if not delta.live(path):
        return
    wanted = sorted(row["i"] for row in pa.table(DeltaTable(path).scan()).to_pylist())
    if not wanted:
        return
    options = {"batch_size": draws.randint(1, 7), "shuffle": shuffle, "shuffle_buffer_size": 5 if shuffle else None}
    whole = ids(open_table(path, **options))
    assert sorted(row for batch in whole for row in batch) == wanted
    first = open_table(path, **options)
    iterator = iter(first)
    found = [next(iterator)["i"].tolist() for _ in range(draws.randrange(len(whole)))]
    run(path, after, draws)
    second = open_table(path, **options)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert found + ids(second) == whole
