"""States that ranks of torch.distributed load, which must agree."""

import time

import torch.distributed as dist
from support import ids
from support.job import job, refused

import shardline
from shardline import DataLoader


def _states(rank, path):
    options = {"batch_size": 5, "shuffle": True, "rank_timeout": 4}
    loader = DataLoader(path, **options)
    whole = ids(loader)
    found = {}
    same = DataLoader(path, **options)
    same.load_state_dict(loader.state_at(3, epoch=0))
    next(iter(same))  # a peek is no second load
    found["same"] = (whole[3:], ids(same))
    same.load_state_dict(loader.state_at(4, epoch=0))
    found["again"] = (whole[4:], ids(same))
    # a rank that comes first waits for nobody: the last one sees the difference, the others before a later batch
    other = DataLoader(path, **options)
    other.load_state_dict(loader.state_at(rank, epoch=0))
    found["other"] = _late(rank, other)
    found["still"] = refused(next, iter(other))[:2]
    other.load_state_dict(loader.state_at(1, epoch=0))
    found["mended"] = (whole[1:], ids(other))
    seeds = DataLoader(path, **{**options, "shuffle_seed": None})
    state = loader.state_at(2, epoch=0)
    state["rows"]["order"]["seed"] = 7 + rank // 2
    seeds.load_state_dict(state)
    found["seeds"] = _late(rank, seeds)
    return found


def _late(rank, loader):
    """Rank 0 takes a batch before the others come."""
    iterator = iter(loader)
    if rank == 0:
        next(iterator)
    dist.barrier()
    found = None
    if rank:
        try:
            next(iterator)  # passes on a rank that stands where rank 0 does
        except shardline.ShardlineError as error:
            found = type(error).__name__, str(error)
    dist.barrier()
    return found or refused(next, iterator)[:2]


def _absent_after_load(rank, path):
    """Loaded on the ranks but one, which begins afresh."""
    loader = DataLoader(path, batch_size=5, shuffle=True, rank_timeout=0.5)
    if rank != 1:
        loader.load_state_dict(loader.state_at(2, epoch=0))
    iterator = iter(loader)
    next(iterator)
    dist.barrier()  # none of the two that loaded is late
    begin, store = time.monotonic(), dist.distributed_c10d._get_default_store()
    while rank != 1 and not (rank == 2 and store.check(["raised"]) and time.monotonic() > begin + 2):
        try:
            if next(iterator, None) is None:
                iterator = iter(loader)
        except shardline.RankTimeoutError as error:
            store.set("raised", "")
            return str(error)
        time.sleep(0.01)
    return "nothing was raised"


def test_a_state_that_only_some_ranks_load_raises_on_these(hundred):
    first, second, third = job(3, _absent_after_load, hundred)
    assert "not on rank 1: load the same state on every rank" in first
    assert second == third == "nothing was raised"  # the third looks for the first only, which has loaded


def test_states_that_disagree_raise_on_every_rank_and_none_waits(hundred):
    results = job(3, _states, hundred)
    assert all(isinstance(found, dict) for found in results), results
    for found in results:
        for name in ("same", "again", "mended"):
            assert found[name][0] == found[name][1]
        assert found["other"] == found["still"]
        name, message = found["other"]
        assert name == "CheckpointMismatchError"
        known = [rank for rank in range(3) if f"rank {rank}: epoch 0, {3 * rank} batches of all ranks" in message]
        assert known[0] == 0, "the first one's place is known to all"
        assert len(known) >= 2
        assert message.count("not known yet") == 3 - len(known)
        assert found["seeds"][0] == "CheckpointMismatchError"
        assert "seed 7" in found["seeds"][1]
        assert "seed 8" in found["seeds"][1]
