"""What goes wrong while reading: files that change, damaged pages, signals, iterators left behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids, take

import shardline
from shardline import DataLoader, FileChangedError, ShardlineError

SMALL = {"batch_size": 10, "prefetch_bytes": 1, "num_threads": 1}


def write(path, values, *, group=1000, **options):
    values = np.asarray(values)
    pq.write_table(pa.table({"i": values, "x": (values % 7).astype("f4")}), path, row_group_size=group, **options)


def shifted(path, by, **options):
    """Writes a file of the same rows, sizes and layout again, its values shifted: only the statistics differ."""
    write(path, np.arange(40) + by, use_dictionary=False, compression="none", **options)


CHANGES = {
    "same size, other footer": lambda path: shifted(path, 1000),
    "other size": lambda path: shifted(path, 0, store_schema=False),
    "other row groups": lambda path: shifted(path, 0, group=5),
    "fewer rows": lambda path: write(path, range(60, 70)),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "vanished": lambda path: path.unlink(),
    "a directory now": lambda path: (path.unlink(), path.mkdir()),
    "text now": lambda path: path.write_bytes(b"x" * path.stat().st_size),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_file_that_changed_since_planning_is_named(tmp_path, change, shuffle):
    for number in range(3):
        shifted(tmp_path / f"{number}.parquet", 40 * number)
    size = (tmp_path / "2.parquet").stat().st_size
    make = lambda: DataLoader(tmp_path, shuffle=shuffle, shuffle_buffer_size=0, **SMALL)  # noqa: E731
    loader, whole = make(), ids(make())
    change(tmp_path / "2.parquet")
    if change is CHANGES["same size, other footer"]:
        assert (tmp_path / "2.parquet").stat().st_size == size
    found = []
    iterator = iter(loader)
    with pytest.raises(FileChangedError, match=r"2\.parquet.*(plan|try again)"):
        for batch in iterator:
            found.append(batch["i"].tolist())
    assert found == whole[: len(found)]
    assert len(found) < 12
    assert loader.batch_index == loader.state_dict()["legs"][0][3] == len(found)
    with pytest.raises(FileChangedError, match=r"2\.parquet"):  # asked again, it says it again
        next(iterator)
    assert loader.batch_index == len(found)
    # Put back, the run goes on from the state that it was left with.
    path = tmp_path / "2.parquet"
    if path.is_dir():
        path.rmdir()
    shifted(path, 80)
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    assert found + ids(resumed) == whole


@pytest.mark.parametrize("how", ["over", "truncated", "renamed"])
def test_a_file_written_over_while_it_is_open_gives_no_other_rows(tmp_path, how):
    path = tmp_path / "a.parquet"
    options = {"group": 50_000, "compression": "none", "use_dictionary": False}
    write(path, np.arange(500_000), **options)
    loader = DataLoader(path, batch_size=100, prefetch_bytes=1, num_threads=1)
    iterator, found = iter(loader), 0
    for _ in range(150):
        next(iterator)
        found += 1
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    if how == "over":
        write(path, np.arange(500_000) + 10**6, **options)
    elif how == "truncated":
        os.truncate(path, 1_500_000)
    else:  # the old file is still there for those who have it open: its rows are the planned ones
        write(tmp_path / "new", np.arange(500_000) + 10**6, **options)
        (tmp_path / "new").replace(path)
        for batch in iterator:
            assert batch["i"].tolist() == list(range(100 * found, 100 * found + 100))
            found += 1
        assert found == 5000
        found = 0
        iterator = iter(loader)
    with pytest.raises(FileChangedError, match=r"a\.parquet"):
        for batch in iterator:
            assert batch["i"].tolist() == list(range(100 * found, 100 * found + 100))
            found += 1
    if how != "renamed":
        assert loader.batch_index == found


def test_a_file_touched_or_linked_while_it_is_open_is_the_same_file(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, np.arange(20_000), group=1000)
    loader = DataLoader(path, batch_size=100, prefetch_bytes=1)
    iterator = iter(loader)
    found = take(iterator, 3)
    time.sleep(0.02)
    path.touch()
    (tmp_path / "b").hardlink_to(path)
    assert sum(found + ids(iterator), []) == list(range(20_000))


# Pages


def page_bytes(path, column):
    """Where the column's data pages lie."""
    spans = []
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group).column(column)
            start = meta.dictionary_page_offset or meta.data_page_offset
            spans.append((start, start + meta.total_compressed_size))
    return spans


@pytest.mark.parametrize("kind", ["dense", "dictionary", "list", "nullable strings"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_flipped_byte_under_page_checksums_is_an_error_that_names_the_file(tmp_path, kind, compression):
    rng = np.random.default_rng(5)
    column = {
        "dense": lambda: pa.array(rng.integers(0, 2**60, 4000)),
        "dictionary": lambda: pa.array(rng.integers(0, 50, 4000)),
        "list": lambda: pa.array([list(range(n % 5)) for n in range(4000)], pa.list_(pa.int32())),
        "nullable strings": lambda: pa.array([None if n % 3 else f"text {n}" for n in range(4000)]),
    }[kind]()
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"c": column}),
        path,
        row_group_size=1000,
        compression=compression,
        use_dictionary=kind == "dictionary",
        write_page_checksum=True,
    )
    good = path.read_bytes()
    spans = page_bytes(path, 0)
    output = "arrow" if kind == "nullable strings" else "torch"
    options = {"batch_size": 100, "output_format": output}
    whole = [str(batch["c"]) for batch in DataLoader(path, **options)]
    for trial in range(12):
        start, end = spans[trial % 4]
        at = end - 1 - int(rng.integers(0, (end - start) // 2))  # in a page's data, behind its header
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << trial % 8)]) + good[at + 1 :])
        loader = DataLoader(path, **options)
        found = []
        with pytest.raises(ShardlineError, match=r"a\.parquet"):
            for batch in loader:
                found.append(str(batch["c"]))
        assert found == whole[: len(found)]
        assert len(found) <= 10 * (trial % 4)
        assert loader.batch_index == len(found)


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.parquet"
    table = pa.table(
        {
            "i": np.arange(60),
            "d": pa.array([n % 3 for n in range(60)], pa.int32()),
            "t": pa.array([[n] * (n % 4) for n in range(60)], pa.list_(pa.int16())),
            "b": pa.array([n % 2 == 0 for n in range(60)]),
        }
    )
    pq.write_table(table, path, row_group_size=25, use_dictionary=["d"], data_page_size=64)
    return path.read_bytes()


@examples(150)
@given(data=st.data())
def test_damaged_files_neither_crash_nor_hang(tmp_path_factory, small_file, data):
    """Any outcome but a crash, a hang, or an error that is not ours: the file has no checksums."""
    damage = data.draw(st.sampled_from(["flip", "cut", "both", "pages"]))
    body = bytearray(small_file)
    if damage == "pages":  # the footer stays whole
        length = int.from_bytes(body[-8:-4], "little") + 8
        places = st.integers(4, len(body) - length - 1)
    else:
        places = st.integers(0, len(body) - 1)
    if damage != "cut":
        for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
            body[at] = byte
    if damage in ("cut", "both"):
        start, stop = sorted(data.draw(st.tuples(places, places)))
        del body[start:stop]
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    path.write_bytes(body)
    for output in ("torch", "arrow"):
        try:
            loader = DataLoader(path, batch_size=7, output_format=output, num_threads=2)
            for _ in loader:
                assert loader.batch_index <= len(loader)
        except ShardlineError as error:
            message = str(error)
        else:
            continue
        assert "a.parquet" in message
        assert "internal error" not in message


# Nulls


def test_a_null_in_the_middle_is_met_again_after_a_resume(tmp_path):
    values = [*range(53), None, *range(46)]
    table = pa.table({"i": pa.array(range(100)), "y": pa.array(values, pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10, write_statistics=False)
    loader, messages = DataLoader(tmp_path, **SMALL), []
    for _ in range(3):
        begin, found = loader.batch_index, 0
        with pytest.raises(shardline.ShardlineValueError, match=r"a\.parquet.*\"y\" has nulls.*columns=") as caught:
            for _ in loader:
                found += 1
        messages.append(str(caught.value))
        assert begin + found == loader.batch_index <= 5  # what is decoded together with the null is not delivered
        state = loader.state_dict()
        loader = DataLoader(tmp_path, **SMALL)
        loader.load_state_dict(state)
    assert len(set(messages)) == 1
    loader.load_state_dict(state)
    without = DataLoader(tmp_path, columns=["i"], **SMALL)
    without.load_state_dict(state)
    assert ids(without) == [list(range(a, a + 10)) for a in range(10 * state["legs"][0][3], 100, 10)]


@pytest.mark.timeout(60)
def test_an_error_read_ahead_among_other_columns_is_raised_and_never_waited_for(tmp_path):
    """Other threads are still at work on the chunk when it fails, long before the caller comes to it."""
    count, rng = 300_000, np.random.default_rng(2)
    columns = {f"c{n}": rng.integers(0, 2**40, count) for n in range(10)}
    bad = pa.array(np.arange(count), mask=np.arange(count) == 150_000)
    pq.write_table(
        pa.table({**columns, "bad": bad}), tmp_path / "a.parquet", row_group_size=50_000, write_statistics=False
    )
    for _ in range(12):
        loader = DataLoader(tmp_path, batch_size=1000, num_threads=6, prefetch_bytes="1GiB")
        iterator = iter(loader)
        next(iterator)
        time.sleep(0.2)
        with pytest.raises(shardline.ShardlineValueError, match='"bad" has nulls'):
            for _ in iterator:
                pass
        assert loader.batch_index <= 150


# Signals


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
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    took = time.perf_counter() - sent[0]
    timer.join()
    assert took < 0.5, f"{took:.3f} s"  # 50 ms of patience, and a busy machine
    # Nothing was lost: the same iterator still has its first batch.
    assert loader.batch_index == 0
    assert len(next(iterator)["c0"]) == 2_000_000
    assert loader.batch_index == 1


def test_ctrl_c_between_two_lines_loses_nothing(hundred, monkeypatch):
    loader = DataLoader(hundred, batch_size=10)
    iterator = iter(loader)
    next(iterator)

    def press(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shardline.position.Position.deliver", press)
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


def threads():
    names = []
    for task in (PROC / "task").iterdir():
        try:
            names.append((task / "comm").read_text())
        except OSError:  # it just ended
            continue
    return sum(name.startswith("shardline") for name in names)


def resident():
    return int((PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled(count, within=5.0):
    """Whether the reader's threads are this many, soon."""
    end = time.monotonic() + within
    while threads() != count and time.monotonic() < end:
        time.sleep(0.01)
    return threads()


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


# Not among them: a daemon thread at work. Python ends such a thread inside native code, and torch itself aborts.
EXITS = {
    "mid-epoch": "next(it)",
    "before the first batch": "",
    "after an error": "next(it); 1 / 0",
    "sys.exit": "next(it); sys.exit(3)",
    "in a thread": "import threading; t = threading.Thread(target=lambda: next(it)); t.start(); t.join()",
    "batches kept": "kept = [next(it) for _ in range(3)]",
    "cycle": "next(it); it.me = it; del it",
}


@pytest.mark.parametrize("what", EXITS)
def test_the_interpreter_exits_cleanly_with_live_iterators(hundred, what):
    program = f"import sys, shardline\nloader = shardline.DataLoader({str(hundred)!r}, batch_size=5, shuffle=True)\n"
    program += f"it = iter(loader)\n{EXITS[what]}\n"
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
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
            signal.alarm(20)
            for _ in iterator:  # what was already decoded may still come
                pass
        except shardline.ShardlineRuntimeError as error:
            code = 0 if "fork" in str(error) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sum(map(len, ids(iterator))) == 400_000
