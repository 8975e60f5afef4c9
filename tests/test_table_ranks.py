"""A table read by the ranks of a job: one version for all, whatever is committed while they start."""

import threading

import pytest
from support import ids
from support.job import job
from support.lakes import TABLES, make
from support.lakes.lake import plain

import shardline

MAKE = {"batch_size": 4, "columns": ["i"], "shuffle": True, "shuffle_buffer_size": 10}


@pytest.fixture(params=TABLES)
def lake(request, tmp_path):
    """40 rows, of which 4 are deleted."""
    lake = make(request.param, tmp_path / "table")
    lake.append(40)
    lake.delete([0, 1, 2, 3])
    return lake


def _one_version(rank, lake, filters):
    import torch.distributed as dist

    if rank == 1:
        dist.barrier()
        return _epoch(lake, filters)
    # Rank 0 lists; rank 1 builds its loader when the table has a newer version.
    found = []
    thread = threading.Thread(target=lambda: found.append(_epoch(lake, filters)))
    thread.start()
    lake.append(10)
    dist.barrier()
    thread.join()
    return found[0]


def _epoch(lake, filters):
    dataset = lake.open(filters=filters, **MAKE)
    return dataset.state_dict()["rows"]["source"], ids(dataset)


@pytest.mark.parametrize("filters", [None, [("i", ">=", 10)]])
def test_all_ranks_read_the_version_that_rank_0_found(lake, filters):
    old = lake.version
    found = job(2, _one_version, lake, filters)
    assert found[0][0] == found[1][0]
    rows = sorted(row for _, batches in found for batch in batches for row in batch)
    newer = found[0][0]["version"] != old
    assert rows == [*range(4 if filters is None else 10, 40), *(range(40, 50) if newer else ())]


def _resumed(rank, lake, state):
    dataset = lake.open(**MAKE)
    dataset.load_state_dict(state)
    return ids(dataset)


def test_an_older_version_is_resumed_by_all(lake):
    alone = [lake.open(rank=rank, num_ranks=2, **MAKE) for rank in range(2)]
    iterators = [iter(dataset) for dataset in alone]
    for iterator in iterators:
        next(iterator)
    state = plain(alone[0].state_dict())
    rest = [[batch["i"].tolist() for batch in iterator] for iterator in iterators]
    lake.append(100)
    assert job(2, _resumed, lake, state) == rest


def _other_version(rank, lake, versions):
    try:
        lake.open(**lake.asked(versions[rank]), rank_timeout=1.5, **MAKE)
    except shardline.RankTimeoutError as error:
        return str(error)
    return "built"


def test_ranks_that_ask_for_other_versions_do_not_share(lake):
    old = lake.version
    lake.append(1)
    said = job(2, _other_version, lake, [old, lake.version])
    assert said[0] == "built"
    assert "with another path or other options" in said[1]
