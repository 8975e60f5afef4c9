"""Several ranks: one checkpoint for all of them, agreed on, and nobody waits for ever."""

import pytest
import torch
from support import ranked
from support.job import DIED, job

import shardline
from shardline import Checkpointer, DataLoader


@pytest.mark.parametrize("private", [False, True], ids=["shared", "private"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "background"])
def test_saved_and_restored(tmp_path, private, blocking):
    """Where only rank 0 sees its directory it reads for all; nobody else writes."""
    saved = job(3 if private else 2, ranked.save, tmp_path, private, blocking, 4)
    if private:
        assert [path.name for path in tmp_path.iterdir()] == ["rank-0"]
        assert len(list((tmp_path / "rank-0").glob("step-4/*_?.*"))) == 6
        return
    restored = job(2, ranked.restore, tmp_path, private)
    assert [one[0] for one in restored] == saved
    assert {one[1:] == (4, {"note": "x"}, ()) for one in restored} == {True}


@pytest.mark.parametrize("ranks", [2, 4])
def test_private_directories(tmp_path, ranks):
    saved = job(ranks, ranked.save, tmp_path, True, True, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["rank-0"]
    (tmp_path / "rank-0" / "step-3" / "optimizer.pt").write_bytes(b"")  # not whole: all take the one before
    restored = job(ranks, ranked.restore, tmp_path, True)
    assert [one[0][0] for one in restored] == [one[0] for one in saved]
    assert [one[0][1] for one in restored] == [{"rank": rank, "step": 2} for rank in range(ranks)]
    assert {one[1] for one in restored} == {2}
    assert all("optimizer.pt has 0 bytes" in one[3][0] for one in restored)


def test_a_path_of_each_ranks_own(tmp_path):
    """Every rank names a place of its own, where only rank 0's is."""
    job(2, ranked.save, tmp_path, True, True, 2)
    restored = job(2, ranked.restore_from, tmp_path)
    assert restored == [(1, [7.0] * 6 + [8.0] * 2)] * 2


def test_another_number_of_ranks(tmp_path):
    job(2, ranked.save, tmp_path, False, True, 2)
    restored = job(3, ranked.restore, tmp_path, False)
    assert {one[1] for one in restored} == {2}
    assert [len(one[3]) for one in restored] == [0, 0, 1]
    assert "rank 2 has no random generators in a checkpoint of 2 ranks" in restored[2][3][0]
    assert len({str(one[0][0]) for one in restored}) == 1
    four = job(4, ranked.restore, tmp_path, False)
    assert all(kind == "CheckpointError" and "mine was saved by 2 ranks" in text for kind, text in four)


@pytest.mark.parametrize("call", ["save", "restore"])
def test_a_call_on_rank_0_only_raises_in_time(tmp_path, call):
    (kind, text, seconds), other = job(2, ranked.only_on_rank_0, tmp_path, call)
    assert kind == "RankTimeoutError"
    assert f"{call}(" in text
    assert "rank 1 did not come within 1 seconds" in text
    assert "on every rank, not on rank 0 only" in text
    assert seconds < 30
    assert other == "nothing"


def test_other_steps_are_refused_on_every_rank(tmp_path):
    for kind, text in job(3, ranked.at_other_steps, tmp_path):
        assert kind == "ShardlineRuntimeError"
        assert "rank 0: save(step=5)" in text
        assert "rank 2: save(step=7)" in text
    assert not list(tmp_path.iterdir())


def test_what_rank_0_cannot_write_all_hear_of(tmp_path):
    for folder, on_error in (("raise", "raise"), ("warn", "warn")):
        (tmp_path / folder).mkdir()
        results = job(2, ranked.cannot_write, tmp_path / folder, on_error)
        if on_error == "warn":
            assert results == [False, False]
        else:
            assert all(kind == "CheckpointError" and "step 2 could not be written" in text for kind, text in results)


@pytest.mark.parametrize("who", [0, 1])
def test_a_signal_to_any_rank_ends_all_at_one_step(tmp_path, who):
    results = job(2, ranked.signalled, tmp_path, who)
    assert results[0] == results[1]
    status, step, saved = results[0]
    assert status == 75
    assert saved == [step]
    assert step >= 30


def test_minutes_are_those_of_rank_0(tmp_path):
    results = job(2, ranked.by_the_minute, tmp_path)
    saved = results[0][0]
    assert results[0] == results[1]
    assert results[0][1] == saved
    assert {150, 300} < set(saved)


def test_loaders_with_a_state_a_rank(tmp_path):
    expected = job(2, ranked.torchdata, tmp_path, 4)
    assert job(2, ranked.torchdata, tmp_path, 0) == expected
    for kind, text in job(3, ranked.torchdata, tmp_path, 0):
        assert kind == "CheckpointError"
        assert "data was saved by 2 ranks, each with a state of its own, and there are 3 now" in text


# Trainings


@pytest.mark.parametrize(
    ("kind", "ranks", "private", "blocking"),
    [
        pytest.param("ddp", 2, False, True, marks=pytest.mark.long),
        ("ddp", 4, True, False),
        pytest.param("fsdp", 4, False, True, marks=pytest.mark.long),
        ("fsdp", 2, False, False),
    ],
)
def test_killed_and_resumed(hundred, tmp_path, kind, ranks, private, blocking):
    """Bit for bit: batches, losses, weights and every rank's generator."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = job(ranks, ranked.train, hundred, whole, kind, private, None, 1, blocking)
    stop = 17
    assert job(ranks, ranked.train, hundred, killed, kind, private, stop, 1, blocking) == [DIED] * ranks
    resumed = job(ranks, ranked.train, hundred, killed, kind, private, None, 1, blocking)
    for rank in range(ranks):
        began, trail, *end = resumed[rank]
        assert began == 15
        assert trail == expected[rank][1][15 * ranks :]
        assert end == list(expected[rank][2:])


def test_fsdp_saved_on_4_ranks_restored_on_2(hundred, tmp_path):
    """The same batches in the same order; losses close, for sums over 2 x 2 ranks are rounded otherwise than over 4."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    common = ("fsdp", False)
    expected = job(4, ranked.train, hundred, whole, *common, None, 1, True, False)
    assert job(4, ranked.train, hundred, killed, *common, 13, 1, True, False) == [DIED] * 4
    first, second = job(2, ranked.load_whole, killed)
    assert first == second
    assert first[0] == first[1]  # into a sharded model, and into one that is not
    resumed = job(2, ranked.train, hundred, killed, *common, None, 2, True, False)
    rest = expected[0][1][12 * 4 :]
    assert [rows for rows, _ in resumed[0][1]] == [rows for rows, _ in rest]
    losses = torch.tensor([[loss for _, loss in trail] for trail in (resumed[0][1], rest)])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.tensor(resumed[0][2]), torch.tensor(expected[0][2]), rtol=1e-3, atol=1e-5)


def test_a_sharded_checkpoint_in_one_process(hundred, tmp_path):
    expected = job(2, ranked.train, hundred, tmp_path, "fsdp", False, None)
    net = ranked.Net()
    optimizer = torch.optim.AdamW(net.parameters())
    restored = Checkpointer(tmp_path / "shared", model=net, optimizer=optimizer).restore()
    assert restored.step == 48
    assert ranked.numbers(net) == expected[0][2]
    assert len(optimizer.state) == 4
    path = restored.path / "sharded" / "__1_0.distcp"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert Checkpointer(tmp_path / "shared", model=net).restore(only="model").step == 45


def test_a_whole_checkpoint_in_a_sharded_model(hundred, tmp_path):
    expected = job(2, ranked.train, hundred, tmp_path, "ddp", False, None)
    for found in job(2, ranked.load_whole, tmp_path):
        assert found == (expected[0][2], expected[0][2])


def test_pieces_need_a_directory_that_all_see(tmp_path):
    for kind, text in job(2, ranked.private_pieces, tmp_path):
        assert kind == "CheckpointError"
        assert "sharded parts need a directory that all ranks see" in text
    assert [one.name for folder in tmp_path.iterdir() for one in folder.iterdir()] == []


def test_the_metadata_of_pieces_is_no_way_in(hundred, tmp_path):
    """torch reads it by pickle; here it makes nothing but metadata."""
    import pickle

    from shardline.checkpoint.dcp import _Unpickler

    class Trap:
        def __reduce__(self):
            return print, ("trapped",)

    path = tmp_path / "trap"
    path.write_bytes(pickle.dumps({"a": Trap()}))
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="builtins.print"):
        _Unpickler(file).load()


def _uneven(rank, path, directory, taken):
    loader = DataLoader(path, batch_size=10)
    ck = Checkpointer(directory, data=loader, model=torch.nn.Linear(1, 1))
    for _ in zip(range(taken[rank]), loader, strict=False):
        pass
    try:
        ck.save(step=1)
    except shardline.CheckpointError as error:
        return str(error)
    return "saved"


@pytest.mark.parametrize("taken", [(3, 5), (5, 3)])
def test_ranks_that_took_unequal_numbers_of_batches_are_not_saved_as_if_equal(hundred, tmp_path, taken):
    found = job(2, _uneven, hundred, tmp_path / "ck", taken)
    for message in found:
        assert "'data'" in message
        for rank in (0, 1):
            assert f"rank {rank}: epoch 0, step {taken[rank]}" in message
    assert job(2, _uneven, hundred, tmp_path / "ck", (3, 3)) == ["saved", "saved"]
