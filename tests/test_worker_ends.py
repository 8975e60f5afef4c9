"""How worker processes end: with their iterator, by an error, killed, interrupted."""

import copy
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import textwrap
import time
from itertools import islice
from pathlib import Path

import pytest
from support import functions as f
from support import programs, write_rows
from support.worked import epochs, left_over, make, names, plain

import shardline

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
]

AT_ONCE = 30  # seconds: no time limit is waited for, and the machine may be busy


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("workers") / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture(scope="module")
def expected(data):
    return epochs(make(data), 3)


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


def test_peeks_do_not_pile_up(data):
    """A worker has the batches of one run to make at most, however often iter() was called."""
    loader = make(data, 2, batch_size=1, transform=f.identity, persistent_workers=True, prefetch_factor=64)
    for _ in range(20):
        next(iter(loader))
        assert max(peer.pending for peer in loader._pool._workers) <= 64
    assert len(list(loader)) == 100


def test_a_failure_of_a_run_that_was_left_is_nobodys(data, expected):
    where = expected[0][3]["i"][3][0]
    loader = make(data, 2, transform=f.At(where, "raise"), persistent_workers=True, prefetch_factor=4)
    next(iter(loader))  # and the batch that fails is under way
    loader.seek(5)
    assert [plain(batch["i"]) for batch in loader] == [batch["i"] for batch in expected[0][5:]]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
def test_a_copy_of_a_loader_has_workers_of_its_own(data, expected, again):
    loader = make(data, 2, persistent_workers=True)
    iterator = iter(loader)
    before = plain(next(iterator))
    copied = again(loader)
    assert [before] + [plain(batch) for batch in copied] == expected[0]
    assert [before] + [plain(batch) for batch in iterator] == expected[0]


FAILURES = [
    ("kill", RuntimeError, "killed by SIGKILL"),
    ("exit", RuntimeError, "exited with code 3"),
    ("raise", ValueError, "row refused"),
    ("memory", MemoryError, "no more"),
    ("timeout", TimeoutError, "the server is slow"),  # not the wait's own
    ("eof", EOFError, "the image is truncated"),  # not the channel's end
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
    assert time.monotonic() - start < AT_ONCE
    assert loader.state_dict() == make(data).state_at(9)
    resumed = make(data)
    resumed.load_state_dict(loader.state_dict())
    assert [plain(batch) for batch in resumed] == expected[0][9:]
    assert multiprocessing.active_children() == []


def test_a_worker_killed_from_outside(data, tmp_path):
    loader = make(data, 2, transform=f.Held(tmp_path / "go on"), shuffle=False)
    iterator = iter(loader)
    next(iterator)
    # The first worker has made a batch; the second may still be starting.
    [first] = [child for child in multiprocessing.active_children() if "shardline-worker-0" in child.name]
    os.kill(first.pid, signal.SIGKILL)
    (tmp_path / "go on").touch()
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="died on batch .*killed by SIGKILL"):
        list(iterator)
    assert time.monotonic() - start < AT_ONCE
    del iterator
    assert len(list(loader)) > 20  # a new iterator has new workers


def test_worker_init_fn_that_raises(data):
    with pytest.raises(OSError, match="(?s)worker_init_fn of shardline worker 0.*no luck for 0"):
        list(make(data, 2, worker_init_fn=f.bad_init))


def test_timeout_has_torchs_meaning(data, expected, tmp_path):
    loader = make(data, 2, transform=f.Held(tmp_path / "go on", expected[0][2]["i"][3][0]), timeout=0.5)
    iterator = iter(loader)

    def patiently():
        """The next batch, however busy the machine is."""
        while True:
            try:
                return plain(next(iterator)["i"])
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise

    assert [patiently(), patiently()] == [batch["i"] for batch in expected[0][:2]]
    with pytest.raises(RuntimeError, match="timed out after 0.5 seconds.*batch 2 of epoch 0"):
        next(iterator)
    (tmp_path / "go on").touch()
    assert patiently() == expected[0][2]["i"]  # it came late, and is not lost


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_function_that_cannot_be_sent(data, method):
    with pytest.raises(TypeError, match=f"transform .*lambda.*cannot be sent.*{method}.*top level") as caught:
        iter(make(data, 1, method, transform=lambda batch: batch))
    assert isinstance(caught.value, shardline.ShardlineError)
    assert multiprocessing.active_children() == []


CELL = """
import functools, sys
import shardline
from shardline.reading.transform import Functions
from shardline.workers.sendable import check_found_again
from support import functions

def double(batch):
    return {"i": batch["i"] * 2}

for transform in (double, functools.partial(double)):
    try:
        iter(shardline.DataLoader(sys.argv[1], transform=transform, num_workers=1, multiprocessing_context=sys.argv[2]))
    except TypeError as error:
        print(error)
check_found_again(Functions(functions.identity, None), None, sys.argv[2])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_function_of_a_notebooks_cell(hundred, method):
    """It is in no file that another process could import: refused at once. A module's function is taken."""
    done = programs.run("-c", CELL, hundred, method)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    for said in (first, second):
        assert "transform (" in said, done.stderr
        assert (
            f"is defined in a notebook's cell or an interactive session, where a worker process started by {method!r}"
            in said
        )


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
        return len(names("/proc/self/fd")), maps

    list(make(data, 2))
    before, shared = held(), names("/dev/shm")
    for k in range(10):
        loader = make(data, 2, persistent_workers=bool(k % 2))
        list(islice(loader, 5 + k))
        del loader
    assert held() == before
    assert left_over("/dev/shm", shared) == []


def run(code, *arguments, **options):
    program = "if __name__ == '__main__':\n" + textwrap.indent(textwrap.dedent(code), "    ")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return programs.start("-c", program, *arguments, env=env, **options)


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
    parent.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.01)
    assert left_over("/dev/shm", shared) == []


def zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_interpreter_exits_with_a_live_iterator(data, method):
    process = run(LOOP, data, method)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("place", [1, 24])
def test_ctrl_c_in_the_midst_of_an_answer_skips_nothing(data, expected, monkeypatch, place):
    loader = make(data, 2)
    iterator = iter(loader)
    before = [plain(batch) for batch in islice(iterator, place)]

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shardline.workers.handle.unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(iterator)
    with pytest.raises(RuntimeError, match="was lost when waiting for it was interrupted"):
        next(iterator)
    loader.load_state_dict(loader.state_dict())
    assert before + [plain(batch) for batch in loader] == expected[0]


def test_ctrl_c_ends_the_wait_and_loses_nothing(data, tmp_path):
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
    held = LOOP.replace("f.slow", "f.Held(sys.argv[3])")
    with run(held + textwrap.dedent(code), data, "fork", tmp_path / "go on", session=True) as process:
        process.stdout.readline()
        for _ in range(2):
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.1)  # most likely it waits by now; it need not
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
            assert process.stdout.readline() == "interrupted\n"
        (tmp_path / "go on").touch()
        # not communicate(): it does not see what readline() has read ahead
        assert process.stdout.read() == "waiting\n25 1\n"
        assert process.stderr.read() == ""
    assert process.returncode == 0
