"""The laws of docs/design.md as properties, through the public interface, with simulated ranks."""

import warnings
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, reading, write_rows

import shardline
from shardline import StructuredDataset

Batches = list[tuple[int, ...]]


@dataclass(frozen=True)
class Data:
    """Files as lists of row-group sizes, and settings that define the line."""

    groups: tuple[tuple[int, ...], ...]
    shuffle: bool
    buffer: int | None
    strands: int
    split_rows: int | None
    seed: int


@dataclass(frozen=True)
class Cut:
    """What turns the line into batches."""

    batch_size: int
    num_shards: int | None
    drop_last: bool


data = st.builds(
    Data,
    st.lists(st.lists(st.integers(0, 17), min_size=0, max_size=4).map(tuple), min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.sampled_from([None, 0, 1, 7, 40]),
    st.integers(1, 5),
    st.sampled_from([None, 1, 10, 30]),
    st.sampled_from([0, 1, 2**64 - 1]),
).filter(lambda d: sum(map(sum, d.groups)) > 0)
cuts = st.builds(Cut, st.integers(1, 12), st.none(), st.booleans())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of some files, written once."""
    made = {}

    def folder(groups):
        if groups not in made:
            made[groups] = write_rows(tmp_path_factory.mktemp("laws"), [list(sizes) for sizes in groups])
        return made[groups]

    return folder


def open_ranks(folders, data, cut, ranks, way=0):
    """One dataset a rank; the plan is made once and handed over, as a scheduler would."""
    options = {
        "shuffle": data.shuffle,
        "shuffle_buffer_size": data.buffer,
        "shuffle_strands": data.strands,
        "split_rows": data.split_rows,
        "shuffle_seed": data.seed,
        "batch_size": cut.batch_size,
        "num_shards": cut.num_shards,
        "drop_last": cut.drop_last,
        "columns": ["i"],
        "num_ranks": ranks,
    }
    number = sum(map(sum, data.groups)) + cut.batch_size + way
    first = StructuredDataset(folders(data.groups), rank=0, **reading(number), **options)
    plan = first.plan
    return [first, *(StructuredDataset(plan=plan, rank=r, **reading(number, r), **options) for r in range(1, ranks))]


def usable(folders, data, cut, ranks):
    """The datasets, or nothing where such a topology has no step, which is an error of its own and tested elsewhere."""
    try:
        return open_ranks(folders, data, cut, ranks)
    except shardline.ShardlineValueError as error:
        assume("step" not in str(error) and "rows" not in str(error))
        raise


def run(datasets, steps):
    """`steps` steps of the job in lockstep (None: to the epoch's end); (epoch, batch) in the job's order."""
    found, iterators = [], [iter(d) for d in datasets]
    while steps is None or steps > 0:
        epoch = datasets[0].epoch
        batches = [next(iterator, None) for iterator in iterators]
        if any(batch is None for batch in batches):
            assert all(batch is None for batch in batches), "law 5: every rank takes the same number of steps"
            if steps is None:
                break
            iterators = [iter(d) for d in datasets]
            continue
        assert len({d.batch_index for d in datasets}) == 1
        found += [(epoch, tuple(batch["i"].tolist())) for batch in batches]
        if steps is not None:
            steps -= 1
    return found


def all_rows(data):
    return list(range(sum(map(sum, data.groups))))


def positions(intervals):
    return [p for start, stop in intervals for p in range(start, stop)]


@examples(300)
@given(data, cuts, st.integers(1, 4), st.integers(1, 3))
def test_coverage_and_equal_steps(folders, data, cut, ranks, multiple):
    datasets = usable(folders, data, replace(cut, num_shards=ranks * multiple), ranks)
    steps = len(datasets[0])
    for epoch in range(2):
        assert [len(d) for d in datasets] == [steps] * ranks
        found = [row for e, batch in run(datasets, None) for row in batch if e == epoch]
        assert len(found) == len(set(found))
        left = positions(datasets[0].left_out())
        assert len(found) + len(left) == len(all_rows(data))
        if not cut.drop_last:
            assert sorted(found) == all_rows(data)
    if cut.drop_last:
        assert all(len(batch) == cut.batch_size for _, batch in run(datasets, None))
    if not data.shuffle and datasets[0].num_shards == 1 and not cut.drop_last:
        assert found == all_rows(data)


@examples(200)
@given(data, cuts, st.sampled_from([2, 4, 6]))
def test_batches_do_not_depend_on_the_ranks(folders, data, cut, shards):
    cut = replace(cut, num_shards=shards)
    wanted = run(usable(folders, data, cut, 1), None)
    for ranks in (2, shards):
        assert run(open_ranks(folders, data, cut, ranks), None) == wanted


@examples(150)
@given(data, cuts)
def test_epochs_and_seeds_differ_and_repeat(folders, data, cut):
    (dataset,) = usable(folders, data, cut, 1)
    first, second = run([dataset], None), run([dataset], None)
    again = open_ranks(folders, data, cut, 1)
    assert run(again, None) == first
    assert run(again, None) == second
    (other,) = open_ranks(folders, replace(data, seed=12345), cut, 1)
    if data.shuffle and data.buffer is None and len(all_rows(data)) > 30:
        assert [b for _, b in first] != [b for _, b in second]
        assert [b for _, b in run([other], None)] != [b for _, b in first]
    if not data.shuffle:
        assert run([other], None) == first


@examples(500)
@given(
    data,
    cuts,
    st.integers(1, 3),
    st.integers(1, 2),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.booleans(),
)
def test_resume_is_exact_however_often(folders, data, cut, ranks, multiple, stops, look):
    cut = replace(cut, num_shards=ranks * multiple)
    total = sum(stops) + 5
    wanted = run(usable(folders, data, cut, ranks), total)
    found = []
    state = None
    for way, steps in enumerate([*stops, total - sum(stops)]):
        datasets = open_ranks(folders, data, cut, ranks, 5 * way)  # read in another way each time
        if state is not None:
            for dataset in datasets:
                dataset.load_state_dict(state)
        if (
            look
        ):  # a peek changes nothing, nor an iterator that is never asked; one batch alone would be the epoch's end
            for dataset in datasets:
                next(iter(dataset)) if dataset.remaining > 1 else iter(dataset)
        found += run(datasets, steps)
        states = [d.state_dict() for d in datasets] if steps else [state or datasets[0].state_dict()]
        assert all(s == states[0] for s in states), "the state of any rank is the state of the job"
        state = states[0]
    assert found == wanted


@examples(500)
@given(
    data,
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.booleans(), st.integers(0, 6)),
        min_size=2,
        max_size=4,
    ),
)
def test_coverage_holds_over_changes_of_ranks_batches_and_shards(folders, data, history):
    assume(len(all_rows(data)) >= max(ranks * multiple for ranks, multiple, *_ in history))
    found, begun, state, ended = [], None, None, False
    for number, (ranks, multiple, batch_size, drop_last, steps) in enumerate(history):
        last = number == len(history) - 1
        cut = Cut(batch_size, ranks * multiple if batch_size % 2 else None, drop_last and last)
        datasets = usable(folders, data, cut, ranks)
        begun = begun or datasets[0].state_dict()
        if state is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # fewer rows than ranks
                try:
                    for dataset in datasets:
                        dataset.load_state_dict(state)
                except shardline.CheckpointMismatchError as error:
                    assume("later epochs have no step" not in str(error))
                    raise
        steps = datasets[0].remaining if last else min(steps, datasets[0].remaining)
        assert [d.remaining for d in datasets] == [datasets[0].remaining] * ranks
        found += run(datasets, steps)
        state = datasets[0].state_dict()
        ended = datasets[0].remaining == 0
    rows = [row for _, batch in found for row in batch]
    assert ended
    assert {epoch for epoch, _ in found} <= {0}
    assert len(rows) == len(set(rows)), "no row twice"
    left = positions(datasets[0].left_out())
    assert len(rows) + len(left) == len(all_rows(data)), "no row lost that left_out() does not list"
    # And the rows left out are those that left_out() lists.
    (whole,) = open_ranks(folders, data, Cut(1, 1, False), 1)
    whole.load_state_dict(begun)  # with the order as the run resolved it
    line = [row for _, batch in run([whole], None) for row in batch]
    assert sorted(rows + [line[p] for p in left]) == all_rows(data)


@examples(200)
@given(data, cuts, st.sampled_from([(4, 2), (2, 4), (4, 1), (6, 3), (2, 1), (1, 2)]), st.integers(0, 8))
def test_ranks_that_divide_go_on_bit_for_bit(folders, data, cut, change, steps):
    before, after = change
    cut = replace(cut, num_shards=12)
    assume(len(all_rows(data)) >= 12)
    wanted = usable(folders, data, cut, 1)
    first = open_ranks(folders, data, cut, before)
    steps = min(steps, len(first[0]))
    assume(steps * before % after == 0)
    found = run(first, steps)
    second = open_ranks(folders, data, cut, after)
    for dataset in second:
        dataset.load_state_dict(first[0].state_dict() if steps else first[0].state_at(0))
    whole = run(wanted, None)
    assert found + run(second, None) == whole
