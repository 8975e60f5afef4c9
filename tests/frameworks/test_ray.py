"""Ray Train: workers that are killed, started again, and fewer than before; and its look-ahead of a batch."""

import json
from collections import Counter
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
import json, os, signal, sys

PATH, OUT, WORKERS, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def note(loader, batch, net):
    rank = train.get_context().get_world_rank()
    with open(f"{OUT}/{WORKERS}.{rank}", "a") as file:
        weights = [p.tolist() for p in net.parameters()]
        line = [os.getpid(), [loader.epoch, loader.batch_index], batch["flight"].tolist(), weights]
        file.write(json.dumps(line) + "\\n")
    at = loader.epoch * len(loader) + loader.batch_index
    for kill in KILLS:
        if at == kill and rank == WORKERS - 1 and not os.path.exists(f"{OUT}/killed-{kill}"):
            train.get_all_reported_checkpoints()  # waits until Ray has the last
            open(f"{OUT}/killed-{kill}", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

"""
START = """
import ray
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
failures = train.FailureConfig(max_failures=1)
TorchTrainer(
    train_loop,
    train_loop_config={"path": PATH},
    scaling_config=train.ScalingConfig(num_workers=WORKERS),
    run_config=train.RunConfig(name="flights", storage_path=OUT + "/storage", failure_config=failures),
).fit()
"""


def run(folder: Path, data: Path, workers: int, kills: list[int]) -> Any:
    [loop] = loops("ray.md")
    step = "            optimizer.step(), optimizer.zero_grad()\n"
    assert step in loop
    script = folder / "script.py"
    folder.mkdir(exist_ok=True)
    loop = loop.replace("def train_loop(config):\n", "def train_loop(config):\n    torch.manual_seed(4)\n")
    script.write_text(NOTE + loop.replace(step, step + "            note(loader, batch, net)\n") + START)
    return programs.run(script, data, folder, workers, json.dumps(kills), timeout=500)


class Line(NamedTuple):
    """What a worker trained on, and the weights after it."""

    process: int
    place: list[int]
    rows: list[int]
    weights: Any


def lines(folder: Path, workers: int, rank: int) -> list[Line]:
    return [Line(*json.loads(line)) for line in (folder / f"{workers}.{rank}").read_text().splitlines()]


def test_workers_that_are_killed_and_fewer_of_them(tmp_path):
    """Killed at step 17, and started again by Ray; killed once more, which ends the run; resumed by one worker."""
    data = write_flights(tmp_path / "flights")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run(whole, data, 2, [])
    assert done.returncode == 0, done.stderr[-4000:]
    ended = run(killed, data, 2, [17, 31])
    assert ended.returncode != 0
    assert (killed / "killed-31").exists(), ended.stderr[-4000:]
    for rank in range(2):
        expected = {tuple(line.place): line for line in lines(whole, 2, rank)}
        found = lines(killed, 2, rank)
        second = [line for line in found if line.process != found[0].process]
        assert second[0].place == [0, 11]  # the last checkpoint is that of step 10
        assert [tuple(line.place) for line in second] == list(expected)[10 : 10 + len(second)]
        for line in found:
            same = expected[tuple(line.place)]
            assert (line.rows, line.weights) == (same.rows, same.weights)
    alone = run(killed, data, 1, [])
    assert alone.returncode == 0, alone.stderr[-4000:]
    rest = lines(killed, 1, 0)
    assert rest[0].place == [1, 21]  # two workers had taken 10 batches each
    rows = [n for line in rest if line.place[0] == 1 for n in line.rows]
    for rank in range(2):
        rows += [n for line in lines(whole, 2, rank) if line.place[0] == 1 and line.place[1] <= 10 for n in line.rows]
    assert Counter(rows) == Counter(range(12_006))
    assert rest[-1].place[0] == 2
