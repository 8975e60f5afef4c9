"""Killed at random moments, in a save too: the run that goes on is the run that was never stopped, bit for bit."""

import itertools
import json
import random
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from support import lives

from demo import same

ROWS = [[60, 100], [160], [90, 70], [80, 80]]  # 640 rows: 80 batches an epoch


@pytest.fixture
def memory(tmp_path):
    """A folder in memory where there is one: a kill loses nothing that was written, synced to a disk or not."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="shardline-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server():
    one = lives.Server()
    yield one
    one.close()


def live(server, data, folder, log, setting, wait=None):
    """One life, killed after `wait` seconds; whether it came to its end."""
    said = server.run(lives.live, str(data), str(folder / "ck"), str(log), asdict(setting), kill_after=wait)
    return said[-1] == "done"


def final(folder: Path):
    """Everything in the last checkpoint, read with torch and json alone."""
    [last] = [
        path for path in folder.glob("ck/step-*") if json.loads((path / "manifest.json").read_text())["epoch"] == 3
    ]
    states = {path.name: torch.load(path, weights_only=True) for path in last.glob("*.pt")}
    return {**states, "data": json.loads((last / "data.json").read_text())}


def check_kills(server, data, tmp_path, setting, kills, seed, span):
    """A run killed so many times equals one that never was; returns how often it was killed in the midst of a save."""
    (whole := tmp_path / "whole").mkdir()
    assert live(server, data, whole, whole / "log", setting)
    reference = {(epoch, index): rest for epoch, index, *rest in lives.lines(whole / "log")}
    assert len(reference) == 3 * 80
    chance, in_saves, killed = random.Random(seed), 0, 0
    for run in itertools.count():
        (folder := tmp_path / f"killed-{run}").mkdir()
        taken = set()
        for life in itertools.count():
            log = folder / f"log-{life}"
            wait = chance.uniform(0, span) if killed < kills else None
            done = live(server, data, folder, log, setting, wait)
            steps = lives.lines(log)
            places = [(epoch, index) for epoch, index, *_ in steps]
            assert places == sorted(places)
            for epoch, index, *rest in steps:
                assert rest == reference[epoch, index], (run, life, epoch, index)
            taken.update(places)
            if done:
                break
            killed += 1
            in_saves += any(path.name.startswith(".unfinished") for path in folder.glob("ck/.*"))
        assert taken == set(reference)
        assert same(final(whole), final(folder))
        if killed >= kills:
            break
    return in_saves


SETTINGS = [lives.Setting(scaler, accumulate) for scaler in (False, True) for accumulate in (1, 4)]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_killed_at_random_moments(server, rows, memory, setting):
    check_kills(server, rows(ROWS), memory, setting, 5, 1, 0.2)


def test_killed_while_it_saves_in_the_background(server, rows, memory):
    check_kills(server, rows(ROWS), memory, lives.Setting(save_every=2, blocking=False), 5, 2, 0.2)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("setting", [*SETTINGS, lives.Setting(blocking=False)], ids=str)
def test_killed_at_50_random_moments(server, rows, memory, setting):
    assert check_kills(server, rows(ROWS), memory, setting, 50, 3, 0.2) > 0


def check_saves(server, folder, kills, seed):
    """A process is killed while it saves: what is restored is whole, and not older than what was saved."""
    chance, saved, in_saves = random.Random(seed), 0, 0
    for _ in range(kills):
        wait = chance.uniform(0, 0.05)
        (step, restored, weights, skipped), *steps = server.run(lives.save_for_ever, str(folder), kill_after=wait)
        assert step >= saved
        assert restored == (step > 0)
        assert weights == [float(step)]
        assert skipped == []
        saved = max([step, *steps])
        in_saves += any(path.name.startswith(".unfinished") for path in folder.glob(".*"))
        assert len(list(folder.glob("*"))) <= 8, "what was not finished is removed"
    return in_saves


def test_killed_while_saving(server, memory):
    assert check_saves(server, memory / "ck", 50, 1) > 0


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_killed_while_saving_1000_times(server, memory):
    assert check_saves(server, memory / "ck", 1000, 2) > 0
