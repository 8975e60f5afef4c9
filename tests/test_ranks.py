"""Ranks of torch.distributed: where they come from, and one listing for all."""

import time

import pytest
import torch.distributed as dist
from support import ids, write_rows
from support.job import job, new_server, refused

import shardline
from shardline import DataLoader, StructuredDataset
from shardline._core import Plan

# Where ranks come from


def _ranks_of(rank, path):
    own = dist.new_group([1, 0])
    sub = dist.new_group([1])
    found = {"default": DataLoader(path, batch_size=10).dataset}
    found["group"] = StructuredDataset(path, batch_size=10, process_group=own)
    found["given"] = StructuredDataset(path, batch_size=10, rank=0, num_ranks=1)
    found["given first"] = StructuredDataset(path, batch_size=10, rank=1, num_ranks=5, process_group=own)
    if rank == 1:
        found["one of them"] = StructuredDataset(path, batch_size=10, process_group=sub)
    else:
        assert "not in process_group" in refused(lambda: StructuredDataset(path, process_group=sub))[1]
    assert "process_group must be" in refused(lambda: StructuredDataset(path, process_group=3))[1]
    return {name: (d.rank, d.num_ranks, len(d), ids(d)) for name, d in found.items()}


def test_ranks_of_groups(hundred):
    first, second = job(2, _ranks_of, hundred)
    line = [list(range(i, i + 10)) for i in range(0, 100, 10)]
    halves = [line[:5], line[5:]]
    assert first["default"] == (0, 2, 5, halves[0])
    assert second["default"] == (1, 2, 5, halves[1])
    assert {first["group"][0], second["group"][0]} == {0, 1}
    assert first["group"][3] + second["group"][3] in (line, line[5:] + line[:5])
    assert first["given"] == second["given"] == second["one of them"] == (0, 1, 10, line)
    assert first["given first"] == second["given first"] == (1, 5, 2, line[2:4])


def _ranks_of_mesh(rank, path):
    mesh = dist.device_mesh.init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    loader = DataLoader(path, batch_size=10, shuffle=True, shuffle_seed=None, mesh=mesh["dp"])
    dataset = loader.dataset
    message = refused(lambda: DataLoader(path, mesh=mesh))[1]
    assert "2 dimensions (dp, tp)" in message
    assert 'mesh["dp"]' in message
    flat = mesh["dp", "tp"]._flatten("all")
    both = refused(lambda: DataLoader(path, mesh=flat, process_group=dist.group.WORLD))[1]
    assert "give one of them" in both
    everyone = StructuredDataset(path, batch_size=10, mesh=flat)
    state = loader.state_dict()
    loader.load_state_dict(state)
    return (
        dataset.rank,
        dataset.num_ranks,
        state["rows"]["order"]["seed"],
        ids(loader),
        (everyone.rank, everyone.num_ranks),
    )


def test_ranks_of_a_mesh_lie_along_one_dimension(hundred):
    results = job(4, _ranks_of_mesh, hundred)
    assert [r[:2] for r in results] == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert len({r[2] for r in results}) == 1, "a drawn seed is the same over tensor-parallel ranks"
    assert results[0][3] == results[1][3]
    assert results[2][3] == results[3][3]
    assert sorted(sum(results[0][3] + results[2][3], [])) == list(range(100))
    assert [r[4] for r in results] == [(i, 4) for i in range(4)]


def test_a_loader_built_before_the_process_group_names_both_ways_out(hundred, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(shardline.ShardlineValueError, match=r"init_process_group.*rank= and num_ranks="):
        DataLoader(hundred)


@pytest.mark.parametrize("argument", ["mesh", "process_group"])
def test_what_is_no_group_or_mesh_is_named(hundred, argument):
    with pytest.raises(shardline.ShardlineTypeError, match=argument):
        DataLoader(hundred, **{argument: 3})
    for wrong in (-1, float("nan")):
        with pytest.raises(shardline.ShardlineValueError, match="rank_timeout"):
            DataLoader(hundred, rank_timeout=wrong)


# One listing


def _count_builds(monkey):
    """How often this process lists, from now on."""
    calls, build = [], Plan.build

    class Counted:
        build = staticmethod(lambda *a, **k: (calls.append(a), build(*a, **k))[1])
        from_bytes = staticmethod(Plan.from_bytes)

    monkey.Plan = Counted
    return calls


def _listings(rank, path, other):
    from shardline.planning import listing

    calls = _count_builds(listing)
    # a validation loader on rank 0 only: to build it and to iterate over it waits for nobody
    if rank == 0:
        start = time.monotonic()
        validation = DataLoader(other, batch_size=5)
        assert len(ids(validation)) == len(validation)
        assert time.monotonic() - start < 20  # not rank_timeout
    # two loaders, in opposite order
    paths = [path, other] if rank == 0 else [other, path]
    first, second = (DataLoader(p, batch_size=10, shuffle_seed=None, shuffle=True) for p in paths)
    train, test = (first, second) if rank == 0 else (second, first)
    # two of the same path that differ in their options, in opposite order
    sizes = [4, 5] if rank == 0 else [5, 4]
    same = {n: DataLoader(path, batch_size=n, shuffle_seed=None) for n in sizes}
    # and two with the same options: the first of one rank is the first of the other
    twins = [DataLoader(path, batch_size=7, shuffle_seed=None) for _ in range(2)]
    loaders = [train, test, same[4], same[5], *twins]
    plan_given = StructuredDataset(plan=train.dataset.plan, batch_size=10, shuffle=True)
    with_seed = StructuredDataset(plan=train.dataset.plan, batch_size=10, shuffle=True, shuffle_seed=None)
    seeds = [x.state_dict()["rows"]["order"]["seed"] for x in [*loaders, with_seed]]
    digests = [x.dataset.plan.digest for x in loaders]
    return len(calls), seeds, digests, ids(train), plan_given.plan.digest


def test_one_listing_serves_all_in_any_order(hundred, rows):
    results = job(3, _listings, hundred, rows([[30]]))
    assert [r[0] for r in results] == [7, 0, 0], "only rank 0 lists"
    for part in (1, 2, 4):
        assert results[0][part] == results[1][part] == results[2][part]
    assert len(set(results[0][1])) == 7
    assert sorted(sum((sum(r[3], []) for r in results), [])) == list(range(100))


def _errors(rank, path, broken):
    found = [refused(lambda: DataLoader(path / "nowhere")), refused(lambda: DataLoader(broken))]
    found.append(refused(lambda: DataLoader(path, columns=["none"])))
    # what is no error of shardline's reaches the others inside one that is
    if rank == 0:
        from shardline.planning import listing

        class Broken:
            @staticmethod
            def build(*_, **__):
                raise MemoryError("no room")

        listing.Plan, kept = Broken, listing.Plan
        with pytest.raises(MemoryError):
            DataLoader(path, batch_size=3)
        listing.Plan = kept
    else:
        name, message, _ = refused(lambda: DataLoader(path, batch_size=3))
        assert name == "ShardlineRuntimeError"
        assert "MemoryError: no room" in message
    # an error leaves nothing behind that a later loader could take for its own
    return [f[:2] for f in found], len(DataLoader(path, batch_size=10))


def test_an_error_of_rank_0_is_the_same_error_everywhere(hundred, tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing PAR1")
    results = job(3, _errors, hundred, broken)
    assert results[0] == results[1] == results[2]
    (missing, damaged, column), steps = results[0]
    assert missing[0] == "ShardlineFileNotFoundError"
    assert "nowhere" in missing[1]
    assert "broken.parquet" in damaged[1]
    assert column[0] == "ColumnNotFoundError"
    assert steps == 4


def _absent(rank, path, who):
    if rank == who:
        return None
    start = time.monotonic()
    try:
        steps = len(DataLoader(path, batch_size=10, rank_timeout=1.5))
    except TimeoutError as error:
        return str(error), time.monotonic() - start
    return steps


def test_a_rank_that_never_comes_hangs_nobody(hundred):
    first, second, third = job(3, _absent, hundred, 0)
    assert first is None
    assert second[0] == third[0]
    assert all(word in second[0] for word in ("rank 0", "rank_timeout", "num_ranks=", "data-"))
    assert 1.4 < second[1] < 30
    assert job(3, _absent, hundred, 2) == [4, 4, None]


def _another_path(rank, path, other):
    options = {"batch_size": 10, "rank_timeout": 1}
    return [
        len(DataLoader(path, **options)) if rank == 0 else refused(lambda: DataLoader(other, **options))[0],
        len(DataLoader(path, **options, num_shards=4))
        if rank == 0
        else refused(lambda: DataLoader(path, **options, num_shards=2))[0],
    ]


def test_loaders_that_differ_are_never_swapped(hundred, rows):
    assert job(2, _another_path, hundred, rows([[30]])) == [[5, 6], ["RankTimeoutError"] * 2]


def _large(rank, path):
    from shardline.distributed import kv_store

    kv_store.CHUNK = 50
    counts, put = [], kv_store.RankChannel.put
    kv_store.RankChannel.put = lambda self, key, data: (counts.append((self, key, len(data))), put(self, key, data))[1]
    loader = DataLoader(path, batch_size=10)
    dist.barrier()
    told = [None]
    if rank == 0:
        ((talk, key, size),) = counts
        told = [(size // 50, talk._store.check([key]) or talk._store.check([kv_store._chunk(key, 0)]))]
    dist.broadcast_object_list(told)
    return loader.dataset.plan.digest, told[0][0], int(told[0][1])


def test_large_plans_come_in_chunks_and_are_taken_out_of_the_store(hundred):
    results = job(2, _large, hundred)
    assert results[0] == results[1]
    assert results[0][1] >= 5
    assert results[0][2] == 0


def _life(rank, path, peek):
    options = {"batch_size": 10, "shuffle": True, "shuffle_seed": None, "rank_timeout": 20}
    if rank and peek:
        return None  # what rank 0 says is not read
    if rank:
        time.sleep(1)  # what the life before left is there to be seen
    loader = DataLoader(path, **options)
    return loader.state_dict()["rows"]["order"]["seed"], loader.dataset.num_rows


def test_a_store_that_outlives_its_processes_says_nothing_old(hundred):
    """As under torchrun, which starts killed ranks anew beside the store of those before."""
    server = new_server()
    (old, _), nothing = job(2, _life, hundred, True, server=server)
    assert nothing is None
    write_rows(hundred / "more", [[30]], start=100)
    first, second = job(2, _life, hundred, False, server=server)
    assert first == second
    assert first[0] != old
    assert first[1] == 130


def _explicit(rank, path, plan):
    from torch.distributed import distributed_c10d

    distributed_c10d._get_default_store = None  # whoever asks for it fails
    plan = shardline.Plan.load(plan)
    loaders = [DataLoader(path, batch_size=10, rank=rank, num_ranks=2)]
    loaders.append(DataLoader(batch_size=10, plan=plan, rank=rank, num_ranks=2))
    state = loaders[0].state_at(rank)  # not the same: nobody compares
    found = []
    for loader in loaders:
        loader.load_state_dict(state)
        found.append(sum(ids(loader), []))
    return found


def test_explicit_ranks_never_communicate(hundred, tmp_path):
    StructuredDataset(hundred).plan.save(tmp_path / "plan")
    results = job(2, _explicit, hundred, tmp_path / "plan")
    assert results == [[list(range(50))] * 2, [list(range(60, 100))] * 2]


# Ranks that nobody said


def _made_before(rank, loader, dataset):
    return refused(iter, loader)[:2], refused(iter, dataset)[:2]


def test_a_loader_made_before_the_process_group_raises_at_iter(hundred):
    """As under `mp.spawn(fn, args=(loader,))`: every rank would read every row."""
    loader = DataLoader(hundred, batch_size=10)
    ids(loader)  # alone it is right
    for found in job(2, _made_before, loader, StructuredDataset(hundred, batch_size=10)):
        for name, message in found:
            assert name == "ShardlineRuntimeError"
            assert "made before the process group of 2 ranks" in message
            assert "init_process_group()" in message
            assert "rank= and num_ranks=" in message


def _made_before_with_ranks(rank, loader):
    return ids(loader)


def test_a_loader_that_was_given_ranks_may_be_made_before(hundred):
    everything = DataLoader(hundred, batch_size=10, rank=0, num_ranks=1)
    assert job(2, _made_before_with_ranks, everything) == [ids(everything)] * 2
