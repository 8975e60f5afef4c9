"""examples/predict.py: killed with two ranks, finished by one, and each file's predictions are those of its rows."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import programs

from ddp import make_data

SCRIPT = Path(__file__).parents[1] / "examples" / "predict.py"


@pytest.mark.timeout(300)  # four processes import torch
def test_killed_with_two_ranks_and_finished_by_one(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    make_data(data, files=3, rows=2_500)
    options = [str(SCRIPT), "--data", str(data), "--out", str(out), "--every", "7"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    job = subprocess.Popen(
        [*launcher, *options, "--num-workers", "2"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )
    saved = (line for line in job.stdout if line.startswith("step 21"))
    assert next(saved, None), "it ended before it had saved"
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    assert not (out / "predictions").exists()

    done = programs.run(*options, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 1)
    names = sorted(path.name for path in data.iterdir())
    assert sorted(path.name for path in (out / "predictions").iterdir()) == names
    for name in names:
        features = np.stack(pq.read_table(data / name)["features"].to_numpy())
        with torch.no_grad():
            wanted = model(torch.from_numpy(features)).squeeze(1).numpy()
        found = pq.read_table(out / "predictions" / name)["prediction"].to_numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
