"""Signals that are meant for the job: the training answers them, and its workers live until it has."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path

import pytest
from support import functions as f
from support import preempted, programs, write_rows
from support.programs import descendants
from support.worked import epochs, make, plain

from shardline import Checkpointer
from shardline.workers import pool

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
]
JOBS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
LIMIT = 90.0


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("preempted") / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture(scope="module")
def expected(data):
    return epochs(make(data), 3)


def children():
    return [child.pid for child in multiprocessing.active_children()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    end = time.monotonic() + LIMIT
    while lives(pid):
        assert time.monotonic() < end, "the process goes on"
        time.sleep(0.01)


# Workers


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_outlive_the_signals_of_their_job(data, expected, method):
    before = signal.signal(signal.SIGXCPU, lambda *_: None)  # one that the training answers is the job's too
    try:
        iterator = iter(make(data, 2, method))
        found = [next(iterator)]
        pids = children()
        assert len(pids) == 2
        for pid in pids:
            for number in [*JOBS, signal.SIGXCPU]:
                os.kill(pid, number)
        found += iterator
    finally:
        signal.signal(signal.SIGXCPU, before)
    assert plain(found) == expected[0]
    assert children() == []


class Dies:
    """Sends a signal to its process while this process starts, so many times."""

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.times = folder, times

    def __setstate__(self, state):
        self.__dict__.update(state)
        died = len(list(self.folder.iterdir()))
        if died < self.times:
            (self.folder / f"{died} {os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    def __call__(self, batch):
        return f.augment(batch)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_signal_that_comes_while_workers_start(data, expected, method, tmp_path):
    (folder := tmp_path / "died").mkdir()
    loader = make(data, 1 if method == "spawn" else 2, method, transform=Dies(folder, 1))
    assert [plain(batch) for batch in loader] == expected[0]
    assert len(list(folder.iterdir())) >= 1


def test_a_worker_that_always_dies_while_it_starts_is_named(data, tmp_path):
    (folder := tmp_path / "died").mkdir()
    with pytest.raises(RuntimeError, match="shardline worker 0 .* died on its start: killed by SIGTERM"):
        iter(make(data, 1, "forkserver", transform=Dies(folder, 1000)))
    assert len(list(folder.iterdir())) == 3
    assert children() == []


_at_fork: list[signal.Signals] = []
os.register_at_fork(after_in_child=lambda: [os.kill(os.getpid(), number) for number in _at_fork])


def test_a_signal_that_comes_while_a_worker_is_forked(data, expected):
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    _at_fork[:] = [number for number in JOBS if number != signal.SIGINT]
    try:
        found = [plain(batch) for batch in make(data, 2, "fork")]
    finally:
        _at_fork.clear()
    assert found == expected[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def blocked_signals(batch):
    return sorted(int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ()))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_has_the_mask_of_the_training(data, method):
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        found = list(islice(make(data, 1, method, transform=blocked_signals), 2))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert found == [[] if method == "forkserver" else [int(signal.SIGUSR2)]] * 2


# The fork server


def server() -> int:
    pid = forkserver._forkserver._forkserver_pid
    assert pid is not None
    return pid


def test_workers_outlive_their_fork_server(data, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_SLICE", 0.01)  # every wait looks whether all workers live
    held = f.Held(tmp_path / "go on", expected[0][3]["i"][3][0])
    loader = make(data, 2, "forkserver", transform=held, persistent_workers=True)
    iterator = iter(loader)
    found = [next(iterator)["i"].tolist() for _ in range(3)]
    pids = [worker.process.pid for worker in loader._pool._workers]
    os.kill(server(), signal.SIGTERM)
    wait_for_end(server())
    later = threading.Timer(2.5, held.path.touch)  # a worker looks every second whether the training lives
    later.start()
    found += [batch["i"].tolist() for batch in iterator]
    found += [batch["i"].tolist() for batch in loader]
    later.join()
    assert found == [batch["i"][3] for batch in expected[0] + expected[1]]
    assert [worker.process.pid for worker in loader._pool._workers] == pids
    start = time.monotonic()
    loader._pool.close()
    assert time.monotonic() - start < pool._JOIN, "nothing was waited for"
    for pid in pids:
        wait_for_end(pid)
    found = [batch["i"].tolist() for batch in loader]  # by a new server
    assert found == [batch["i"][3] for batch in expected[2]]


def test_a_worker_that_dies_after_its_fork_server_is_found(data, expected, tmp_path):
    row = expected[0][9]["i"][3][0]
    loader = make(data, 2, "forkserver", transform=f.Held(tmp_path / "go on", row), persistent_workers=True)
    iterator = iter(loader)
    assert len(list(islice(iterator, 9))) == 9
    os.kill(server(), signal.SIGKILL)
    os.kill(loader._pool._workers[1].process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="worker 1 .* died on batch 9 of epoch 0"):
        next(iterator)
    assert loader.state_dict() == make(data).state_at(9)


def test_a_stuck_worker_without_a_fork_server_is_killed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_JOIN", 0.1)
    loader = make(data, 2, "forkserver", transform=f.Held(tmp_path / "never"), shuffle=False, persistent_workers=True)
    iterator = iter(loader)
    next(iterator)
    pids = [worker.process.pid for worker in loader._pool._workers]
    os.kill(server(), signal.SIGKILL)
    del iterator, loader
    for pid in pids:
        wait_for_end(pid)


def test_a_stuck_worker_is_killed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_JOIN", 0.1)
    iterator = iter(make(data, 2, "fork", transform=f.Held(tmp_path / "never"), shuffle=False))
    next(iterator)
    pids = children()
    del iterator
    assert not any(map(lives, pids))


def test_a_fork_server_that_ends_while_it_is_asked_for_a_worker(data, expected, monkeypatch):
    forkserver.ensure_running()
    connect, asked = forkserver.connect_to_new_process, []

    def ends(fds):
        asked.append(fds)
        if len(asked) > 1:
            return connect(fds)
        os.kill(server(), signal.SIGSTOP)
        try:
            return connect(fds)
        finally:
            os.kill(server(), signal.SIGKILL)

    monkeypatch.setattr(forkserver, "connect_to_new_process", ends)
    assert [plain(batch) for batch in make(data, 1, "forkserver")] == expected[0]
    assert len(asked) == 2


def test_the_interpreter_exits_with_workers_that_persist(data):
    code = """
import sys, shardline
from support import functions as f
loader = shardline.DataLoader(sys.argv[1], 4, transform=f.augment, num_workers=2, multiprocessing_context="fork",
                              persistent_workers=True)
print(len(list(loader)))
keep = loader._pool  # and no iterator that is closed before
"""
    done = programs.run("-c", code, data, warn=["ignore"], timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "25\n", "")


# A training in one process


def check_life(data, folder, log, status, first, ranks=1):
    """What one life did, which began after step `first`: its last step, which was saved."""
    last = max(one.step for one in Checkpointer(folder).list())
    for rank in range(ranks):
        lines = [line.split() for line in Path(f"{log}-{rank}").read_text().splitlines()]
        steps = [int(step) for step, _ in lines]
        assert steps == list(range(first + 1, last + 1))
        assert [batch for _, batch in lines] == preempted.expected(data, last, rank, ranks)[first:]
    assert status == [75] * ranks
    return last


def said(stream, word: str) -> None:
    """Waits for a line."""
    for line in stream:
        if line.strip() == word:
            return
    raise AssertionError(f"it ended before it said {word}")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_signal_to_the_group_saves_and_ends_with_status_75(data, tmp_path, method):
    chance, first = random.Random(method), 0
    moments = ["ready", f"step {chance.randint(1, 25)}"] if method != "spawn" else [chance.choice(["ready", "step 9"])]
    for life, moment in enumerate(moments):
        log = tmp_path / f"log-{life}"
        program = "import sys; from support import preempted; preempted.main(sys.argv[1:])"
        with programs.start(
            *("-c", program, data, tmp_path / "ck", method, log), warn=["ignore"], session=True
        ) as process:
            said(process.stdout, moment)
            time.sleep(chance.uniform(0, 0.5))  # any moment will do
            os.killpg(process.pid, chance.choice([signal.SIGTERM, signal.SIGUSR1]))
            rest, error = process.stdout.read(), process.stderr.read()
            assert process.wait() == 75, error
        assert rest.splitlines()[-1] == "status 75"
        first = check_life(data, tmp_path / "ck", log, [process.returncode], first)


# Under torchrun


def preempt(data, folder, log, method, moment, wait, everyone):
    """One life under torchrun: the statuses of its ranks. `everyone`: all processes get the signal, as under SLURM."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [preempted.__file__, str(data), str(folder), method, str(log)]
    agent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(agent.stderr))

    def kill():
        for pid in descendants(agent.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(2 * LIMIT, kill)
    timer.start(), reader.start()
    try:
        lines = iter(agent.stdout.readline, "")
        for _ in range(2):
            said(lines, moment)
        time.sleep(wait)  # any moment will do
        if everyone:
            for pid in descendants(agent.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(agent.pid, signal.SIGTERM)
        rest = agent.stdout.read()
    finally:
        timer.cancel()
        kill() if sys.exc_info()[0] else None
        agent.wait()
        reader.join()
        agent.stdout.close(), agent.stderr.close()
    status = [int(line.split()[1]) for line in rest.splitlines() if line.startswith("status")]
    assert len(status) == 2, rest + "".join(errors)
    return status


def check_torchrun(data, folder, method, moments, seed):
    chance, first = random.Random(seed), 0
    for life, moment in enumerate(moments):
        log = folder / f"log-{life}"
        status = preempt(data, folder / "ck", log, method, moment, chance.uniform(0, 1), chance.random() < 0.5)
        first = check_life(data, folder / "ck", log, status, first, 2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_torchrun_is_preempted(data, tmp_path, method):
    check_torchrun(data, tmp_path, method, ["step 3"], method)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_torchrun_is_preempted_20_times(data, tmp_path, method, say):
    chance = random.Random(method)
    early = ["ready"] if method == "fork" else []  # fork servers may not be up within the 30 seconds of torchrun
    moments = [chance.choice([*early, f"step {chance.randint(1, preempted.SAID)}"]) for _ in range(20)]
    check_torchrun(data, tmp_path, method, moments, method)
    say(f"torchrun, 2 ranks with 2 workers each ({method}): 20 of 20 saved the last step and ended with status 75")
