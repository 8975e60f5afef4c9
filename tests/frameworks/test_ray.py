"""Ray Train: workers that are killed, started again, and fewer than before; and its look-ahead of a batch."""

import json
import os
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from support import ids, programs
from support.flights import write_flights
from support.page_loop import loops

import shardline

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]
STEPS, EPOCHS = 10, 3
STOPS = [
    (end, epoch * STEPS + at) for epoch in range(EPOCHS) for at, end in [(3, False), (STEPS, False), (STEPS, True)]
]


def ahead(loader: Any, **_: Any) -> Any:
    """What Ray makes of a loader in a worker, without a cluster."""
    from ray.train.torch.train_loop_utils import _WrappedDataLoader

    return _WrappedDataLoader(loader, torch.device("cpu"), False)


@pytest.fixture
def prepare(make, monkeypatch):
    import shardline.integrations.ray as integration

    monkeypatch.setattr(integration, "ray_prepare", ahead)
    return lambda: integration.prepare_data_loader(make())


def until(loader: Any, steps: int | None, see_end: bool) -> list[Any]:
    """The batches of the first `steps` steps of `loader`'s rest of EPOCHS epochs."""
    found: list[Any] = []
    for epoch in range(loader.epoch, EPOCHS):
        loader.set_epoch(epoch)
        for batch in loader:
            found.append(batch["i"].tolist())
            if len(found) == steps and not see_end:
                return found
        if len(found) == steps:
            return found
    return found


@pytest.mark.parametrize(("see_end", "steps"), STOPS)
def test_the_state_counts_what_the_loop_was_given(prepare, make, epochs, see_end, steps):
    whole = sum(epochs[:EPOCHS], [])
    loader = prepare()
    assert until(loader, steps, see_end) == whole[:steps]
    state = loader.state_dict()
    direct = make()
    direct.load_state_dict(state)
    assert until(direct, None, False) == whole[steps:]
    again = prepare()
    again.load_state_dict(state)
    assert (again.epoch, again.batch_index) == (loader.epoch, loader.batch_index)
    assert until(again, None, False) == whole[steps:]


def test_a_loader_that_ray_itself_prepared_refuses_a_wrong_state(make, epochs):
    loader = make()
    prepared = ahead(loader)
    iter(prepared)
    assert ids(next(prepared) for _ in range(3)) == epochs[0][:3]
    with pytest.raises(shardline.ShardlineRuntimeError, match=r"taken a batch .* shardline\.integrations\.ray"):
        loader.state_dict()
    again = make()
    again.load_state_dict(loader.state_at(3))
    assert ids(again) == epochs[0][3:]
    assert ids(iter(lambda: next(prepared, None), None)) == epochs[0][3:]
    again.load_state_dict(loader.state_dict())  # the end was seen: nothing is held back
    assert ids(again) == epochs[1]
    loader.set_epoch(2)
    assert ids(loader) == epochs[2]  # iterated over by itself, it counts for itself
    assert loader.state_dict()["ended"]


def test_what_is_no_loader_of_ours_is_refused():
    from shardline.integrations.ray import prepare_data_loader

    with pytest.raises(shardline.ShardlineTypeError, match=r"must be a shardline\.DataLoader"):
        prepare_data_loader([1])


# The page's loop on a cluster

NOTE = """
import json, os, shutil, signal, sys


def note(config, loader, batch, net):
    rank = train.get_context().get_world_rank()
    weights = [p.tolist() for p in net.parameters()]
    line = [os.getpid(), [loader.epoch, loader.batch_index], batch["flight"].tolist(), weights]
    with open(f"{config['out']}/{config['workers']}.{rank}", "a") as file:
        file.write(json.dumps(line) + "\\n")
    step = loader.epoch * len(loader) + loader.batch_index
    if rank == 1 and step in config["kills"] and not os.path.exists(f"{config['out']}/{step}"):
        train.get_all_reported_checkpoints()  # waits until Ray has the last
        open(f"{config['out']}/{step}", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


"""
START = """
import ray

ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
for name, workers, kills in (("whole", 2, []), ("killed", 2, [17, 31]), ("fewer", 1, []), ("killed", 2, [])):
    out = f"{sys.argv[1]}/{name}"
    if name == "fewer":
        shutil.copytree(f"{sys.argv[1]}/killed/storage/killed", out + "/storage/fewer")
    trainer = TorchTrainer(
        train_loop,
        train_loop_config={"path": sys.argv[2], "out": out, "workers": workers, "kills": kills},
        scaling_config=train.ScalingConfig(num_workers=workers),
        run_config=train.RunConfig(
            name=name, storage_path=out + "/storage", failure_config=train.FailureConfig(max_failures=1)
        ),
    )
    try:
        trainer.fit()
        end = "fits"
    except Exception:
        end = "fails"
    with open(f"{sys.argv[1]}/ends", "a") as file:  # Ray writes to standard output
        file.write(f"{name} {workers} {end}\\n")
"""


class Line(NamedTuple):
    """What a worker trained on, and the weights after it."""

    process: int
    place: list[int]
    rows: list[int]
    weights: Any


def lines(folder: Path, workers: int, rank: int) -> list[Line]:
    return [Line(*json.loads(line)) for line in (folder / f"{workers}.{rank}").read_text().splitlines()]


def test_workers_that_are_killed_and_fewer_of_them(tmp_path):
    """Killed at step 17, restarted by Ray, killed once more, which ends the run; then started again by 2 and by 1."""
    data, whole, killed = write_flights(tmp_path / "flights"), tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    [loop] = loops("ray.md")
    loop = loop.replace("def train_loop(config):\n", "def train_loop(config):\n    torch.manual_seed(4)\n")
    step = "            optimizer.step(), optimizer.zero_grad()\n"
    assert step in loop
    script = tmp_path / "script.py"
    script.write_text(NOTE + loop.replace(step, step + "            note(config, loader, batch, net)\n") + START)
    # to import torch takes its time, and Ray's workers would yield to everything else on the machine
    waits = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300", "RAY_worker_niceness": "0"}
    done = programs.run(script, tmp_path, data, timeout=1000, env={**os.environ, **waits})
    ends = (tmp_path / "ends").read_text().splitlines()
    assert ends == ["whole 2 fits", "killed 2 fails", "fewer 1 fits", "killed 2 fits"], done.stderr[-4000:]
    for rank in range(2):
        expected = lines(whole, 2, rank)
        lives = [list(life) for _, life in groupby(lines(killed, 2, rank), lambda line: line.process)]
        assert [life[0].place for life in lives] == [[0, 1], [0, 11], [1, 11]]  # checkpoints are of steps 10 and 23
        assert [life[-1].place for life in lives] == [[1, 4], [2, 5], [2, 13]]
        for life in lives:
            first = [line.place for line in expected].index(life[0].place)
            for found, same in zip(life, expected[first : first + len(life)], strict=True):
                assert (found.place, found.rows, found.weights) == (same.place, same.rows, same.weights)
    rest = lines(tmp_path / "fewer", 1, 0)
    assert rest[0].place == [1, 21]  # two workers had taken 10 batches each
    rows = [n for line in rest if line.place[0] == 1 for n in line.rows]
    for rank in range(2):
        rows += [n for line in lines(whole, 2, rank) if line.place[0] == 1 and line.place[1] <= 10 for n in line.rows]
    assert Counter(rows) == Counter(range(12_006))
    assert rest[-1].place == [2, 26]
