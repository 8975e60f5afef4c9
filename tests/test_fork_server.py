"""Workers and their fork server: a signal of the job may end it at any time, and the workers go on."""

import multiprocessing
import os
import signal
import threading
import time
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path

import pytest
from support import functions as f
from support import write_rows
from support.programs import lives, wait_for_end
from support.worked import epochs, make, plain

from shardline.workers import pool

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("fork-server") / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture(scope="module")
def expected(data):
    return epochs(make(data), 3)


def server() -> int:
    pid = forkserver._forkserver._forkserver_pid
    assert pid is not None
    return pid


def workers(loader):
    return [worker.process.pid for worker in loader._pool._workers]


class Begun:
    """A loader whose workers were started, and what it has delivered."""

    def __init__(self, data, count, transform, **options):
        self.loader = make(data, 2, "forkserver", transform=transform, persistent_workers=True, **options)
        self.iterator = iter(self.loader)
        self.found = list(islice(self.iterator, count))
        self.workers = workers(self.loader)


@pytest.fixture(scope="module")
def without_server(data, expected, tmp_path_factory):
    """Three loaders whose fork server has ended: all is well, a worker is about to die, the workers are stuck."""
    folder = tmp_path_factory.mktemp("without-server")
    held = f.Held(folder / "go on", expected[0][3]["i"][3][0])
    dying = f.Held(folder / "die", expected[0][9]["i"][3][0])
    stuck = f.Held(folder / "never")
    begun = {
        "well": Begun(data, 3, held),
        "dying": Begun(data, 9, dying),
        "stuck": Begun(data, 1, stuck, shuffle=False),
    }
    ended = server()
    os.kill(ended, signal.SIGTERM)
    wait_for_end(ended)
    yield begun
    for path in (held.path, dying.path, stuck.path):
        path.touch()


def test_workers_outlive_their_fork_server(without_server, expected, monkeypatch):
    monkeypatch.setattr(pool, "_SLICE", 0.01)  # every wait looks whether all workers live
    monkeypatch.setattr(pool, "_JOIN", 50.0)
    begun = without_server["well"]
    loader, pids = begun.loader, begun.workers
    found = [batch["i"].tolist() for batch in begun.found]
    later = threading.Timer(2.5, loader.dataset._context.settings.transform.path.touch)
    later.start()  # a worker looks every second whether the training lives
    found += [batch["i"].tolist() for batch in begun.iterator]
    found += [batch["i"].tolist() for batch in loader]
    later.join()
    assert found == [batch["i"][3] for batch in expected[0] + expected[1]]
    assert workers(loader) == pids
    start = time.monotonic()
    loader._pool.close()
    assert time.monotonic() - start < pool._JOIN, "nothing was waited for"
    for pid in pids:
        wait_for_end(pid)


def test_a_worker_that_dies_after_its_fork_server_is_found(without_server, data):
    begun = without_server["dying"]
    os.kill(begun.workers[1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="worker 1 .* died on batch 9 of epoch 0"):
        next(begun.iterator)
    assert begun.loader.state_dict() == make(data).state_at(9)


def test_a_stuck_worker_without_a_fork_server_is_killed(without_server, monkeypatch):
    monkeypatch.setattr(pool, "_JOIN", 0.1)
    begun = without_server.pop("stuck")
    pids = begun.workers
    del begun
    for pid in pids:
        wait_for_end(pid)


def test_a_stuck_worker_is_killed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_JOIN", 0.1)
    iterator = iter(make(data, 2, "fork", transform=f.Held(tmp_path / "never"), shuffle=False))
    next(iterator)
    pids = [child.pid for child in multiprocessing.active_children()]
    del iterator
    assert not any(map(lives, pids))


def test_a_fork_server_that_ends_while_it_is_asked_for_a_worker(data, expected, monkeypatch):
    """A new one is started."""
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
