"""P1 and P5 of packed sequences over whole histories: other ranks, shards and batches at each stop, over epoch borders.

Tokens are numbered through all documents, so that a token that is lost or repeated is seen by its number.
"""

import json
import warnings
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, reading
from support.packed import SHUFFLES, numbered

import shardline
from shardline import Pack, StructuredDataset

EPOCHS = 2

sizes = st.one_of(st.integers(0, 3), st.integers(0, 20), st.none())
files = st.lists(
    st.lists(st.lists(sizes, max_size=6).map(tuple), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
).map(tuple)
lengths = st.one_of(st.integers(1, 7), st.integers(1, 40))
packings = st.tuples(lengths, st.booleans(), st.booleans(), st.sampled_from(["wrap", "fit"]))
runs = st.tuples(
    st.integers(1, 4),  # ranks
    st.sampled_from([None, 1, 2]),  # num_shards / ranks
    st.integers(1, 5),  # batch size
    st.booleans(),  # drop_last
    st.integers(0, 20),  # steps
    st.integers(0, 3),  # whose state is saved
    st.sampled_from([None, "next", "input"]),  # labels, which may change
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(groups):
        if groups not in made:
            made[groups] = numbered(tmp_path_factory.mktemp("histories"), groups)
        return made[groups]

    return folder


def open_job(plan, packing, line, run):
    ranks, multiple, batch_size, drop_last, _, _, labels = run
    seq_len, ends, _, mode = packing
    pack = Pack("ids", seq_len=seq_len, mode=mode, eos=-1 if ends else None, labels=labels)
    shards = None if multiple is None else ranks * multiple
    more = {"batch_size": batch_size, "drop_last": drop_last, "num_ranks": ranks, "num_shards": shards}
    return [
        StructuredDataset(plan=plan, pack=pack, rank=rank, **line, **more, **reading(ranks, batch_size, rank))
        for rank in range(ranks)
    ]


def tokens_of(batch):
    """The numbered tokens of a batch, sequence by sequence."""
    assert batch["num_tokens"] == int((batch["segment_ids"] > 0).sum())
    rows = zip(batch["input_ids"].tolist(), batch["segment_ids"].tolist(), strict=True)
    return [tuple(token for token, segment in zip(*row, strict=True) if segment) for row in rows]


@examples(500)
@given(files, packings, st.sampled_from(SHUFFLES), st.lists(runs, min_size=1, max_size=4))
def test_no_token_is_lost_or_repeated(folders, groups, packing, line, history):
    seq_len, ends, shuffled, mode = packing
    line = {**line, "shuffle_seed": 5} if shuffled and line else {}
    path, total = folders(groups)
    pack = Pack("ids", seq_len=seq_len, mode=mode, eos=-1 if ends else None)
    if not total:
        with pytest.raises(shardline.ShardlineValueError, match="no token"):
            StructuredDataset(path, pack=pack)
        return
    whole = StructuredDataset(path, pack=pack, batch_size=1, num_shards=1, **line)
    documents = sum(bool(size) for of_file in groups for of_group in of_file for size in of_group)
    full = -(-(total + ends * documents) // seq_len)
    assert whole.num_rows == full if mode == "wrap" else whole.num_rows >= full
    begun, line_of = None, []
    delivered, left, finished = defaultdict(list), {}, set()
    state = None
    for run in [*history, (*history[-1][:4], None, 0, "next")]:  # the last goes on to the end of all epochs
        steps = run[4]
        try:
            datasets = open_job(whole.plan, packing, line, run)
            if state is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # fewer sequences than ranks
                    for dataset in datasets:
                        dataset.load_state_dict(json.loads(json.dumps(state)))
        except (shardline.ShardlineValueError, shardline.CheckpointMismatchError) as error:
            # a fresh epoch of these settings would have no step: an error of its own, which changes nothing
            if not any(words in str(error) for words in ("no step", "no full batch", "fewer than")):
                raise
            continue
        if begun is None:
            begun = datasets[0].state_dict()  # with the order as it was resolved for the first number of shards
            whole.load_state_dict(begun)
            line_of = [[row for batch in whole for row in tokens_of(batch)] for _ in range(EPOCHS)]
        epoch, iterators = datasets[0].epoch, [iter(dataset) for dataset in datasets]
        while epoch < EPOCHS and (steps is None or steps > 0):
            batches = [next(iterator, None) for iterator in iterators]
            assert len({batch is None for batch in batches}) == 1, "all ranks take the same number of steps"
            if batches[0] is None:
                ended = datasets[0].state_dict()["epoch"]
                finished.add(ended)
                gaps = datasets[0].left_out()
                left[ended] = [line_of[ended][p] for start, stop in gaps for p in range(start, stop)]
                epoch = datasets[0].epoch
                if epoch < EPOCHS:
                    iterators = [iter(dataset) for dataset in datasets]
                continue
            delivered[epoch] += [row for batch in batches for row in tokens_of(batch)]
            steps = None if steps is None else steps - 1
        states = [dataset.state_dict() for dataset in datasets]
        assert all(each == states[0] for each in states), "the state of any rank is the state of the job"
        state = states[run[5] % len(states)]
    for ended in finished:
        rows = delivered[ended] + left[ended]
        assert sorted(token for row in rows for token in row if token >= 0) == list(range(total))
        assert sorted(rows) == sorted(line_of[ended])
