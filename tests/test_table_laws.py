"""The laws of docs/design.md over tables of every kind: made by random steps, read and resumed as of any of them.

Which rows live is a model's word: of the steps themselves, or of the specification row by row (`support.lakes`).
"""

from contextlib import nullcontext

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, ids, reading, spec
from support.lakes import KINDS, TABLES
from support.lakes.histories import histories
from support.lakes.lake import plain
from support.lakes.same_files import same_files

from shardline import CheckpointMismatchError, ShardlineValueError

SEEDS = 12
"""Tables of each kind."""
seeds, places = st.integers(0, SEEDS - 1), st.integers(0, 1000)
lines = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "shuffle_buffer_size": st.sampled_from([None, 0, 5, 30]),
        "shuffle_strands": st.integers(1, 4),
        "split_rows": st.sampled_from([None, 1, 9]),
        "filters": st.sampled_from([None, None, [("i", ">", 20)], [("i", "<", 40)]]),
        "subset": st.sampled_from([None, None, None, (0, 0.5)]),
    }
)
PASSES = {None: lambda i: True, ">": lambda i: i > 20, "<": lambda i: i < 40}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return histories(KINDS, tmp_path_factory.mktemp("histories"))


def open_job(table, at, line, ranks=1, multiple=1, batch_size=3, **options):
    options = {"columns": ["i"], "num_ranks": ranks, "num_shards": ranks * multiple, **options, **line}
    options |= reading(ranks, multiple, batch_size)
    try:
        return [table.open(at, rank=rank, batch_size=batch_size, **options) for rank in range(ranks)]
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


def later(table, at, move):
    """A state from `at` on, before versions expire again; of plain files, which have no versions, the same."""
    stays = [now for now in range(at, len(table.states)) if not table.has_expired(at, now)]
    return at if table.lake.kind == "plain" else stays[move % len(stays)]


@pytest.mark.parametrize("kind", KINDS)
@examples(30)
@given(
    seeds,
    places,
    lines,
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), places), max_size=2),
)
def test_coverage_purity_resume_and_equal_steps(tables, kind, seed, place, line, ranks, multiple, batch_size, stops):
    table = tables(kind, seed)
    at = place % len(table.states)
    wanted = run(open_job(table, at, line, ranks, multiple, batch_size))
    if line["subset"] is None:
        passes = PASSES[line["filters"] and line["filters"][0][1]]
        assert sorted(row for batch in wanted for row in batch) == [i for i in table.ids(at) if passes(i)], "coverage"
    assert run(open_job(table, at, line, 1, ranks * multiple, batch_size)) == wanted, "purity"
    found, state, now = [], None, at
    for steps, move in [*stops, (None, 1)]:
        datasets = open_job(table, now, line, ranks, multiple, batch_size)
        for dataset in datasets if state is not None else ():
            dataset.load_state_dict(plain(state))
        steps = None if steps is None else min(steps, datasets[0].remaining - 1)
        if steps != 0:
            found += run(datasets, steps)
        state, now = datasets[0].state_dict(), later(table, at, move)
    assert found == wanted, "resume"


@pytest.mark.parametrize("kind", KINDS)
@examples(20)
@given(seeds, places, lines, st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), places), min_size=2, max_size=3))
def test_ranks_and_batches_may_change(tables, kind, seed, place, line, jobs):
    table = tables(kind, seed)
    at = now = place % len(table.states)
    state, found, whole_rows = None, [], 0
    for number, (ranks, batch_size, move) in enumerate(jobs):
        datasets = open_job(table, now, line, ranks, 1, batch_size)
        whole_rows = whole_rows or datasets[0].num_rows
        if state is not None:
            rows_left = whole_rows - sum(map(len, found))
            for dataset in datasets:
                with pytest.warns(RuntimeWarning, match="than ranks") if rows_left < ranks else nullcontext():
                    dataset.load_state_dict(state)
        is_last = number == len(jobs) - 1
        found += run(datasets, None if is_last else min(2, max(datasets[0].remaining - 1, 0)) or None)
        state, now = datasets[0].state_dict(), later(table, at, move)
        if datasets[0].remaining == 0 or datasets[0].epoch > 0:
            break
    (whole,) = open_job(table, at, {**line, "shuffle": False}, 1, 1, 1)
    rows = [row for batch in found for row in batch]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= {row for batch in ids(whole) for row in batch}
    left = sum(stop - start for start, stop in datasets[0].left_out())
    assert len(rows) + left == whole.num_rows


@pytest.mark.parametrize("kind", KINDS)
@examples(20)
@given(seeds, places, lines, st.integers(1, 4), st.integers(1, 7), st.integers(0, 2))
def test_the_order_is_as_specified(tables, kind, seed, place, line, shards, batch, epoch):
    """The order counts rows that are left as it counts rows that pass."""
    table = tables(kind, seed)
    at = place % len(table.states)
    line = {**line, "filters": None, "subset": None}
    (dataset,) = open_job(table, at, line, 1, shards, batch)
    files, groups, live = [], [], set(table.ids(at))
    for name, _, _ in dataset.plan.files():
        file, of_file = pq.ParquetFile(f"{dataset.plan.root}/{name}"), []
        for number in range(file.metadata.num_row_groups):
            groups.append([i for i in file.read_row_group(number, ["i"])["i"].to_pylist() if i in live])
            of_file.append(spec.group_of(file.metadata.row_group(number))._replace(passing=len(groups[-1])))
        files.append(of_file)
    settings = spec.Settings(
        shuffle=line["shuffle"],
        seed=42,
        buffer_rows=line["shuffle_buffer_size"],
        strands=line["shuffle_strands"],
        split_rows=line["split_rows"],
    )
    places = spec.line(files, settings, epoch, spec.resolve(files, settings, shards))
    rows = [groups[group][row] for group, row in places]
    dataset.set_epoch(epoch)
    assert ids(dataset) == [[rows[p] for p in positions] for positions in spec.batches(len(rows), shards, batch, False)]


@pytest.mark.parametrize("kind", TABLES)
@examples(15)
@given(seeds, places, st.integers(0, 3), st.booleans())
def test_a_version_that_expired_is_gone_on_with_or_refused(tables, kind, seed, place, steps, shuffle):
    """Never does a run go on with other rows: honesty."""
    table = tables(kind, seed)
    states = table.states
    pairs = [(at, now) for now in range(len(states)) for at in range(now) if table.has_expired(at, now)]
    assume(pairs)
    at, now = pairs[place % len(pairs)]
    options = {"batch_size": 3, "columns": ["i"], "shuffle": shuffle}
    dataset = table.open(at, **options)
    whole = ids(table.open(at, **options))
    iterator = iter(dataset)
    found = [next(iterator)["i"].tolist() for _ in range(min(steps, len(whole) - 1))]
    state = plain(dataset.state_dict())
    resumed = table.open(now, **options)
    if state["rows"]["source"]["deleted"] or not _keeps_columns(table, at, now):
        with pytest.raises(CheckpointMismatchError, match=f"{table.lake.word} {states[at].version} of the table"):
            resumed.load_state_dict(state)
    else:
        resumed.load_state_dict(state)
        assert found + ids(resumed) == whole


def _keeps_columns(table, at, now):
    """Whether a table still says what the columns of an expired version are, and that these are in its files."""
    if table.lake.kind == "iceberg":
        return True
    then, later = (set(table.states[each].live[0]) for each in (at, now))
    return then == later and "p" not in then


@examples(25)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.lists(st.tuples(places, places), max_size=20),
    lines,
    st.integers(1, 3),
    st.integers(1, 6),
)
def test_the_same_files_give_the_same_line(tmp_path_factory, sizes, chosen, line, shards, batch_size):
    """Plain, as a Delta table and as an Iceberg table; and so do the rows that are left of them."""
    rows = [(place % len(sizes), row) for place, row in chosen]
    deleted = {place: sorted({row % size for at, row in rows if at == place}) for place, size in enumerate(sizes)}
    opened = same_files(tmp_path_factory.mktemp("same") / "t", sizes, deleted)
    options = {"columns": ["i"], "batch_size": batch_size, "num_shards": shards, **line}
    found = {}
    for kind, make in opened.items():
        try:
            dataset = make(**options)
        except ShardlineValueError as error:
            said = str(error)
            assert any(words in said for words in ("no row passes", "fewer than", "nothing to deliver", "were deleted"))
            found[kind] = None
        else:
            plan = dataset.plan
            found[kind] = (ids(dataset), ids(dataset), plan.digest, plan.decoded_bytes, plan.deleted)
    assert found["plain"] == found["delta"] == found["iceberg"]
