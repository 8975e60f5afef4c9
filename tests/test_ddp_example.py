"""examples/ddp.py: one rank killed, all restarted by torchrun, and the weights are those of a run without it."""

import sys
from pathlib import Path

import torch
from support.job import run_group

SCRIPT = Path(__file__).parents[1] / "examples" / "ddp.py"


def run(data, out, *more):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    command += [str(SCRIPT), "--data", str(data), "--out", str(out), *more]
    done = run_group(command, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, torch.load(out / "model.pt", weights_only=True)


def test_killed_and_restarted_by_torchrun(tmp_path):
    text, killed = run(tmp_path / "data", tmp_path / "killed", "--kill-at-step", "87")
    assert "step 80: the data goes on in its leg" in text
    text, whole = run(tmp_path / "data", tmp_path / "whole")
    assert "goes on" not in text
    assert killed["step"] == whole["step"]
    for name, value in whole["model"].items():
        assert torch.equal(value, killed["model"][name]), name
