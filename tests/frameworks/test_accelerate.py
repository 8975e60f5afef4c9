"""Accelerate: what a run takes that was stopped and resumed by `save_state` and `load_state` is that of one without."""

import json
import re
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from accelerate import Accelerator
from frameworks import accelerate_training as t
from frameworks import small_training as small
from support import programs

from shardline import DataLoader

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("error:.*delivers nothing:RuntimeWarning"),
]
LIMIT = 900
VERSION = version("accelerate")
PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "accelerate.md"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("accelerate") / "data")


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def ranks(request, data, tmp_path_factory):
    """(their number, what each rank of a torchrun found)."""
    out = tmp_path_factory.mktemp("ranks")
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={request.param}", t.__file__]
    done = programs.run(*command, data, out, timeout=LIMIT, warn=["error:.*delivers nothing:RuntimeWarning"])
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("check", t.CHECKS)
def test_each_rank_finds_what_it_should(ranks, check, say):
    number, found = ranks
    for results in found:
        counts, *wrong = results[check]
        assert not wrong
        assert counts == "all" or re.fullmatch(r"(\d+) of \1", counts), counts
    say(f"accelerate {VERSION}, {number} ranks, {check}: {found[0][check][0]} exact")


def test_the_private_name_that_prepare_looks_at(data):
    """Should Accelerate rename it, `prepare` would rebuild the loader: this is what then fails first."""
    loader, accelerator = DataLoader(data, 10), Accelerator(cpu=True)
    assert accelerator.prepare(loader) is loader
    assert accelerator._dataloaders == [loader]

    class Unmarked(DataLoader):
        _is_accelerate_prepared = False

    unmarked = Unmarked(data, 10)
    assert Accelerator(cpu=True).prepare(unmarked) is not unmarked


class Failure(Exception):
    pass


class Fails(DataLoader):
    """Notes what it delivers, and fails before a batch if it is told which."""

    seen: ClassVar[list[list[int]]] = []
    last: ClassVar[int | None] = None

    def __iter__(self):
        for batch in super().__iter__():
            if len(self.seen) == self.last:
                raise Failure
            self.seen.append(batch["i"].tolist())
            yield batch


def test_the_loop_of_the_page(data, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [loop] = [block for block in blocks if "for epoch" in block]
    assert len([line for line in loop.splitlines() if line]) <= 25
    code = compile(loop.replace("Accelerator()", "Accelerator(cpu=True)"), PAGE.name, "exec")
    monkeypatch.setattr("shardline.DataLoader", Fails)

    def run(folder, last=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        Fails.seen, Fails.last = [], last
        torch.manual_seed(0)
        names = {"path": data, "loss_of": small.loss_of}
        with suppress(Failure):
            exec(code, names)
        return Fails.seen, names["model"]

    whole, model = run("whole")
    assert whole == sum(small.epochs(data), [])
    for last in (27, 22):  # stopped twice: after the step 27, and, resumed at 20, after the step 42
        seen, _ = run("stopped", last)
    assert seen == whole[20:42]
    seen, resumed = run("stopped")
    assert seen == whole[40:]
    assert small.same(resumed.parameters(), model.parameters())
