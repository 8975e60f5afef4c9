"""docs/checkpoint.md: every recipe runs to its end, and, stopped and run again, comes to the same end."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from support import ranked
from support.flights import write_page_flights
from support.job import job

from demo import same

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "checkpoint.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LOOP, HELPERS = BLOCKS[0], next(block for block in BLOCKS if block.startswith("def loss_of"))
START = LOOP[: LOOP.index("ck =")] + HELPERS


def recipe(directory: str) -> str:
    [found] = [
        block for block in BLOCKS if re.search(rf'Checkpointer\(\s*"{directory}/".*restore\(\)', block, re.DOTALL)
    ]
    return found


@pytest.fixture
def flights(tmp_path, monkeypatch):
    """The working directory, with 14,000 flights in it: 14 steps an epoch."""
    monkeypatch.chdir(tmp_path)
    write_page_flights(tmp_path / "flights")
    return tmp_path


class Stop(Exception):
    pass


def run(code: str, start: str = START, stop: int | None = None, every: int = 9):
    """What the code leaves behind; stopped after so many losses, with a checkpoint every few steps."""
    names = {}
    exec(compile(start, "start", "exec"), names)
    if stop is not None:
        count, loss_of = [0], names["loss_of"]

        def counting(batch):
            count[0] += 1
            if count[0] > stop:
                raise Stop
            return loss_of(batch)

        names["loss_of"] = counting
    code = re.sub(r"every_(steps|minutes)=\d+", f"every_steps={every}", code)
    try:
        exec(compile(code, "recipe", "exec"), names)
    except Stop:
        names["ck"].close()
    return names


def states(names):
    return {name: part.state_dict() for name, part in names["parts"].items()} | {
        name: names[name] for name in ("stopper", "running", "step") if name in names
    }


def test_the_loop_has_25_lines():
    assert len([line for line in LOOP.splitlines() if line]) <= 25


def test_the_loop_is_that_of_the_readme():
    [readme] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
        if "ck.step" in block
    ]
    assert readme == LOOP.replace("torch.manual_seed(1)\n", "")


@pytest.mark.parametrize("directory", ["accumulated", "by-steps", "early", "metrics", "background", "checkpoints"])
def test_recipes_stopped_and_resumed(flights, directory):
    code = (
        LOOP[LOOP.index("ck =") :].replace("loss =", "loss = loss_of(batch) #")
        if directory == "checkpoints"
        else recipe(directory)
    )
    whole = states(run(code))
    assert whole["step"] > 5
    if directory == "early":
        assert whole["stopper"]["best"] < float("inf")
    for stops in ([3, 14], [17, 4, 13]):
        shutil.rmtree(directory)
        for stop in stops:
            run(code, stop=stop)
        names = run(code)
        assert same(states(names), whole), stops
        assert same(states(run(code)), whole), "run again at its end"


def test_weights_alone(flights):
    trained = run(recipe("by-steps"))
    [code] = [block for block in BLOCKS if 'with_name("model.pt")' in block]
    assert same(run(code)["model"].state_dict(), trained["model"].state_dict())


def test_migration(flights):
    before = run(recipe("by-steps"))
    saved = {name: part.state_dict() for name, part in before["parts"].items()}
    torch.save({**saved, "step": 200}, "last.pt")
    migrated = run(recipe("migrated"))
    assert migrated["step"] == 200
    assert same(states(migrated), states(before))
    Path("last.pt").unlink()
    assert same(states(run(recipe("migrated"))), states(before))


def test_differences(flights):
    one, other = (torch.nn.Linear(2, 2) for _ in range(2))
    other.load_state_dict({**one.state_dict(), "bias": torch.zeros(2)})
    torch.save(one.state_dict(), "one.pt")
    torch.save(other.state_dict(), "other.pt")
    differences = run(BLOCKS[-1])["differences"]
    assert differences("one.pt", "other.pt") == ["bias"]
    assert differences("one.pt", "one.pt") == []


def test_fewer_and_more_ranks(flights):
    """Stopped on 4 ranks, gone on with on 2, and on 1: the job's batches are those of one run."""
    code = recipe("ranks")
    assert "every_steps=5" in code
    whole = job(2, ranked.run_block, str(flights), START, code, None)
    shutil.rmtree("ranks")
    rows = []
    for ranks, stop in ((4, 5), (2, 10), (1, None)):
        results = job(ranks, ranked.run_block, str(flights), START, code, stop)
        rows.append(results[0])
    assert [step for step, _ in rows] == [5, 10, whole[0][0]]
    seen = [*rows[0][1], *rows[1][1], *rows[2][1]]
    assert sorted(seen) == sorted(whole[0][1])
