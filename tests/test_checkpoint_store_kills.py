"""A training that saves to a store, and the store, killed at random: always a checkpoint, the last manifest's."""

import io
import json
import os
import random
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from support import lives, write_rows
from support.bucket import KeptStore, WritableStore, environ
from support.servers import free_ports

from demo import same

ROWS = [[60, 100], [160], [90, 70], [80, 80]]  # 640 rows: 80 batches an epoch
SETTING = lives.Setting(save_every=8)


@pytest.fixture(scope="module")
def store():
    with WritableStore() as one:
        yield one


@pytest.fixture(scope="module")
def server(store):
    one = lives.Server(store.environ)
    yield one
    one.close()


def last(objects, prefix):
    """The newest manifest's folder, and all of it, read with torch and json alone."""
    manifests = {key: json.loads(data) for key, data in objects.items() if key.startswith(prefix + "/step-")
                 and key.endswith("/manifest.json")}  # fmt: skip
    folder = max(manifests, key=lambda key: manifests[key]["serial"]).removesuffix("manifest.json")
    states = {
        key.removeprefix(folder): torch.load(io.BytesIO(data), weights_only=True)
        for key, data in objects.items()
        if key.startswith(folder) and key.endswith(".pt")
    }
    return manifests[folder + "manifest.json"], states


def check_kills(server, store, tmp_path, kills, seed, span, setting=SETTING):
    data = write_rows(tmp_path / "data", ROWS)

    def live(prefix, log, wait=None):
        args = (str(data), f"s3://bucket/{prefix}", str(log), asdict(setting))
        return server.run(lives.live, *args, kill_after=wait)[-1] == "done"

    whole = f"whole-{seed}"
    assert live(whole, tmp_path / "log")
    reference = {(epoch, index): rest for epoch, index, *rest in lives.lines(tmp_path / "log")}
    assert len(reference) == 3 * 80
    chance, killed, run = random.Random(seed), 0, 0
    while killed < kills:
        run, life, taken, done = run + 1, 0, set(), False
        while not done:
            life, log = life + 1, tmp_path / f"log-{run}-{life}"
            done = live(f"killed-{seed}-{run}", log, chance.uniform(0, span) if killed < kills else None)
            killed += not done
            for epoch, index, *rest in lives.lines(log):
                assert rest == reference[epoch, index], (run, life, epoch, index)
                taken.add((epoch, index))
        assert taken == set(reference)
        expected, found = last(store.objects, whole), last(store.objects, f"killed-{seed}-{run}")
        assert found[0]["step"] == expected[0]["step"]
        assert same(found[1], expected[1])


@pytest.mark.parametrize("blocking", [True, False])
def test_the_training_killed(server, store, tmp_path, blocking):
    check_kills(server, store, tmp_path, 2, 11 + blocking, 1.5, lives.Setting(save_every=8, blocking=blocking))


@pytest.mark.long
def test_the_training_killed_100_times(server, store, tmp_path):
    check_kills(server, store, tmp_path, 100, 13, 2.0)


class KilledServer:
    """A store in a process of its own, killed and begun again."""

    def __init__(self, folder):
        self.folder, (self.port,) = folder, free_ports(1)
        self.begin()

    def begin(self):
        command = [sys.executable, "-m", "support.bucket", str(self.folder), str(self.port)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.communicate()


def check_server_kills(tmp_path, kills, seed):
    """Whatever of the two is killed: each save that returned is there, and nothing but what was saved."""
    (folder := tmp_path / "kept").mkdir()
    bucket = KilledServer(folder)
    server, chance, saved = lives.Server(environ(f"http://127.0.0.1:{bucket.port}")), random.Random(seed), 0
    try:
        for _ in range(kills):
            said = server.run(
                lives.save_through_faults, "s3://bucket/run", bucket.process.pid, chance.uniform(0.1, 0.5)
            )
            restored, there, weights, skipped = said[0]
            assert restored >= saved
            assert (skipped, weights) == ([], [restored if there else 0])
            saved = max([saved, restored, *said[1:]])
            bucket.kill()
            bucket.begin()
    finally:
        server.close()
        bucket.kill()
    with KeptStore(folder, 0) as kept:
        manifest, states = last(kept.objects, "run")
        assert manifest["step"] >= saved > 0
        assert set(states["model.pt"]["weight"].flatten().tolist()) == {manifest["step"]}


def test_the_store_killed(tmp_path):
    check_server_kills(tmp_path, 2, 3)


@pytest.mark.long
def test_the_store_killed_100_times(tmp_path):
    check_server_kills(tmp_path, 100, 4)
