"""A training that saves to a store, and the store, killed at random: always a checkpoint, the last manifest's.

A few times by a store of these tests, and 100 times by a real server.
"""

import os
import random
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from support import lives, servers, write_rows
from support.bucket import KeptStore, WritableStore, environ
from support.manifests import last

from demo import same

ROWS = [[60, 100], [160], [90, 70], [80, 80]]  # 640 rows: 80 batches an epoch


class Place:
    """A store with a process that trains there. `url`, `run`, and what lies there by `last`."""

    def __init__(self, server, url, objects):
        self.run, self.url, self._objects = server.run, url, objects

    def last(self, prefix):
        return last(self._objects(prefix), prefix)


@contextmanager
def place_of(environ, url, objects):
    server = lives.Server(environ)
    try:
        yield Place(server, url, objects)
    finally:
        server.close()


@pytest.fixture(scope="module")
def own():
    with WritableStore() as store, place_of(store.environ, "s3://bucket", lambda prefix: dict(store.objects)) as place:
        yield place


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory):
    with (
        servers.seaweed(tmp_path_factory.mktemp("seaweed"), volumes=200) as server,
        place_of(server.environ, "s3://laws", lambda prefix: servers.objects(server, prefix + "/")) as place,
    ):
        yield place


def check_kills(place, tmp_path, kills, seed, span, setting):
    """How many trainings it took."""
    data = write_rows(tmp_path / "data", ROWS)

    def live(prefix, log, wait=None):
        args = (str(data), f"{place.url}/{prefix}", str(log), asdict(setting))
        return place.run(lives.live, *args, kill_after=wait)

    whole = f"whole-{seed}"
    assert live(whole, tmp_path / "log")[-1] == "done"
    reference = {(epoch, index): rest for epoch, index, *rest in lives.lines(tmp_path / "log")}
    assert len(reference) == 3 * 80
    chance, killed, run = random.Random(seed), 0, 0
    while killed < kills:
        run, life, taken, done = run + 1, 0, set(), False
        prefix = f"killed-{seed}-{run}"
        while not done:
            life, log, there = life + 1, tmp_path / f"log-{run}-{life}", place.last(prefix)
            said = live(prefix, log, chance.uniform(0, span) if killed < kills else None)
            done = said[-1] == "done"
            assert said[0] == (there[0]["step"] if there else 0), "the last manifest's"
            killed += not done
            for epoch, index, *rest in lives.lines(log):
                assert rest == reference[epoch, index], (run, life, epoch, index)
                taken.add((epoch, index))
        assert taken == set(reference)
        expected, found = place.last(whole), place.last(prefix)
        assert found[0]["step"] == expected[0]["step"]
        assert same(found[1], expected[1])
    return run


@pytest.mark.parametrize("blocking", [True, False])
def test_the_training_killed(own, tmp_path, blocking):
    check_kills(own, tmp_path, 2, 11 + blocking, 1.5, lives.Setting(save_every=8, blocking=blocking))


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("blocking", [True, False])
def test_the_training_killed_100_times(seaweed, tmp_path, blocking, say):
    setting = lives.Setting(save_every=8, blocking=blocking)
    runs = check_kills(seaweed, tmp_path, 100, 13 + blocking, 2.0, setting)
    say(f"killed 100 times in {runs} trainings of 30 saves, {blocking=}: all equal to the one that never was")


class KilledStore:
    """A store of these tests in a process of its own, killed and begun again."""

    url = "s3://bucket/run"

    def __init__(self, folder):
        self.folder, (self.port,) = folder, servers.free_ports(1)
        self.environ = environ(f"http://127.0.0.1:{self.port}")
        self.begin()

    def begin(self):
        command = [sys.executable, "-m", "support.bucket", str(self.folder), str(self.port)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout.readline() == "ready\n"

    def begin_again(self):
        self.end()
        self.begin()

    def end(self):
        self.process.kill()
        self.process.communicate()

    def last(self):
        with KeptStore(self.folder, 0) as kept:
            return last(kept.objects, "run")


class KilledWeed(servers.Weed):
    """The same of a real server."""

    url = "s3://laws/run"

    def __init__(self, folder):
        super().__init__(folder)
        self.server = self.ready()
        self.environ = self.server.environ

    def last(self):
        return last(servers.objects(self.server, "run/"), "run")


def check_server_kills(store, kills, seed):
    """Whatever of the two is killed: each save that returned is there, and nothing but what was saved."""
    server, chance, saved = lives.Server(store.environ), random.Random(seed), 0
    try:
        for _ in range(kills):
            said = server.run(lives.save_through_faults, store.url, store.process.pid, chance.uniform(0.1, 0.5))
            restored, there, weights, skipped = said[0]
            assert restored >= saved
            assert (skipped, weights) == ([], [restored if there else 0])
            saved = max([saved, restored, *said[1:]])
            store.begin_again()
        manifest, states = store.last()
    finally:
        server.close()
        store.end()
    assert manifest["step"] >= saved > 0
    assert set(states["model.pt"]["weight"].flatten().tolist()) == {manifest["step"]}
    return saved


def test_the_store_killed(tmp_path):
    check_server_kills(KilledStore(tmp_path), 2, 3)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("store", [KilledStore, KilledWeed])
def test_the_store_killed_100_times(tmp_path, store, say):
    saved = check_server_kills(store(tmp_path), 100, 4)
    say(f"{store.__name__} killed 100 times: {saved} saves, each there afterwards")
