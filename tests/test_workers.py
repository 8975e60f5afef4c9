"""`num_workers` of shardline's own loader: the same batches as without, and every way in which a worker can fail."""

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import context, write_rows
from support import functions as f

import shardline
from shardline import DataLoader

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
]
BATCHES = 25


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("workers") / "data", [[10, 20, 5], [25], [10, 10, 20]])


def make(data, workers=0, method=None, **options):
    options = {"batch_size": 4, "shuffle": True, "transform": f.augment, "num_threads": 2} | options
    if workers and method:
        options["multiprocessing_context"] = context(method)
    return DataLoader(data, num_workers=workers, **options)


def plain(value):
    """Comparable with ==, bit for bit."""
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return [plain(part) for part in value.unbind()]
        if value.layout is not torch.strided:
            value = value.to_dense()
        return (
            str(value.dtype),
            tuple(value.shape),
            torch.empty_like(value).stride(),
            value.detach().resolve_conj().tolist(),
        )
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tolist()
    if isinstance(value, f.Thing):
        return plain(value.value), value.name
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def epochs(loader, count=2):
    return [[plain(batch) for batch in loader] for _ in range(count)]


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
def test_the_whole_grid(data, expected, capsys):
    count = 0
    for method in ("fork", "forkserver", "spawn"):
        for workers in range(5):
            for persistent in (False, True):
                for stop in range(0, BATCHES + 1, 6 if method == "spawn" else 1):
                    options = {"persistent_workers": persistent} if workers else {}
                    then = workers and (workers + stop) % 4 + 1
                    resumes(data, expected, workers, method, stop, then, **options)
                    count += 1
    with capsys.disabled():
        print(f"\n{count} stops of workers x start method x persistent resumed exactly")


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


def test_processes_end_with_the_epoch_or_the_iterator_or_the_loader(data):
    loader = make(data, 2)
    list(loader)
    assert multiprocessing.active_children() == []
    iterator = iter(loader)
    next(iterator)
    assert len(multiprocessing.active_children()) == 2
    del iterator
    gc.collect()
    assert multiprocessing.active_children() == []
    loader = make(data, 2, persistent_workers=True)
    list(loader)
    assert len(multiprocessing.active_children()) == 2
    first = {child.pid for child in multiprocessing.active_children()}
    list(islice(loader, 3))
    list(loader)
    assert {child.pid for child in multiprocessing.active_children()} == first
    del loader
    gc.collect()
    assert multiprocessing.active_children() == []


def test_peeking_with_workers_that_persist(data, expected):
    loader = make(data, 2, persistent_workers=True)
    assert plain(next(iter(loader))) == expected[0][0]
    assert plain(next(iter(loader))) == expected[0][0]
    assert epochs(loader) == expected[:2]


FAILURES = [
    ("kill", RuntimeError, "killed by SIGKILL"),
    ("exit", RuntimeError, "exited with code 3"),
    ("raise", ValueError, "row refused"),
    ("memory", MemoryError, "no more"),
    ("stop", RuntimeError, "raised StopIteration"),
    ("local", Exception, "Local"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize(("what", "kind", "words"), FAILURES, ids=[case[0] for case in FAILURES])
def test_a_worker_that_fails_is_named_and_nothing_is_lost(data, expected, method, what, kind, words):
    where = expected[0][9]["i"][3][0]
    loader = make(data, 2, method, transform=f.At(where, what), persistent_workers=True)
    iterator = iter(loader)
    before = list(islice(iterator, 9))
    assert len(before) == 9
    start = time.monotonic()
    for _ in range(2):  # and again when asked again
        with pytest.raises(kind) as caught:
            next(iterator)
        assert words in str(caught.value)
        assert "shardline worker 1 (pid" in str(caught.value)
        assert "batch 9 of epoch 0" in str(caught.value)
    assert time.monotonic() - start < 8
    assert loader.state_dict() == make(data).state_at(9)
    resumed = make(data)
    resumed.load_state_dict(loader.state_dict())
    assert [plain(batch) for batch in resumed] == expected[0][9:]
    assert multiprocessing.active_children() == []


def test_a_worker_killed_from_outside(data):
    loader = make(data, 2, transform=f.slow)
    iterator = iter(loader)
    next(iterator)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="died on batch .*killed by SIGKILL"):
        list(iterator)
    assert time.monotonic() - start < 8
    del iterator
    assert len(list(loader)) > 20  # a new iterator has new workers


def test_worker_init_fn_that_raises(data):
    with pytest.raises(OSError, match="(?s)worker_init_fn of shardline worker 0.*no luck for 0"):
        list(make(data, 2, worker_init_fn=f.bad_init))


def test_timeout_has_torchs_meaning(data, expected):
    loader = make(data, 2, transform=f.At(expected[0][2]["i"][3][0], "sleep"), timeout=0.5)
    iterator = iter(loader)
    list(islice(iterator, 2))
    with pytest.raises(RuntimeError, match="timed out after 0.5 seconds.*batch 2 of epoch 0"):
        next(iterator)
    time.sleep(4)
    assert plain(next(iterator)["i"]) == expected[0][2]["i"]  # it came late, and is not lost


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_function_that_cannot_be_sent(data, method):
    with pytest.raises(TypeError, match=f"transform .*lambda.*cannot be sent.*{method}.*top level") as caught:
        iter(make(data, 1, method, transform=lambda batch: batch))
    assert isinstance(caught.value, shardline.ShardlineError)
    assert multiprocessing.active_children() == []


def test_a_reading_error_comes_in_its_turn(tmp_path):
    folder = write_rows(tmp_path / "data", [[100_000] * 2, [100_000] * 2])
    options = {"shuffle": False, "batch_size": 10_000, "transform": f.identity}
    loaders = [make(folder, 0, **options), make(folder, 2, prefetch_factor=20, **options)]
    (folder / "part-0001.parquet").unlink()
    counts = []
    for loader in loaders:
        iterator, batches = iter(loader), []
        for _ in range(2):
            with pytest.raises(shardline.FileChangedError, match="part-0001"):
                batches.extend(iterator)  # whatever came before the error is in it
        counts.append(len(batches))
    assert counts[0] == counts[1] > 10


def test_nothing_leaks(data):
    def held():
        gc.collect()
        maps = Path("/proc/self/maps").read_text().count("memfd:shardline")
        return len(names("/proc/self/fd")), names("/dev/shm"), maps

    list(make(data, 2))
    before = held()
    for k in range(10):
        loader = make(data, 2, persistent_workers=bool(k % 2))
        list(islice(loader, 5 + k))
        del loader
    assert held() == before


def run(code, *arguments, **options):
    program = "if __name__ == '__main__':\n" + textwrap.indent(textwrap.dedent(code), "    ")
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )


LOOP = """
import sys, os, signal, warnings
warnings.simplefilter("ignore")
import multiprocessing, shardline
from support import functions as f
if sys.argv[2] == "forkserver":
    multiprocessing.get_context("forkserver").set_forkserver_preload(["torch", "shardline"])
loader = shardline.DataLoader(sys.argv[1], 4, transform=f.slow, num_workers=2, multiprocessing_context=sys.argv[2])
iterator = iter(loader)
next(iterator)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_die_with_their_parent(data, method):
    shared = names("/dev/shm")
    parent = run(LOOP + "\nfor _ in iterator: pass", data, method)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.1)
    assert names("/dev/shm") == shared


def zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_interpreter_exits_with_a_live_iterator(data, method):
    process = run(LOOP, data, method)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_ends_the_wait_and_loses_nothing(data):
    code = """
    got = [1]
    for _ in range(3):
        try:
            print("waiting", flush=True)
            for batch in iterator:
                got.append(1)
            break
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    print(len(got), loader.dataset.epoch, flush=True)
    """
    with run(LOOP + textwrap.dedent(code), data, "fork", start_new_session=True) as process:
        process.stdout.readline()
        for _ in range(2):
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
            assert process.stdout.readline() == "interrupted\n"
        # not communicate(): it does not see what readline() has read ahead
        assert process.stdout.read() == "waiting\n25 1\n"
        assert process.stderr.read() == ""
    assert process.returncode == 0
