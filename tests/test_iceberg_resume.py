"""Runs over an Iceberg table that is written to meanwhile: each goes on in its own snapshot, or is refused."""

import json
import pickle
import random
import shutil

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids
from support.iceberg import Table

import shardline
from shardline import CheckpointMismatchError, FileChangedError, Plan, StructuredDataset
from shardline.state.format import describe


def rows(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


def open_table(table, **options):
    options = {"batch_size": 4, "columns": ["i"], "shuffle": True, "shuffle_buffer_size": 9, **options}
    return StructuredDataset(table.path, format="iceberg", **options)


@pytest.fixture
def table(tmp_path):
    """Two files of 20 and 10 rows, of which 6 are deleted."""
    table = Table.create(tmp_path / "table", version=3)
    first = table.append(rows(0, 20))
    table.append(rows(20, 30))
    table.commit(table.vectors({first.path: [1, 2, 3, 4, 5, 9]}))
    return table


@pytest.fixture
def begun(table):
    """A state after two batches, and the batches that come after it."""
    dataset = open_table(table)
    iterator = iter(dataset)
    seen = [next(iterator)["i"].tolist() for _ in range(2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    rest = [batch["i"].tolist() for batch in iterator]
    assert len({row for batch in seen + rest for row in batch}) == 24
    return state, rest, ids(dataset)


def append(table):
    table.append(rows(30, 60))


def compact(table):
    left = sorted(row[1] for row in table.rows())
    old = [file.path for each in table.manifests[table.current] for file in each.files]
    table.commit([table.data_file(pa.table({"i": left, "s": [f"text {n}" for n in left]}))], remove=old)


def delete_more(table):
    table.commit([table.equality(pa.table({"i": pa.array([22, 23], pa.int64())}), [1])])


def overwrite(table):
    old = [file.path for each in table.manifests[table.current] for file in each.files]
    table.commit([table.data_file(rows(500, 700))], remove=old)


@pytest.mark.parametrize("changes", [(append,), (compact,), (delete_more,), (overwrite,), (append, compact, overwrite)])
def test_newer_snapshots_change_nothing(table, begun, changes, caplog):
    state, rest, second_epoch = begun
    for change in changes:
        change(table)
    caplog.set_level("INFO", "shardline")
    dataset = open_table(table)
    dataset.load_state_dict(state)
    assert f"; {len(changes)} newer snapshot{'s' * (len(changes) > 1)}" in caplog.text
    assert ids(dataset) == rest
    assert ids(dataset) == second_epoch, "later epochs are of the same snapshot"
    again = pickle.loads(pickle.dumps(open_table(table)))
    again.load_state_dict(dataset.state_dict())
    assert again.epoch == 2
    assert again.state_dict()["rows"] == state["rows"]


def test_refresh_takes_the_newest_snapshot_from_the_next_epoch_on(table, begun):
    state, rest, _ = begun
    append(table)
    dataset = open_table(table, on_new_files="refresh")
    dataset.load_state_dict(state)
    assert ids(dataset) == rest
    assert {row for batch in ids(dataset) for row in batch} >= set(range(30, 60))
    assert dataset.state_dict()["rows"]["source"]["version"] == table.current


def test_a_snapshot_that_was_asked_for_is_kept_to(table, begun):
    state, rest, _ = begun
    old = table.current
    table.tag("run")
    append(table)
    table.tag("new")
    for options in ({"snapshot": old}, {"ref": "run"}, {"ref": "main"}):
        named = open_table(table, **options)
        named.load_state_dict(state)
        assert ids(named) == rest
    for options in ({"snapshot": table.current}, {"ref": "new"}):
        with pytest.raises(CheckpointMismatchError, match=f"snapshot: saved {old}, here .*; give snapshot={old}"):
            open_table(table, **options).load_state_dict(state)


def test_with_a_filter_and_ranks(table):
    def make():
        options = {"filters": [("i", ">", 6)], "num_ranks": 2, "num_shards": 2}
        return [open_table(table, rank=rank, **options) for rank in range(2)]

    job = make()
    iterators = [iter(dataset) for dataset in job]
    for iterator in iterators:
        next(iterator)
    state = job[0].state_dict()
    rest = [[batch["i"].tolist() for batch in iterator] for iterator in iterators]
    append(table)
    job = make()
    for dataset in job:
        dataset.load_state_dict(state)
    assert [ids(dataset) for dataset in job] == rest


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_other_ranks_deliver_the_rest(table, before, after):
    def make(count):
        return [open_table(table, num_ranks=count, rank=rank) for rank in range(count)]

    job = make(before)
    seen = [next(iter(dataset))["i"].tolist() for dataset in job]
    state = job[0].state_dict()
    append(table)
    job = make(after)
    for dataset in job:
        dataset.load_state_dict(state)
    found = [row for batch in seen for row in batch] + [
        row for dataset in job for batch in ids(dataset) for row in batch
    ]
    assert sorted(found) == sorted(set(range(30)) - {1, 2, 3, 4, 5, 9})


def test_a_snapshot_that_was_expired_needs_the_plan(table, begun, tmp_path):
    state, rest, _ = begun
    open_table(table).plan.save(tmp_path / "plan")
    old = table.current
    append(table)
    table.expire(old)
    with pytest.raises(CheckpointMismatchError, match=rf"snapshot {old} of the table.*Give plan=.*a tag or a branch"):
        open_table(table).load_state_dict(state)
    saved = StructuredDataset(
        plan=Plan.load(tmp_path / "plan"), batch_size=4, columns=["i"], shuffle=True, shuffle_buffer_size=9
    )
    saved.load_state_dict(state)
    assert ids(saved) == rest


def test_files_that_were_removed_are_named(table, begun, tmp_path):
    state, _, _ = begun
    old = [file.path for file in table.data]
    overwrite(table)
    for path in old:
        (tmp_path / path.removeprefix(f"file://{tmp_path}/")).unlink()
    dataset = open_table(table)
    with pytest.raises(FileChangedError, match=r"\.parquet.* snapshot .* of the Iceberg table .*expire_snapshots"):
        dataset.load_state_dict(state)
    assert {row for batch in ids(dataset) for row in batch} == set(range(500, 700)), "nothing was changed"


def test_another_table_under_the_name_is_refused(table, begun):
    state, _, _ = begun
    shutil.rmtree(table.path)
    other = Table.create(table.path)
    other.append(rows(0, 30))
    with pytest.raises(
        CheckpointMismatchError, match=r"table: saved Iceberg table .*, snapshot .*, 6 rows deleted, here Iceberg"
    ):
        open_table(other).load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="table: saved .*, here plain files"):
        plain = StructuredDataset(table.path, format="parquet", batch_size=4, shuffle=True, shuffle_buffer_size=9)
        plain.load_state_dict(state)


def test_other_deletes_in_the_same_snapshot_are_refused(table, begun):
    state, _, _ = begun
    first = table.data[0]
    parent, number = table.metadata["snapshots"][1]["snapshot-id"], table.current
    table.commit(table.vectors({first.path: [1, 2, 3, 4, 5, 8]}), parent=parent)
    snapshots = {each["snapshot-id"]: each for each in table.metadata["snapshots"]}
    snapshots[number]["manifest-list"] = snapshots[table.current]["manifest-list"]
    table.metadata["current-snapshot-id"] = table.metadata["refs"]["main"]["snapshot-id"] = number
    table.write_metadata()
    with pytest.raises(CheckpointMismatchError, match="which rows are deleted: "):
        open_table(table).load_state_dict(state)


def test_no_delete_file_is_opened_by_a_run(table, begun):
    """Readers in other processes, and resumes with a plan, need none."""
    table.commit([table.equality(pa.table({"i": pa.array([22, 23], pa.int64())}), [1])])
    dataset = open_table(table)
    wanted = ids(open_table(table))
    for file in [*(table.path / "data").glob("*.puffin"), *(table.path / "data").glob("*-equal.parquet")]:
        file.unlink()
    shutil.rmtree(table.path / "metadata")
    assert ids(pickle.loads(pickle.dumps(dataset))) == wanted


def test_what_a_state_says_of_its_table(table, begun, tmp_path):
    state, _, _ = begun
    words = f"Iceberg table {table.metadata['table-uuid']}, snapshot {table.current}, 6 rows deleted"
    assert words in describe(state)
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert words in " ".join(str(shardline.read_state(tmp_path / "state.json")).split())


steps = ["append", "positions", "one file's positions", "vectors", "equality", "equality by two", "rewrite", "evolve"]
operations = st.lists(st.sampled_from(steps), max_size=7)


def run(table, chosen, draws):
    """Commits to a table, chosen by a generator."""
    for step in chosen:
        start = draws.randrange(1000, 10**9)
        data = table.data
        file = draws.choice(data) if data else None
        vectors = {each.referenced for one in table.manifests[table.current] for each in one.files if each.offset}
        if step == "append":
            table.append(named(table, rows(start, start + 5)))
        elif step == "evolve":
            table.evolve([(1, "i", "long"), (2, f"s{start}", "string")])
        elif file is None or not file.rows:
            continue
        elif step in ("positions", "one file's positions") and file.path not in vectors:
            some = {each.path: draws.sample(range(each.rows), draws.randint(1, each.rows)) for each in (file, data[0])}
            is_one = step != "positions"
            table.commit([table.positions({file.path: some[file.path]} if is_one else some, file, one=is_one)])
        elif step == "vectors" and file.path not in vectors:
            table.commit(table.vectors({file.path: draws.sample(range(file.rows), draws.randint(1, file.rows))}))
        elif step == "equality":
            keys = [row[1] for row in draws.sample(file.content, min(3, file.rows))]
            table.commit([table.equality(pa.table({"i": pa.array(keys, pa.int64())}), [1])])
        elif step == "equality by two":
            keys = draws.sample(file.content, min(3, file.rows))
            columns = {
                "i": pa.array([row[1] for row in keys], pa.int64()),
                table.schema.find_column_name(2): [row[2] for row in keys],
            }
            table.commit([table.equality(pa.table(columns), [1, 2])])
        elif step == "rewrite":
            left = [row for row in table.rows() if row in file.content]
            columns = [pa.array([row[1] for row in left], pa.int64()), pa.array([row[2] for row in left], pa.string())]
            made = pa.Table.from_arrays(columns, names=["i", "s"])
            table.commit([table.data_file(named(table, made))], remove=[file.path])


def named(table, of):
    return of.rename_columns(["i", table.schema.find_column_name(2)])


@examples(12)
@given(
    st.lists(st.integers(1, 15), min_size=1, max_size=3), operations, operations, st.booleans(), st.integers(0, 2**32)
)
def test_any_history_is_read_exactly_and_resumed(tmp_path_factory, sizes, before, after, shuffle, seed):
    table = Table.create(tmp_path_factory.mktemp("history") / "t", version=3)
    start, draws = 0, random.Random(seed)
    for size in sizes:
        table.append(rows(start, start + size))
        start += size
    run(table, before, draws)
    wanted = sorted(row[1] for row in table.rows())
    if not wanted:
        return
    options = {"batch_size": draws.randint(1, 7), "shuffle": shuffle, "shuffle_buffer_size": 5 if shuffle else None}
    whole = ids(open_table(table, **options))
    assert sorted(row for batch in whole for row in batch) == wanted
    first = open_table(table, **options)
    iterator = iter(first)
    found = [next(iterator)["i"].tolist() for _ in range(draws.randrange(len(whole)))]
    state = json.loads(json.dumps(first.state_dict()))
    run(table, after, draws)
    if not table.rows():
        return
    second = open_table(table, **options)
    second.load_state_dict(state)
    assert found + ids(second) == whole
