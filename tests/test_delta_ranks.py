"""A Delta table read by the ranks of a job: one version for all, whatever is committed while they start."""

import json

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta, ids
from support.job import job

import shardline
from shardline import StructuredDataset


def table(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64())})


@pytest.fixture
def path(tmp_path):
    """40 rows, of which 4 are deleted."""
    path = tmp_path / "table"
    write_deltalake(path, table(0, 40))
    (file,) = delta.live(path)
    delta.delete(path, {file: [0, 1, 2, 3]})
    return path


MAKE = {"format": "delta", "batch_size": 4, "shuffle": True, "shuffle_buffer_size": 10}


def _one_version(rank, path, filters):
    import torch.distributed as dist

    if rank == 1:
        dist.barrier()
        return _epoch(path, filters)
    # Rank 0 lists; rank 1 builds its loader when the table has a newer version.
    found = []
    import threading

    thread = threading.Thread(target=lambda: found.append(_epoch(path, filters)))
    thread.start()
    while DeltaTable(path).version() == 1:
        write_deltalake(path, table(100, 110), mode="append")
    dist.barrier()
    thread.join()
    return found[0]


def _epoch(path, filters):
    dataset = StructuredDataset(path, filters=filters, **MAKE)
    return dataset.state_dict()["rows"]["source"], ids(dataset)


@pytest.mark.parametrize("filters", [None, [("i", ">=", 10)]])
def test_all_ranks_read_the_version_that_rank_0_found(path, filters):
    found = job(2, _one_version, path, filters)
    assert found[0][0] == found[1][0]
    assert found[0][0]["version"] in (1, 2)
    rows = sorted(row for _, batches in found for batch in batches for row in batch)
    wanted = [*range(4 if filters is None else 10, 40), *(range(100, 110) if found[0][0]["version"] == 2 else ())]
    assert rows == wanted


def _resumed(rank, path, state):
    dataset = StructuredDataset(path, **MAKE)
    dataset.load_state_dict(state)
    return ids(dataset)


def test_an_older_version_is_resumed_by_all(path):
    alone = [StructuredDataset(path, rank=rank, num_ranks=2, **MAKE) for rank in range(2)]
    iterators = [iter(dataset) for dataset in alone]
    for iterator in iterators:
        next(iterator)
    state = json.loads(json.dumps(alone[0].state_dict()))
    rest = [[batch["i"].tolist() for batch in iterator] for iterator in iterators]
    write_deltalake(path, table(100, 200), mode="append")
    assert job(2, _resumed, path, state) == rest


def _other_version(rank, path):
    try:
        StructuredDataset(path, version=rank, rank_timeout=1.5, **MAKE)
    except shardline.RankTimeoutError as error:
        return str(error)
    return "built"


def test_ranks_that_ask_for_other_versions_do_not_share(path):
    said = job(2, _other_version, path)
    assert said[0] == "built"
    assert "with another path or other options" in said[1]
