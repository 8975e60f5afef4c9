"""Real processes, killed in mid-epoch and started again, in every way in which people save; also by torchrun."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support import ids, programs, train
from support.job import DIED, job

from shardline import CheckpointMismatchError, DataLoader, StructuredDataset

ROOT = Path(__file__).parents[1]
OPTIONS = {"batch_size": 2, "num_shards": 12}  # 100 rows: 60 batches an epoch


@pytest.fixture
def uninterrupted(hundred):
    """The job's batches over some epochs, which do not depend on the ranks."""

    def run(epochs=2, **options):
        loader = DataLoader(hundred, shuffle=True, **{**OPTIONS, **options})
        return sum((ids(loader) for _ in range(epochs)), [])

    return run


def once(trained, epochs=2):
    """Every row once an epoch."""
    assert sorted(sum(trained, [])) == sorted([*range(100)] * epochs)


@pytest.mark.parametrize("style", train.STYLES)
def test_styles_of_saving(hundred, tmp_path, uninterrupted, style):
    """Two ranks, killed twice, in different epochs, where the last save was some steps ago."""
    common = (hundred, tmp_path, style)
    assert job(2, train.train, *common, 10, 4, 2, OPTIONS) == [DIED] * 2
    assert job(2, train.train, *common, 31, 3, 2, OPTIONS) == [DIED] * 2
    first, second = job(2, train.train, *common, None, 4, 2, OPTIONS)
    assert first == second == uninterrupted()
    once(first)


@pytest.mark.parametrize("style", ["rank 0", "a slice a rank", "a file a rank"])
def test_one_state_serves_fewer_ranks(hundred, tmp_path, uninterrupted, style):
    assert job(4, train.train, hundred, tmp_path, style, 7, 3, 2, OPTIONS) == [DIED] * 4
    first, second = job(2, train.train, hundred, tmp_path, style, None, 3, 2, OPTIONS)
    assert first == second == uninterrupted()


def test_afresh_where_the_state_does_not_fit(hundred, tmp_path, uninterrupted):
    assert job(2, train.train, hundred, tmp_path, "or afresh", 10, 4, 2, OPTIONS) == [DIED] * 2
    options = {**OPTIONS, "shuffle_seed": 7}
    first, second = job(2, train.train, hundred, tmp_path, "or afresh", None, 4, 2, options)
    assert first == second == uninterrupted(shuffle_seed=7)


def _first_batches(rank, path, folder):
    """What stops a rank: at its first batch, or at the next, if another came later."""
    dataset = StructuredDataset(path, shuffle=True, **OPTIONS)
    train.STYLES["a file a rank"][1](folder, dataset)
    iterator, found = iter(dataset), "no error"
    for _ in range(2):
        try:
            next(iterator)
        except CheckpointMismatchError as error:
            found = str(error)
        dist.barrier()
    return found


def test_files_of_different_steps_are_refused_by_every_rank(hundred, tmp_path):
    """One rank saved once more than the other before the job was killed: nobody goes on."""
    assert job(2, train.train, hundred, tmp_path, "a file a rank", 10, 4, 2, OPTIONS) == [DIED] * 2
    kept = (tmp_path / "rank1.pt").read_bytes()
    assert job(2, train.train, hundred, tmp_path, "a file a rank", 6, 4, 2, OPTIONS) == [DIED] * 2
    (tmp_path / "rank1.pt").write_bytes(kept)
    for message in job(2, _first_batches, hundred, tmp_path):
        assert "rank 0: epoch 0, 24 batches" in message
        assert "rank 1: epoch 0, 16 batches" in message


@pytest.mark.parametrize(("before", "after"), [(1, 4), (3, 2), (2, 3)])
def test_any_other_number_of_ranks(hundred, tmp_path, before, after):
    check_change(hundred, tmp_path, before, after, 7, {"batch_size": 3})


def check_change(hundred, tmp_path, before, after, kill_at, options):
    """Coverage from rank 0's state alone: the first epoch in two legs, the second whole."""
    common = (hundred, tmp_path, "rank 0")
    assert job(before, train.train, *common, kill_at, 3, 2, options) == [DIED] * before
    results = job(after, train.train, *common, None, 3, 2, options)
    assert all(result == results[0] for result in results)
    once(results[0])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": 2, "num_shards": 12}], ids=str)
def test_the_grid_of_ranks(hundred, tmp_path, before, after, options):
    steps = 100 // (before * options["batch_size"])
    for kill_at in sorted({4, steps // 2, steps - 1, steps + 4}):
        (folder := tmp_path / str(kill_at)).mkdir()
        check_change(hundred, folder, before, after, kill_at, options)


# torchrun


def torchrun(ranks, folder, **arguments):
    """The exit status of torchrun, and what it said."""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    script = [ROOT / "tests" / "support" / "train.py", json.dumps({**arguments, "folder": str(folder)})]
    done = programs.run(*command, *script, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(700)  # torchrun's ranks import torch
@pytest.mark.parametrize(
    "lives",
    [[(2, 16, 12), (3, None, 4)], pytest.param([(4, 8, 6), (1, 50, 48), (3, None, 4)], marks=pytest.mark.long)],
    ids=["2 and 3", "4, 1 and 3"],
)
def test_torchrun_killed_and_resumed_with_other_ranks(hundred, tmp_path, uninterrupted, lives):
    """Ranks that are killed by SIGKILL, then others: what was trained on is what one run would have.

    A life: its ranks, the step before which one is killed, and every how many steps a state is saved.
    """
    arguments = {"path": str(hundred), "style": "rank 0", "epochs": 2, "options": OPTIONS}
    for ranks, kill_at, every in lives:
        status, text = torchrun(ranks, tmp_path, kill_at=kill_at, every=every, **arguments)
        assert (status != 0) == (kill_at is not None), text
        assert ("SIGKILL" in text) == (kill_at is not None), text
    trained = torch.load(tmp_path / "trained.pt", weights_only=True)
    assert trained == uninterrupted()
    once(trained)
