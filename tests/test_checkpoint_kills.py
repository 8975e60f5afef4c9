"""Killed at random moments, in a save too: the run that goes on is the run that was never stopped, bit for bit."""

import itertools
import json
import os
import random
from pathlib import Path

import pytest
import torch
from support import lives

from demo import same

ROWS = [[60, 100], [160], [90, 70], [80, 80]]  # 640 rows: 80 batches an epoch


def whole_run(data, folder, setting):
    """An uninterrupted run, in a process of its own."""
    assert lives.live(data, folder / "ck", setting, folder / "log", None)
    return lives.lines(folder / "log")


def final(folder: Path):
    """Everything in the last checkpoint, read with torch and json alone."""
    [last] = [path for path in folder.glob("ck/step-*") if json.loads((path / "manifest.json").read_text())["epoch"] == 3]
    states = {path.name: torch.load(path, weights_only=True) for path in last.glob("*.pt")}
    return {**states, "data": json.loads((last / "data.json").read_text())}


def check_kills(data, tmp_path, setting, kills, seed, span):
    """A run killed so many times equals one that never was; returns how often it was killed in the midst of a save."""
    (whole := tmp_path / "whole").mkdir()
    reference = {(epoch, index): rest for epoch, index, *rest in whole_run(data, whole, setting)}
    assert len(reference) == 3 * 80
    chance, in_saves, killed = random.Random(seed), 0, 0
    for run in itertools.count():
        (folder := tmp_path / f"killed-{run}").mkdir()
        taken = set()
        for life in itertools.count():
            log = folder / f"log-{life}"
            wait = chance.uniform(0, span) if killed < kills else None
            done = lives.live(data, folder / "ck", setting, log, wait)
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
            return in_saves


SETTINGS = [lives.Setting(scaler, accumulate) for scaler in (False, True) for accumulate in (1, 4)]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_killed_at_random_moments(rows, tmp_path, setting):
    check_kills(rows(ROWS), tmp_path, setting, 5, 1, 0.3)


def test_killed_while_it_saves_in_the_background(rows, tmp_path):
    check_kills(rows(ROWS), tmp_path, lives.Setting(save_every=2, blocking=False), 5, 2, 0.3)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("setting", [*SETTINGS, lives.Setting(blocking=False)], ids=str)
def test_killed_at_50_random_moments(rows, tmp_path, setting):
    assert check_kills(rows(ROWS), tmp_path, setting, 50, 3, 0.3) > 0


def check_saves(folder, kills, seed):
    """However often a process is killed while it saves: what is restored is whole, and not older than what was saved."""
    chance, saved, in_saves = random.Random(seed), 0, 0
    for _ in range(kills):
        (step, restored, weights, skipped), last = lives.save_and_kill(folder, chance.uniform(0, 0.05))
        assert step >= saved
        assert restored == (step > 0)
        assert weights == {float(step)}
        assert skipped == ()
        saved = max(step, last)
        in_saves += any(path.name.startswith(".unfinished") for path in folder.glob(".*"))
        assert len(os.listdir(folder)) <= 8, "what was not finished is removed"
    return in_saves


def test_killed_while_saving(tmp_path):
    assert check_saves(tmp_path / "ck", 50, 1) > 0


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_killed_while_saving_1000_times(tmp_path):
    assert check_saves(tmp_path / "ck", 1000, 2) > 0
