"""examples/slurm.sbatch and examples/k8s-job.yaml: interrupted as the scheduler does it, and started again.

The files' own commands run, in real processes. `srun` and `scontrol` are stand-ins: tests/support/slurm.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import programs

from ddp import make_data

ROOT = Path(__file__).parents[1]
EXAMPLES, STANDINS = ROOT / "examples", ROOT / "tests" / "support" / "slurm"
SBATCH, JOB = EXAMPLES / "slurm.sbatch", EXAMPLES / "k8s-job.yaml"
SCRIPT = EXAMPLES / "preemptible.py"
ROWS, BATCH, EPOCHS = 20_000, 64, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    make_data(folder := tmp_path_factory.mktemp("schedulers") / "data")
    return folder


@pytest.fixture
def env(tmp_path):
    """Where `python` is this one, and `srun` and `scontrol` are found."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    path = os.pathsep.join([str(python.parent), str(STANDINS), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


class Life:
    """A job that was started. It stands still when nobody reads what it says: a signal never comes too late."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, pipesize=4096, text=True, start_new_session=True, **options
        )
        self.lines = []

    def until(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if match := re.match(pattern, line):
                return match
        raise AssertionError(f"it ended before it said {pattern}: {self.lines}")

    def end(self):
        """The exit status; all that it said is then in `lines`."""
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            for pid in programs.descendants(self.process.pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def steps(lines):
    """What it said of each step: its number, and the loss to the last bit."""
    return [line for line in lines if line.startswith("step ")]


def never_stopped(data, out, ranks=1):
    """The same, of a run that is left alone."""
    return steps(programs.run_ranks(ranks, SCRIPT, "--data", data, "--out", out)[0].splitlines())


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


# SLURM


def test_the_batch_script_is_well_formed():
    assert subprocess.run(["bash", "-n", SBATCH], check=False).returncode == 0
    first, *rest = SBATCH.read_text().splitlines()
    assert first == "#!/bin/bash"
    head = [line for line in rest if line.startswith("#SBATCH")]
    assert head == rest[: len(head)], "sbatch reads no further than the first line of another kind"
    options = dict(re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line).groups() for line in head)
    assert options["signal"] == "B:USR1@120"
    assert options["open-mode"] == "append"
    assert "requeue" in options
    assert set(options) <= {"job-name", "ntasks", "cpus-per-task", "time", "signal", "requeue", "open-mode", "output"}


TIME_LIMIT, PREEMPTED = "before the time limit", "preempted"


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("ranks", "stops"),
    [(1, [TIME_LIMIT]), pytest.param(2, [PREEMPTED, TIME_LIMIT, PREEMPTED], marks=pytest.mark.long)],
    ids=["1 task", "2 tasks"],
)
def test_slurm_signals_requeues_and_continues(data, tmp_path, env, ranks, stops):
    requeued, lines, before = tmp_path / "requeued", [], 0
    env |= {"SLURM_JOB_ID": str(free_port()), "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NTASKS": str(ranks)}
    env["REQUEUED"] = str(requeued)
    for stop in [*stops, None]:
        with Life(["bash", SBATCH, data, tmp_path / "ck"], env=env, cwd=EXAMPLES) as life:
            tasks = map(int, life.until("tasks (.+)").group(1).split())
            life.until("step ")  # a step of all ranks
            if stop == TIME_LIMIT:  # `--signal=B:USR1`: to the batch script only
                os.kill(life.process.pid, signal.SIGUSR1)
            elif stop == PREEMPTED:  # to every process of the job step, and not to the batch script
                for pid in tasks:
                    os.killpg(pid, signal.SIGTERM)
            assert life.end() == (75 if stop else 0)
        lines += steps(life.lines)
        assert before < len(lines), "each life took a step"
        before = len(lines)
    assert requeued.read_text().split() == [env["SLURM_JOB_ID"]] * len(stops)
    assert lines == never_stopped(data, tmp_path / "whole", ranks)
    assert len(lines) == EPOCHS * -(-ROWS // (ranks * BATCH))


# Kubernetes


def job():
    return yaml.safe_load(JOB.read_text())


def test_the_job_is_well_formed():
    spec = job()["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert (job()["apiVersion"], job()["kind"]) == ("batch/v1", "Job")
    assert pod["restartPolicy"] == "Never", "podFailurePolicy asks for it"
    assert spec["podReplacementPolicy"] == "Failed", "the one value that podFailurePolicy allows"
    rules = spec["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore"]
    assert rules[0]["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [75]}
    assert rules[1]["onPodConditions"] == [{"type": "DisruptionTarget"}]
    assert pod["terminationGracePeriodSeconds"] > 30
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert "sh" not in container["command"][0], "a shell as process 1 keeps TERM for itself"


@pytest.mark.timeout(200)
def test_a_pod_is_ended_and_replaced(data, tmp_path, env):
    spec = job()["spec"]
    [container] = spec["template"]["spec"]["containers"]
    places = {"/data": str(data), "/checkpoints": str(tmp_path / "ck"), "/app/preemptible.py": str(SCRIPT)}
    command = [places.get(word, word) for word in container["command"] + container["args"]]
    lives = []
    for stop in (True, False):
        with Life(command, env=env) as life:
            if stop:
                life.until("step 20 ")
                os.kill(life.process.pid, signal.SIGTERM)
            status = life.end()
            lives.append(life.lines)
        assert status == (75 if stop else 0)
        ignored = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
        assert (status in ignored) == stop, "a pod is replaced, and it does not count as a failure"
    assert 20 <= len(lives[0]) < EPOCHS * -(-ROWS // BATCH)
    assert lives[0] + lives[1] == never_stopped(data, tmp_path / "whole")
    assert len(lives[0] + lives[1]) == EPOCHS * -(-ROWS // BATCH)
