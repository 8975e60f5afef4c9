"""The laws over whole histories: any ranks, shards, batch size and drop_last at each stop, over two epoch borders.

Through the public interface, with simulated ranks in lockstep. What each run did is known by `resumed`; where it
went on in its leg, its batches are those of the uninterrupted run, and otherwise the epoch is covered.
"""

import warnings
from collections import defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, reading, write_rows

import shardline
from shardline import StructuredDataset

EPOCHS = 3

files = st.lists(st.lists(st.integers(0, 15), max_size=3).map(tuple), min_size=1, max_size=4).map(tuple)
lines = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "buffer": st.sampled_from(
            [{}, {"shuffle_buffer_size": 0}, {"shuffle_buffer_size": 5}, {"shuffle_buffer_bytes": 200}]
        ),
        "shuffle_strands": st.sampled_from([None, 1, 2, 4]),
        "split_rows": st.sampled_from([None, 1, 9]),
        "shuffle_seed": st.sampled_from([0, 42, 2**64 - 1]),
    }
).map(lambda line: {**{name: value for name, value in line.items() if name != "buffer"}, **line["buffer"]})
runs = st.tuples(
    st.integers(1, 4),  # ranks
    st.sampled_from([None, 1, 2, 3]),  # num_shards / ranks
    st.integers(1, 7),  # batch size
    st.booleans(),  # drop_last
    st.integers(0, 25),  # steps
    st.integers(0, 3),  # whose state is saved
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(groups):
        if groups not in made:
            made[groups] = write_rows(tmp_path_factory.mktemp("histories"), [list(sizes) for sizes in groups])
        return made[groups]

    return folder


def open_job(folder, plan, line, run):
    ranks, multiple, batch_size, drop_last, *_ = run
    options = {**line, "batch_size": batch_size, "drop_last": drop_last, "num_ranks": ranks}
    options["num_shards"] = None if multiple is None else ranks * multiple
    where = {"path": folder} if plan is None else {"plan": plan}
    return [
        StructuredDataset(
            **where, rank=rank, columns=["i"], **reading(ranks, multiple or 0, batch_size, rank), **options
        )
        for rank in range(ranks)
    ]


def step(iterators, datasets):
    """One step of every rank: the job's batches, in order; None at the epoch's end, which all see together."""
    batches = [next(iterator, None) for iterator in iterators]
    assert len({batch is None for batch in batches}) == 1, "law 5: all ranks take the same number of steps"
    assert len({(d.epoch, d.batch_index, d.remaining) for d in datasets}) == 1
    return None if batches[0] is None else [batch["i"].tolist() for batch in batches]


def left_rows(dataset, line_rows):
    return [line_rows[p] for start, stop in dataset.left_out() for p in range(start, stop)]


@examples(300)
@given(files, lines, st.lists(runs, min_size=1, max_size=4))
def test_histories(folders, groups, line, history):
    total = sum(map(sum, groups))
    assume(total)
    folder = folders(groups)
    whole = StructuredDataset(folder, batch_size=1, num_shards=1, **line)
    plan, begun, line_of = whole.plan, None, []
    delivered, left, finished = defaultdict(list), {}, set()
    state = None
    history = [*history, (*history[-1][:4], None, 0)]  # the last goes on to the end of all epochs
    for run in history:
        steps = run[4]
        try:
            datasets = open_job(folder, plan, line, run)
            if state is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # fewer rows than ranks
                    for dataset in datasets:
                        dataset.load_state_dict(state)
        except (shardline.ShardlineValueError, shardline.CheckpointMismatchError) as error:
            # a fresh epoch of these settings would have no step: an error of its own, which changes nothing
            if not any(words in str(error) for words in ("no step", "no full batch", "fewer than")):
                raise
            continue
        if begun is None:
            begun = datasets[0].state_dict()  # with the order as it was resolved for the run's first number of shards
            whole.load_state_dict(begun)
            line_of = [[row for b in whole for row in b["i"].tolist()] for _ in range(EPOCHS)]
        reference = None
        if state is None or "goes on" in datasets[0].resumed:
            # law 3 and 4: what follows is what a run of these settings, never stopped, delivers
            legs = datasets[0].state_dict()["legs"]
            if len(legs) == 1:
                shards, batch_size, drop_last, _, _ = legs[0]
                never = StructuredDataset(
                    plan=plan, columns=["i"], batch_size=batch_size, drop_last=drop_last, num_shards=shards, **line
                )
                never.load_state_dict(begun)
                never.set_epoch(datasets[0].epoch)
                reference = [batch["i"].tolist() for batch in never]
                reference = reference[datasets[0].batch_index * len(datasets) :]
        epoch, first_epoch, iterators, got = datasets[0].epoch, datasets[0].epoch, [iter(d) for d in datasets], []
        while epoch < EPOCHS and (steps is None or steps > 0):
            batches = step(iterators, datasets)
            if batches is None:
                ended = datasets[0].state_dict()["epoch"]
                finished.add(ended)
                left[ended] = left_rows(datasets[0], line_of[ended])
                epoch = datasets[0].epoch
                if epoch < EPOCHS:
                    iterators = [iter(d) for d in datasets]
                continue
            delivered[epoch] += [row for batch in batches for row in batch]
            if epoch == first_epoch:
                got += batches
            if steps is not None:
                steps -= 1
        if reference is not None:
            assert got == reference[: len(got)]
        states = [d.state_dict() for d in datasets]
        assert all(s == states[0] for s in states), "the state of any rank is the state of the job"
        state = states[run[5] % len(states)]
    for ended in finished:
        assert sorted(delivered[ended] + left[ended]) == list(range(total)), (
            "law 1: every row once, or left out by name"
        )
