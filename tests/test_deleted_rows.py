"""Rows that a table has deleted are off the line: every law, over plain files with random deletes given to the plan."""

import json
import pickle
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, ids, reading, spec, write_rows
from support.filtered import epoch
from support.store import Store

import shardline
from shardline import CheckpointMismatchError, Plan, ShardlineValueError, StructuredDataset
from shardline.state.format import describe

groups = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)
deletes = st.tuples(st.integers(0, 2**32), st.sampled_from([0.0, 0.02, 0.5, 0.9, 1.0]))
lines = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "shuffle_buffer_size": st.sampled_from([None, 0, 5, 30]),
        "shuffle_strands": st.integers(1, 4),
        "split_rows": st.sampled_from([None, 1, 9]),
        "filters": st.sampled_from([None, [("i", ">", 20)], [("x", "<", 10.0)]]),
        "subset": st.sampled_from([None, None, (0, 0.5)]),
    }
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(sizes):
        if sizes not in made:
            made[sizes] = write_rows(tmp_path_factory.mktemp("deleted"), [list(of_file) for of_file in sizes])
        return made[sizes]

    return folder


def with_deletes(path, sizes, chosen):
    """The plan without random rows, or without all rows of some row groups; and the rows that are left."""
    seed, fraction = chosen
    rng = np.random.default_rng(seed)
    plan = StructuredDataset(path, batch_size=1, columns=["i"]).plan
    deleted, left, start = [], [], 0
    for file, of_file in enumerate(sizes):
        gone, first = [], 0
        for size in of_file:
            whole = fraction > 0 and rng.random() < 0.2
            gone += [first + row for row in range(size) if whole or rng.random() < fraction]
            first += size
        deleted.append((file, gone))
        left += [start + row for row in range(first) if row not in set(gone)]
        start += first
    return plan.with_deleted(deleted), left


def plan_of(folders, sizes, chosen):
    assume(sum(map(sum, sizes)))
    return with_deletes(folders(sizes), sizes, chosen)


def open_job(plan, line, ranks=1, multiple=1, batch_size=3, **options):
    options = {"columns": ["i"], "num_ranks": ranks, "num_shards": ranks * multiple, **options}
    options |= reading(ranks, multiple, batch_size)
    try:
        return [StructuredDataset(plan=plan, rank=r, batch_size=batch_size, **options, **line) for r in range(ranks)]
    except ShardlineValueError as error:
        assume(not any(words in str(error) for words in ("no row passes", "fewer than", "nothing to deliver")))
        raise


def run(datasets, steps=None):
    """So many steps of all ranks (None: to the epoch's end); the job's batches in order."""
    found, iterators = [], [iter(dataset) for dataset in datasets]
    while steps is None or len(found) < steps * len(datasets):
        batches = [next(iterator, None) for iterator in iterators]
        assert len({batch is None for batch in batches}) == 1, "equal steps"
        if batches[0] is None:
            break
        found += [batch["i"].tolist() for batch in batches]
    return found


@examples(120)
@given(groups, deletes, lines, st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.lists(st.integers(0, 5)))
def test_coverage_purity_and_resume(folders, sizes, chosen, line, ranks, multiple, batch_size, stops):
    plan, left = plan_of(folders, sizes, chosen)
    wanted = run(open_job(plan, line, ranks, multiple, batch_size))
    if line["subset"] is None:
        passing = {None: lambda i: True, "i": lambda i: i > 20, "x": lambda i: i / 2 < 10}
        passes = passing[line["filters"] and line["filters"][0][0]]
        assert sorted(row for batch in wanted for row in batch) == [i for i in left if passes(i)]
    assert run(open_job(plan, line, 1, ranks * multiple, batch_size)) == wanted, "purity"
    found, state = [], None
    for steps in [*stops[:3], None]:
        datasets = open_job(pickle.loads(pickle.dumps(plan)), line, ranks, multiple, batch_size)
        for dataset in datasets if state is not None else ():
            dataset.load_state_dict(json.loads(json.dumps(state)))
        steps = None if steps is None else min(steps, datasets[0].remaining - 1)
        if steps != 0:
            found += run(datasets, steps)
        state = datasets[0].state_dict()
    assert found == wanted


@examples(60)
@given(groups, deletes, lines, st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), min_size=2, max_size=3))
def test_ranks_and_batches_may_change(folders, sizes, chosen, line, history):
    plan, _ = plan_of(folders, sizes, chosen)
    state, found = None, []
    for number, (ranks, batch_size) in enumerate(history):
        datasets = open_job(plan, line, ranks, 1, batch_size)
        if state is not None:
            rows_left = datasets[0].num_rows - sum(map(len, found))
            for dataset in datasets:
                with pytest.warns(RuntimeWarning, match="than ranks") if rows_left < ranks else nullcontext():
                    dataset.load_state_dict(state)
        last = number == len(history) - 1
        found += run(datasets, None if last else min(2, max(datasets[0].remaining - 1, 0)) or None)
        state = datasets[0].state_dict()
        if datasets[0].remaining == 0 or datasets[0].epoch > 0:
            break
    (whole,) = open_job(plan, {**line, "shuffle": False}, 1, 1, 1)
    rows = [row for batch in found for row in batch]
    assert len(set(rows)) == len(rows)
    left = sum(stop - start for start, stop in datasets[0].left_out())
    assert set(rows) <= set(epoch(whole))
    assert len(rows) + left == whole.num_rows


@examples(60)
@given(groups, deletes, lines, st.integers(1, 4), st.integers(1, 7), st.integers(0, 2))
def test_the_order_is_as_specified(folders, sizes, chosen, line, shards, batch, at):
    """The order counts rows that are left as it counts rows that pass."""
    line = {**line, "filters": None, "subset": None}
    plan, left = plan_of(folders, sizes, chosen)
    (dataset,) = open_job(plan, line, 1, shards, batch)
    files, starts, numbers, start = [], {}, {}, 0
    remaining = set(left)
    for file in sorted(folders(sizes).rglob("*.parquet")):
        meta, name, of_file = pq.read_metadata(file), file.name, []
        for number in range(meta.num_row_groups):
            group = meta.row_group(number)
            numbers[name, number] = [i for i in range(start, start + group.num_rows) if i in remaining]
            of_file.append(spec.group_of(group)._replace(passing=len(numbers[name, number])))
            starts[len(starts)] = (name, number)
            start += group.num_rows
        files.append(of_file)
    settings = spec.Settings(
        shuffle=line["shuffle"],
        seed=42,
        buffer_rows=line["shuffle_buffer_size"],
        strands=line["shuffle_strands"],
        split_rows=line["split_rows"],
    )
    rows = [numbers[starts[g]][r] for g, r in spec.line(files, settings, at, spec.resolve(files, settings, shards))]
    dataset.set_epoch(at)
    assert ids(dataset) == [[rows[p] for p in positions] for positions in spec.batches(len(rows), shards, batch, False)]


@pytest.fixture
def plan(tmp_path):
    return StructuredDataset(write_rows(tmp_path / "d", [[10, 10], [20]]), batch_size=4).plan


def test_the_state_says_what_was_deleted(plan, tmp_path):
    some, others = plan.with_deleted([(0, [3, 12])]), plan.with_deleted([(0, [3, 13])])
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
    dataset = StructuredDataset(plan=plan.with_deleted([(0, [0, 12, 13]), (1, [19])]), batch_size=8, row_id=True)
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
    dataset = StructuredDataset(plan=plan.with_deleted([(1, list(range(20)))]), batch_size=20)
    assert ids(dataset) == [list(range(20))]
    filtered = StructuredDataset(plan=plan.with_deleted([(1, list(range(20)))]), batch_size=20, filters=[("i", ">", 4)])
    assert ids(filtered) == [list(range(5, 20))]


def test_nulls_of_deleted_rows_are_no_obstacle(tmp_path):
    pq.write_table(pa.table({"i": pa.array([0, None, 2])}), tmp_path / "x.parquet")
    plan = StructuredDataset(tmp_path, batch_size=2, output_format="arrow").plan
    assert ids(StructuredDataset(plan=plan.with_deleted([(0, [1])]), batch_size=2)) == [[0, 2]]


def test_deletes_of_every_row_are_an_error_that_says_so(plan):
    with pytest.raises(ShardlineValueError, match="all 40 rows in 2 files .* were deleted"):
        StructuredDataset(plan=plan.with_deleted([(0, list(range(20))), (1, list(range(20)))]), batch_size=4)


def test_deletes_that_do_not_fit_are_refused(plan):
    with pytest.raises(ShardlineValueError, match=r"part-0000\.parquet: its row 20 is deleted, and it has 20 rows"):
        plan.with_deleted([(0, [20])])
    with pytest.raises(ShardlineValueError, match="deleted twice"):
        plan.with_deleted([(0, [1]), (0, [2])])


def test_plans_keep_them(plan, tmp_path):
    some = plan.with_deleted([(0, [3, 12]), (1, [0])])
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
        plan = StructuredDataset(store.url, **options).plan.with_deleted([(0, gone)])
        assert epoch(StructuredDataset(plan=plan, **options)) == [i for i in range(6_000) if i % 7]
