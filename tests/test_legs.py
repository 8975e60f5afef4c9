"""Legs through the public interface: what a run does that resumes otherwise, to the last rows; `strict`, `files`."""

import pickle
import warnings

import pyarrow.parquet as pq
import pytest
from support import ids, take, write_rows

import shardline
from shardline import CheckpointMismatchError, DataLoader, StructuredDataset


@pytest.fixture
def make(hundred):
    return lambda path=hundred, **options: DataLoader(path, **{"batch_size": 10, "shuffle": True, **options})


def ranks_of(make, ranks, state=None, **options):
    """One loader a rank, the state loaded on each."""
    loaders = [make(rank=rank, num_ranks=ranks, **options) for rank in range(ranks)]
    for loader in loaders if state is not None else ():
        loader.load_state_dict(state)
    return loaders


def steps(loaders, count):
    """The rows of the next `count` steps of the job, in its order."""
    found = [take(iter(loader), count) for loader in loaders]
    assert len({len(batches) for batches in found}) == 1, "every rank takes the same number of steps"
    return [row for step in zip(*found, strict=True) for batch in step for row in batch]


def rows_of_positions(make, positions):
    line = sum(ids(make(batch_size=1)), [])
    return [line[p] for start, stop in positions for p in range(start, stop)]


# What comes


def test_a_chain_down_to_the_last_rows(make):
    """Other ranks, batch sizes, shards and drop_last at every stop: every row once, and the last ones are named."""
    chain = [
        (2, {"batch_size": 7, "num_shards": 4}, 2),
        (3, {"batch_size": 5}, 1),
        (1, {"batch_size": 6, "drop_last": True}, 2),
        (4, {"batch_size": 2, "num_shards": 8}, 3),
        (2, {"batch_size": 3}, 1),
        (5, {"batch_size": 1}, 1),
        (1, {"batch_size": 1}, 1),
    ]
    seen, state = [], None
    for ranks, options, count in chain:
        loaders = ranks_of(make, ranks, state, **options)
        seen += steps(loaders, count)
        state = loaders[-1].state_dict()
        assert all(loader.state_dict() == state for loader in loaders)
    assert 100 - len(seen) == 10
    loaders = ranks_of(make, 3, state, batch_size=2)
    assert [loader.remaining for loader in loaders] == [2, 2, 2]
    seen += steps(loaders, 1)
    state = loaders[0].state_dict()
    with pytest.warns(RuntimeWarning, match=r"fewer rows are left \(of 4 rows\) than ranks \(5\)"):
        over = ranks_of(make, 5, state, batch_size=4)
    assert [loader.remaining for loader in over] == [0] * 5
    seen += rows_of_positions(make, over[0].left_out())
    assert sorted(seen) == list(range(100))
    # it is no crash loop: the epoch ends, on every rank, and the next one is whole
    assert steps(over, 10) == []
    assert [loader.epoch for loader in over] == [1] * 5
    assert sorted(steps(over, 50)) == list(range(100))
    # and a state saved there says the same again
    again = ranks_of(make, 5, over[1].state_dict(), batch_size=4)
    assert again[0].epoch == 2


def test_one_rank_takes_the_rows_that_many_could_not(make):
    state = make(batch_size=2).state_at(49)
    with pytest.warns(RuntimeWarning, match="fewer rows are left"):
        ranks_of(make, 4, state, batch_size=2)
    (alone,) = ranks_of(make, 1, state)
    assert len(steps([alone], 5)) == 2
    assert alone.left_out() == []


def test_what_is_done_is_said(make, caplog):
    state = make(num_shards=4).state_at(4)
    caplog.set_level("INFO", "shardline")
    for options, words in [
        ({}, "goes on in its leg: epoch 0, step 4"),
        ({"rank": 0, "num_ranks": 4}, "goes on in its leg: epoch 0, step 1"),
        ({"rank": 0, "num_ranks": 3}, "cuts a new leg: what epoch 0 has left after step 1, 60 rows, in 3 shards"),
        ({"batch_size": 4}, "in 4 shards and batches of 4 rows"),
        ({"drop_last": True}, "(drop_last)"),
    ]:
        dataset = make(**options).dataset
        assert dataset.resumed == "begins afresh: no state was loaded"
        dataset.load_state_dict(state)
        assert words in dataset.resumed
        assert dataset.resumed in caplog.text


@pytest.mark.parametrize(("ranks", "accumulation"), [(4, 1), (2, 2), (1, 4)])
def test_half_the_ranks_with_twice_the_accumulation(make, ranks, accumulation):
    """docs/ranks.md: an optimizer step takes the same rows, in the same batches, also after a resume in between."""

    def optimizer_steps(loaders, steps):
        iterators = [iter(loader) for loader in loaders]
        return [sorted(ids([next(it) for _ in range(accumulation) for it in iterators])) for _ in range(steps)]

    options = {"batch_size": 5, "num_shards": 4}
    reference = ranks_of(make, 4, **options)
    iterators = [iter(loader) for loader in reference]
    wanted = [sorted(ids([next(it) for it in iterators])) for _ in range(5)]
    assert optimizer_steps(ranks_of(make, ranks, **options), 5) == wanted
    state = make(**options).state_at(8)  # two optimizer steps
    assert optimizer_steps(ranks_of(make, ranks, state, **options), 3) == wanted[2:]


@pytest.mark.parametrize(
    ("shards", "ranks", "words"), [(10, 4, "8 or 12"), (2, 4, "4 would"), (7, 3, "6 or 9"), (1, 2, "2 would")]
)
def test_shards_that_the_ranks_do_not_divide_name_those_that_would_do(make, shards, ranks, words):
    with pytest.raises(shardline.ShardlineValueError, match=rf"num_shards={shards} .* {ranks} ranks: {words}"):
        make(num_shards=shards, rank=0, num_ranks=ranks)


# strict


def refused(loader, state):
    before = loader.state_dict()
    with pytest.raises(CheckpointMismatchError) as caught:
        loader.load_state_dict(state, strict=True)
    assert loader.state_dict() == before
    return str(caught.value)


def test_strict_refuses_what_would_cut_the_epoch_anew(make):
    state = make(num_shards=4).state_at(4)
    message = refused(make(batch_size=5, num_shards=2, drop_last=True), state)
    assert "batch_size: saved 10, here 5; give batch_size=10" in message
    assert "num_shards: saved 4, here 2" in message
    assert "drop_last: saved False, here True" in message
    assert "num_shards: saved 4, here 3" in refused(make(rank=0, num_ranks=3), state)
    assert "give ranks that divide both" in refused(make(rank=0, num_ranks=4), make(num_shards=4).state_at(3))
    message = refused(make(batch_size=5, shuffle_seed=7), state)
    assert "seed: saved 42, here 7" in message
    assert "batch_size: saved 10, here 5" in message, "every difference at once"


def test_strict_lets_pass_what_goes_on(make):
    for step in (0, 4, 10):
        state = make(num_shards=4).state_at(step)
        for options in ({}, {"num_shards": 4}, {"rank": 1, "num_ranks": 2}, {"columns": ["i"], "num_threads": 1}):
            loader = make(**options)
            loader.load_state_dict(state, strict=True)
            loader.dataset.load_state_dict(state, strict=True)
            assert loader.dataset.num_shards == 4
    ended = make()
    ids(ended)
    fresh = make()
    fresh.load_state_dict(ended.state_dict(), strict=True)
    assert fresh.epoch == 1


# on_new_files="refresh"


def test_refresh_keeps_this_epochs_files_and_takes_the_new_listing_next(make, hundred, caplog):
    whole = ids(make())
    state = make().state_at(3)
    write_rows(hundred / "more", [[20, 10]], start=100)
    caplog.set_level("INFO", "shardline")
    loader = make(on_new_files="refresh")
    loader.load_state_dict(state)
    assert "1 files came since the state was saved and are left out of this epoch" in caplog.text
    assert (loader.dataset.num_rows, len(loader), loader.remaining) == (100, 10, 7)
    assert loader.dataset.rows_at(0, epoch=1) == make().dataset.rows_at(0, epoch=1)
    assert ids(loader) == whole[3:]
    assert (loader.epoch, len(loader), loader.remaining) == (1, 13, 13)
    ended = loader.state_dict()
    second = take(iter(loader), 4)
    assert loader.dataset.num_rows == 130
    fresh = make()
    fresh.set_epoch(1)
    wanted = ids(fresh)
    assert second == wanted[:4]
    # resumed in the new epoch, the new files are the run's own
    later = make()
    later.load_state_dict(loader.state_dict())
    assert ids(later) == wanted[4:]
    # and resumed at the end of the old one, they come too, or not
    for files, rows in (("refresh", 130), ("keep", 100)):
        other = make(on_new_files=files)
        other.load_state_dict(ended)
        assert sum(map(len, ids(other))) == rows


def test_refresh_over_copies_seek_and_set_epoch(make, hundred):
    state = make().state_at(3)
    write_rows(hundred / "more", [[30]], start=100)
    fresh = make()
    fresh.set_epoch(1)
    wanted = ids(fresh)

    def resumed():
        loader = make(on_new_files="refresh")
        loader.load_state_dict(state)
        return loader

    copy = pickle.loads(pickle.dumps(resumed().dataset))
    assert copy.num_rows == 100
    assert len(ids(copy)) == 7
    assert ids(copy) == wanted
    kept = resumed()
    kept.set_epoch(0)
    assert kept.dataset.num_rows == 100
    assert kept.remaining == 7
    kept.seek(0)  # from its start: a fresh epoch, of all files
    assert (kept.dataset.num_rows, kept.remaining) == (130, 13)
    assert sorted(sum(ids(kept), [])) == list(range(130))
    passed = resumed()
    with pytest.warns(RuntimeWarning, match="leaves the loaded place"):
        passed.set_epoch(1)
    assert ids(passed) == wanted
    assert resumed().state_at(2, epoch=1)["files"]["rows"] == 130
    assert resumed().state_at(5)["files"]["rows"] == 100
    sought = resumed()
    ids(sought)
    sought.seek(2)
    assert ids(sought) == wanted[2:]


def test_refresh_still_names_what_was_removed(make, hundred):
    state = make().state_at(3)
    (hundred / "part-0001.parquet").unlink()
    with pytest.raises(CheckpointMismatchError, match=r"removed since: 1 \(part-0001"):
        make(on_new_files="refresh").load_state_dict(state)


# Provenance


def test_rows_at_seek_and_left_out_over_ranks_and_legs(make, hundred):
    files = {name: pq.ParquetFile(hundred / name) for name, _, _ in make().dataset.plan.files()}

    def rows(dataset, step, rank):
        parts = dataset.rows_at(step, rank=rank)
        return [v for name, g, a, b in parts for v in files[name].read_row_group(g)["i"].to_pylist()[a:b]]

    first = ranks_of(make, 2, batch_size=4, num_shards=4)
    delivered = [take(iter(loader), 3) for loader in first]
    for loader in first:
        for rank in range(2):
            assert [rows(loader.dataset, step, rank) for step in range(3)] == delivered[rank]
    second = ranks_of(make, 3, first[1].state_dict(), batch_size=5)
    here = second[0].batch_index
    for loader in second:
        loader.seek(here + 2)
    rest = [ids(loader) for loader in second]
    for rank in range(3):
        steps_ = range(here + 2, here + 2 + len(rest[rank]))
        assert [rows(second[2 - rank].dataset, step, rank) for step in steps_] == rest[rank]
    skipped = rows_of_positions(make, second[0].left_out())
    assert len(skipped) == 2 * 3 * 5
    assert sorted(skipped + sum(sum(delivered, []) + sum(rest, []), [])) == list(range(100))


def test_rows_at_of_a_given_plan_needs_no_files(make, tmp_path):
    dataset = StructuredDataset(plan=make().dataset.plan, batch_size=10, shuffle=True, rank=1, num_ranks=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(end - start for _, _, start, end in dataset.rows_at(0, rank=0)) == 10
