"""Signals that are meant for the job: the training answers them, and its workers live until it has."""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from itertools import islice
from pathlib import Path

import pytest
from support import functions as f
from support import preempted, programs, write_rows
from support.programs import descendants
from support.worked import epochs, make, plain

from shardline import Checkpointer
from shardline.workers.sendable import Sent

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
]
JOBS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
METHODS = ["fork", "forkserver", "spawn"]


def combinations(methods, *short):
    """Each signal under each start method; in `make test` those of `short`, all in `make test-long`."""
    numbers = [number for number in JOBS if number != signal.SIGINT]  # that is KeyboardInterrupt, not a request to save
    return [
        pytest.param(method, number, marks=[] if (method, number) in short else pytest.mark.long)
        for method in methods
        for number in numbers
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("preempted") / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture(scope="module")
def expected(data):
    return epochs(make(data), 3)


def children():
    return [child.pid for child in multiprocessing.active_children()]


# Workers


@pytest.mark.parametrize("method", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.long)])
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

    def __init__(self, folder: Path, times: int, number: int = signal.SIGTERM) -> None:
        self.folder, self.times, self.number = folder, times, number

    def __setstate__(self, state):
        self.__dict__.update(state)
        died = len(list(self.folder.iterdir()))
        if died < self.times:
            (self.folder / f"{died} {os.getpid()}").touch()
            os.kill(os.getpid(), self.number)

    def __call__(self, batch):
        return f.augment(batch)


@pytest.fixture
def loaded_early(monkeypatch):
    """Functions are loaded with the process's own arguments, before it ignores the job's signals."""
    monkeypatch.setattr(Sent, "__getstate__", lambda self: self._functions)


@pytest.mark.usefixtures("loaded_early")
@pytest.mark.parametrize(
    ("method", "number"), combinations(METHODS[1:], ("spawn", signal.SIGTERM), ("forkserver", signal.SIGTERM))
)
def test_a_signal_that_comes_while_workers_start(data, expected, method, number, tmp_path):
    (folder := tmp_path / "died").mkdir()
    loader = make(data, 1 if method == "spawn" else 2, method, transform=Dies(folder, 1, number))
    assert [plain(batch) for batch in loader] == expected[0]
    assert len(list(folder.iterdir())) >= 1


@pytest.mark.usefixtures("loaded_early")
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


@pytest.mark.parametrize("method", ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.long)])
def test_a_worker_has_the_mask_of_the_training(data, method):
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        found = list(islice(make(data, 1, method, transform=blocked_signals), 2))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert found == [[] if method == "forkserver" else [int(signal.SIGUSR2)]] * 2


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


@pytest.mark.timeout(300)  # workers that spawn starts for the next epoch import torch before the step that saves
@pytest.mark.parametrize(
    ("method", "number"),
    combinations(
        METHODS,
        *[("fork", signal.SIGTERM), ("fork", signal.SIGUSR1), ("forkserver", signal.SIGTERM)],
        ("spawn", signal.SIGUSR1),
    ),
)
def test_a_signal_to_the_group_saves_and_ends_with_status_75(data, tmp_path, method, number):
    chance = random.Random(f"{method} {number}")
    log = tmp_path / "log"
    program = "import sys; from support import preempted; preempted.main(sys.argv[1:])"
    with programs.start(*("-c", program, data, tmp_path / "ck", method, log), warn=["ignore"], session=True) as process:
        said(process.stdout, chance.choice(["ready", f"step {chance.randint(1, 25)}"]))
        time.sleep(chance.uniform(0, 0.5))  # any moment will do
        os.killpg(process.pid, number)
        rest, error = process.stdout.read(), process.stderr.read()
        assert process.wait() == 75, error
    assert rest.splitlines()[-1] == "status 75"
    last = check_life(data, tmp_path / "ck", log, [process.returncode], 0)
    loader = make(data)
    assert Checkpointer(tmp_path / "ck", extra={}, data=loader).restore().step == last
    resumed = list(map(preempted.digest, islice(loader, 30)))
    assert resumed == preempted.expected(data, last + len(resumed))[last:]


# Under torchrun


def preempt(data, folder, log, method, moment, wait, everyone):
    """One life under torchrun: the statuses of its ranks. `everyone`: all processes get the signal, as under SLURM."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", preempted.__file__]
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    with programs.start(*command, data, folder, method, log, env=env, warn=["ignore"], session=True) as agent:
        for _ in range(2):
            said(agent.stdout, moment)
        time.sleep(wait)  # any moment will do
        if everyone:
            for pid in descendants(agent.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(agent.pid, signal.SIGTERM)
        rest, errors = agent.communicate()
    status = [int(line.split()[1]) for line in rest.splitlines() if line.startswith("status")]
    assert len(status) == 2, rest + errors
    return status


def check_torchrun(data, folder, method, moments, seed):
    chance, first = random.Random(seed), 0
    for life, moment in enumerate(moments):
        log = folder / f"log-{life}"
        status = preempt(data, folder / "ck", log, method, moment, chance.uniform(0, 1), chance.random() < 0.5)
        first = check_life(data, folder / "ck", log, status, first, 2)


@pytest.mark.timeout(240)
def test_torchrun_is_preempted(data, tmp_path):
    check_torchrun(data, tmp_path, "fork", ["step 3"], "fork")


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_torchrun_is_preempted_20_times(data, tmp_path, method, say):
    chance = random.Random(method)
    early = ["ready"] if method == "fork" else []  # fork servers may not be up within the 30 seconds of torchrun
    moments = [chance.choice([*early, f"step {chance.randint(1, preempted.SAID)}"]) for _ in range(20)]
    check_torchrun(data, tmp_path, method, moments, method)
    say(f"torchrun, 2 ranks with 2 workers each ({method}): 20 of 20 saved the last step and ended with status 75")
