"""The demo in small: the whole of it, its proof against runs that do differ, and kills at chosen steps."""

import signal
import subprocess
from pathlib import Path

import pytest
import torch
from support import programs

import demo

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = ["--files", "3", "--rows", "20000"]


def run(script: str, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = programs.run(EXAMPLES / script, *args)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flights") / "data"
    assert "written" in run("flights.py", "data", "--data", path, *SMALL).stdout
    assert "was there" in run("flights.py", "data", "--data", path, *SMALL).stdout
    return path


def train(data: Path, out: Path, *more: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    small = ["--epochs", 2, "--batch-size", 512, "--save-every", 7, "--quiet"]
    return run("flights.py", "train", "--data", data, "--out", out, *small, *more, check=check)


def test_demo_end_to_end(tmp_path: Path) -> None:
    done = run("demo.py", "--dir", tmp_path, *SMALL, "--batch-size", 256, "--save-every", 10)
    assert "equals the uninterrupted one" in done.stdout
    assert "killed" in done.stdout
    assert "steps/s" in done.stderr  # the progress bar


def test_killed_again_and_again(data: Path, tmp_path: Path) -> None:
    """Before the first checkpoint, on one, just after one, at an epoch's last step and at the next one's first."""
    train(data, tmp_path / "whole")
    [reference] = demo.steps_in(tmp_path / "whole")
    steps = sum(s.epoch == 0 for s in reference)
    assert len(reference) == 2 * steps == 80
    kills = [3, 13, 14, steps - 1, steps, 2 * steps - 2]
    for step in kills:
        done = train(data, tmp_path / "killed", "--kill-at-step", step, check=False)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    train(data, tmp_path / "killed")
    runs = demo.steps_in(tmp_path / "killed")
    assert len(runs) == len(kills) + 1
    assert demo.differences(reference, runs) == []
    whole, killed = (demo.final_states(tmp_path / out) for out in ("whole", "killed"))
    assert set(whole) == {"model", "optimizer", "scheduler", "rng_0", "data"}
    assert demo.same(whole, killed)


def test_trained_to_the_end_does_nothing_more(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path)
    train(data, tmp_path)
    first, second = demo.steps_in(tmp_path)
    assert len(first) == 80
    assert second == []


def test_the_proof_sees_what_differs() -> None:
    steps = [demo.flights.Step(e, i, 10, f"{e}.{i}", "0x1p0") for e in range(2) for i in range(5)]
    assert demo.differences(steps, [steps[:6], steps[4:]]) == []
    assert demo.coverage(steps, 2, 50) == []

    other = steps[7]._replace(sha256="other")
    assert "epoch 1, step 2" in demo.differences(steps, [steps[:6], [*steps[4:7], other, *steps[8:]]])[0]
    assert "other" in demo.differences(steps, [steps[:6], [*steps[4:7], other, *steps[8:]]])[0]
    other = steps[7]._replace(loss="0x1p1")
    assert len(demo.differences(steps, [[*steps[:7], other, *steps[8:]]])) >= 1
    assert demo.differences(steps, [steps[:6], steps[7:]]) == ["epoch 1, step 1: never taken"]
    assert "not in order" in demo.differences(steps, [steps[:6], [*steps[4:], steps[9]]])[0]
    assert demo.coverage(steps, 2, 51) == [f"epoch {e} delivered 50 of 51 rows" for e in range(2)]
    assert len(demo.coverage([*steps[:9], steps[0]._replace(epoch=1)], 2, 50)) == 1


def test_equal_is_bit_for_bit() -> None:
    assert demo.same({"a": [torch.tensor([0.0, float("nan")]), 1]}, {"a": [torch.tensor([0.0, float("nan")]), 1]})
    assert not demo.same(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not demo.same(torch.tensor([0]), torch.tensor([0.0]))
    assert not demo.same({"a": 1}, {"a": True})
    assert not demo.same({"a": 1}, {"b": 1})
    assert not demo.same([1], [1, 1])
