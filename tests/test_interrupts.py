"""What interrupts a reader, and what one leaves behind: signals, dropped iterators, exits, forks."""

import gc
import os
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, programs
from support.threads import settled, threads

import shardline
from shardline import DataLoader


def write(path, values, *, group=1000, **options):
    values = np.asarray(values)
    pq.write_table(pa.table({"i": values, "x": (values % 7).astype("f4")}), path, row_group_size=group, **options)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A file whose first batch takes long on one thread: one row group, a batch of all rows."""
    path = tmp_path_factory.mktemp("slow") / "slow.parquet"
    rng = np.random.default_rng(1)
    table = pa.table({f"c{n}": rng.integers(0, 2**20, 2_000_000) for n in range(12)})
    pq.write_table(table, path, compression="gzip", compression_level=1, use_dictionary=False, row_group_size=10**8)
    return path


def test_ctrl_c_while_waiting_answers_at_once(slow):
    loader = DataLoader(slow, batch_size=10**8, num_threads=1)
    iterator, sent = iter(loader), []

    def press():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.02, press)
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        next(iterator)
    answered = time.perf_counter()
    timer.join()
    # Nothing was lost: the same iterator still has its first batch.
    assert loader.batch_index == 0
    assert len(next(iterator)["c0"]) == 2_000_000
    assert loader.batch_index == 1
    # It did not wait for the batch: most of that wait came after the answer, however busy the machine is.
    took, rest = answered - sent[0], time.perf_counter() - answered
    assert took < rest, f"answered after {took:.3f} s, the batch came {rest:.3f} s later"


def test_ctrl_c_between_two_lines_loses_nothing(hundred, monkeypatch):
    loader = DataLoader(hundred, batch_size=10)
    iterator = iter(loader)
    next(iterator)

    def press(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shardline.state.progress.Progress.deliver", press)
        with pytest.raises(KeyboardInterrupt):
            next(iterator)
    with pytest.raises(shardline.ShardlineRuntimeError, match="load_state_dict"):
        next(iterator)
    assert loader.batch_index == 1
    loader.load_state_dict(loader.state_dict())
    assert sum(ids(loader), []) == list(range(10, 100))


# What is left behind

PROC = Path("/proc/self")
needs_proc = pytest.mark.skipif(not PROC.is_dir(), reason="looks into /proc")


def resident():
    return int((PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_proc
@pytest.mark.parametrize("shuffle", [False, True])
def test_iterators_dropped_at_any_moment_stop_their_threads(hundred, shuffle):
    before = settled(0)
    loader = DataLoader(hundred, batch_size=1, shuffle=shuffle, num_threads=3)
    for count in [*range(12), 50, 99, 100, 101]:
        iterator = iter(loader)
        for _ in zip(range(count), iterator, strict=False):
            pass
        assert threads() <= before + 3
        del iterator
        gc.collect()
        assert settled(before) == before, count
        loader = DataLoader(hundred, batch_size=1, shuffle=shuffle, num_threads=3)
    # By an error in the loop, and by a newer iterator.
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            1 / 0  # noqa: B018
    older = iter(loader)
    next(older)
    newer = iter(loader)
    next(newer)
    assert settled(before + 3) == before + 3
    newer.close()
    assert settled(before) == before


@needs_proc
def test_memory_of_dropped_iterators_is_freed(tmp_path):
    write(tmp_path / "a.parquet", np.arange(2_000_000), group=250_000)

    def drop(times):
        for _ in range(times):
            loader = DataLoader(tmp_path, batch_size=1024, shuffle=True, num_threads=2)
            for _ in zip(range(3), loader, strict=False):
                pass
            del loader
        gc.collect()
        return resident()

    first = drop(20)
    last = drop(60)
    assert settled(0) == 0
    assert last - first < 48 * 2**20, f"{(last - first) / 2**20:.0f} MiB more after 60 iterators more"


@needs_proc
def test_a_thousand_epochs_grow_nothing(hundred):
    loader = DataLoader(hundred, batch_size=25, shuffle=True, num_threads=2)

    def epochs(count):
        for _ in range(count):
            assert sum(len(batch["i"]) for batch in loader) == 100
        gc.collect()
        return resident(), len(list((PROC / "fd").iterdir())), settled(0)

    first, last = epochs(200), epochs(1000)
    assert last[1:] == first[1:] == (first[1], 0)
    assert last[0] - first[0] < 8 * 2**20, f"{(last[0] - first[0]) / 2**20:.1f} MiB more after 1,000 epochs"
    assert loader.epoch == 1200


# More of daemon threads is in test_ending.
EXITS = {
    "mid-epoch": "next(it)",
    "before the first batch": "",
    "after an error": "next(it); 1 / 0",
    "sys.exit": "next(it); sys.exit(3)",
    "in a thread": "import threading; t = threading.Thread(target=lambda: next(it)); t.start(); t.join()",
    "in a daemon thread": (
        "import threading; held = []; threading.Thread(target=held.extend, args=(it,), daemon=True).start()"
    ),
    "batches kept": "kept = [next(it) for _ in range(3)]",
    "cycle": "next(it); it.me = it; del it",
}


@pytest.mark.parametrize("what", EXITS)
def test_the_interpreter_exits_cleanly_with_live_iterators(hundred, what):
    program = f"import sys, shardline\nloader = shardline.DataLoader({str(hundred)!r}, batch_size=5, shuffle=True)\n"
    program += f"it = iter(loader)\n{EXITS[what]}\n"
    run = programs.run("-c", program, warn=["error::RuntimeWarning"])
    wanted = {"after an error": 1, "sys.exit": 3}.get(what, 0)
    assert run.returncode == wanted, run.stderr
    assert ("ZeroDivisionError" in run.stderr) if wanted == 1 else run.stderr == ""


def test_a_child_forked_while_the_parent_reads_says_so_and_the_parent_goes_on(hundred):
    write(hundred / "more.parquet", range(400_000), group=50_000)
    loader = DataLoader(hundred, batch_size=100, num_threads=2, prefetch_bytes=1)
    iterator = iter(loader)
    next(iterator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about forking with threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(60)
            for _ in iterator:  # what was already decoded may still come
                pass
        except shardline.ShardlineRuntimeError as error:
            code = 0 if "fork" in str(error) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sum(map(len, ids(iterator))) == 400_000
