"""`num_workers` of shardline's own loader: the same batches as without, whatever a transform returns."""

import multiprocessing
import os
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import functions as f
from support import write_rows
from support.worked import epochs, make, names, plain

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
]


BATCHES = 25


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("workers") / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture(scope="module")
def expected(data):
    return epochs(make(data), 3)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_the_same_batches(data, expected, workers, method, persistent):
    loader = make(data, workers, method, persistent_workers=persistent, prefetch_factor=workers)
    assert epochs(loader) == expected[:2]


def test_the_same_batches_under_spawn(data, expected):
    assert epochs(make(data, 2, "spawn", persistent_workers=True)) == expected[:2]


def resumes(data, expected, workers, method, stop, then, **options):
    """Stops after `stop` batches, and goes on with other workers."""
    loader = make(data, workers, method, **options)
    before = [plain(batch) for batch in islice(loader, stop)]
    assert before == expected[0][:stop]
    state = loader.state_dict()
    assert state == make(data).state_at(stop)
    resumed = make(data, then, method, **(options if then else {}))
    resumed.load_state_dict(state)
    assert [plain(batch) for batch in resumed] == expected[0][stop:]
    assert [plain(batch) for batch in resumed] == expected[1]


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("workers", [0, 1, 2, 3, 4])
def test_exact_resume_with_other_workers(data, expected, workers, method):
    for stop in range(0, BATCHES, 7):
        resumes(data, expected, workers, method, stop, (workers + 1 + stop) % 5)


@pytest.mark.parametrize("stop", [0, 10, 24])
def test_exact_resume_under_spawn(data, expected, stop):
    resumes(data, expected, 1, "spawn", stop, 2, persistent_workers=True)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_whole_grid(data, expected, say):
    count = 0
    for method in ("fork", "forkserver", "spawn"):
        for workers in range(5):
            for persistent in (False, True):
                for stop in range(0, BATCHES + 1, 6 if method == "spawn" else 1):
                    options = {"persistent_workers": persistent} if workers else {}
                    then = workers and (workers + stop) % 4 + 1
                    resumes(data, expected, workers, method, stop, then, **options)
                    count += 1
    say(f"{count} stops of workers x start method x persistent resumed exactly")


def test_transform_then_collate(data):
    here = epochs(make(data, collate_fn=f.collate))
    assert epochs(make(data, 2, collate_fn=f.collate)) == here
    assert isinstance(here[0][0], list)
    assert here[0] != here[1]


def test_randomness_belongs_to_the_batch_not_to_the_rank(data):
    one = epochs(make(data, num_shards=2), 1)[0]
    for rank in (0, 1):
        assert epochs(make(data, rank, num_shards=2, rank=rank, num_ranks=2), 1)[0] == one[rank::2]


def test_randomness_counts_through_legs(data):
    loader = make(data)
    list(islice(loader, 5))
    other = make(data, batch_size=3)
    other.load_state_dict(loader.state_dict())
    again = make(data, 2, batch_size=3)
    again.load_state_dict(loader.state_dict())
    assert [plain(batch) for batch in other] == [plain(batch) for batch in again]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_callers_generators_are_not_moved(data, workers):
    before = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state().tolist()
    list(make(data, workers))
    after = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state().tolist()
    assert plain(before[1]) == plain(after[1])
    assert (before[0], before[2]) == (after[0], after[2])


@pytest.mark.parametrize("workers", [1, 2])
def test_everything_that_a_transform_may_return(data, workers):
    assert epochs(make(data, workers, transform=f.zoo), 1) == epochs(make(data, transform=f.zoo), 1)


def test_every_output_format(tmp_path):
    table = pa.table(
        {
            "i": pa.array(range(50)),
            "list": pa.array([[k] * (k % 4) for k in range(50)], pa.list_(pa.float32())),
            "fixed": pa.array([[k, k + 1] for k in range(50)], pa.list_(pa.int16(), 2)),
        }
    )
    pq.write_table(table.append_column("text", pa.array([f"t{k}" for k in range(50)])), tmp_path / "x.parquet")
    for output in ("torch", "numpy", "arrow", "dict"):
        columns = None if output in ("arrow", "dict") else ["i", "list", "fixed"]
        options = {"transform": f.identity, "output_format": output, "columns": columns, "batch_size": 7}
        here, there = list(make(tmp_path, **options)), list(make(tmp_path, 2, **options))
        if output == "arrow":
            assert all(a.equals(b, check_metadata=True) for a, b in zip(here, there, strict=True))
        else:
            assert plain(here) == plain(there)


def test_results_larger_than_their_batches(data):
    assert epochs(make(data, 2, transform=f.Grow())) == epochs(make(data, transform=f.Grow()))


def test_what_a_transform_keeps_is_its_own(data):
    here = [batch["x"].tolist() for batch in make(data, transform=f.identity)]
    kept = list(make(data, 2, transform=f.Keep(), prefetch_factor=4))
    assert [batch["x"].tolist() for batch in kept] == here


def test_batches_share_no_memory_and_hold_no_descriptors(data):
    here = [batch["x"].clone() for batch in make(data, transform=f.identity, batch_size=1)]
    descriptors = len(names("/proc/self/fd"))
    loader = make(data, 2, transform=f.identity, batch_size=1, persistent_workers=True)
    kept = []
    for batch in loader:
        kept.append(batch["x"].clone())
        batch["x"].fill_(-1)
        batch["i"].add_(7)
    assert all(torch.equal(a, b) for a, b in zip(here, kept, strict=True))
    batches = list(loader)
    assert len(names("/proc/self/fd")) <= descriptors + 8  # two sockets and sentinels, not one a batch
    for batch in batches[::2]:
        batch["x"].fill_(-1)
    again = list(loader)  # new blocks, while the old ones are held
    assert all((batch["x"] == -1).all() for batch in batches[::2])
    assert len(again) == len(batches) == 100


def test_workers_are_told_who_they_are(data):
    loader = make(data, 3, transform=f.name_pid, worker_init_fn=f.init)
    batches = list(loader)
    assert [batch["worker"] for batch in batches] == [n % 3 for n in range(BATCHES)]
    assert {batch["mark"] for batch in batches} == {"worker 0", "worker 1", "worker 2"}
    assert len({batch["pid"] for batch in batches} | {os.getpid()}) == 4


def test_without_a_function_no_process_is_started(data, caplog):
    caplog.set_level("INFO", logger="shardline")
    loader = make(data, 2, transform=None)
    iterator = iter(loader)
    next(iterator)
    assert multiprocessing.active_children() == []
    assert "no process is started" in caplog.text
