"""examples/ddp.py: one rank killed, all restarted by torchrun, and the weights are those of a run without it."""

import os
from pathlib import Path

import pytest
from support import programs

from demo import final_states, same

SCRIPT = Path(__file__).parents[1] / "examples" / "ddp.py"


def run(ranks, data, out, *more):
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--max-restarts=2"]
    command += [SCRIPT, "--data", data, "--out", out, "--save-every", 40, *more]
    done = programs.run(*command, env={**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, final_states(out)


@pytest.mark.timeout(400)  # torchrun's ranks import torch, twice
@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.long)])
def test_killed_and_restarted_by_torchrun(tmp_path, ranks):
    kill_at, saved = (87, 80) if ranks == 2 else (48, 40)
    text, killed = run(ranks, tmp_path / "data", tmp_path / "killed", "--kill-at-step", str(kill_at))
    assert f"step {saved}: the data goes on in its leg" in text
    arguments = ["--data", tmp_path / "data", "--out", tmp_path / "whole", "--save-every", 40]
    assert not any("goes on" in text for text in programs.run_ranks(ranks, SCRIPT, *arguments))
    whole = final_states(tmp_path / "whole")
    assert set(whole) == {"model", "optimizer", "data", *(f"rng_{rank}" for rank in range(ranks))}
    assert same(killed, whole)
