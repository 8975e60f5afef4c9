"""Accelerate: what a run takes that was stopped and resumed by `save_state` and `load_state` is that of one without."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from frameworks import accelerate_training as t
from frameworks import small_training as small
from support import ids, programs

from shardline import DataLoader

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("error:.*delivers nothing:RuntimeWarning"),
]
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
    done = programs.run(*command, data, out, warn=["error:.*delivers nothing:RuntimeWarning"])
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(request.param)]


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


def test_the_loop_of_the_page(data, tmp_path, monkeypatch):
    [loop] = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "for epoch" in block
    ]
    assert len([line for line in loop.splitlines() if line]) <= 25
    code = compile(loop, PAGE.name, "exec")
    known = {"path": data, "loss_of": small.loss_of}
    monkeypatch.chdir(tmp_path)

    class Stop(Exception):
        pass

    class Stops(DataLoader):
        """Fails before a batch, if it is told which."""

        seen, last = [], None

        def __iter__(self):
            for batch in super().__iter__():
                if len(self.seen) == self.last:
                    raise Stop
                self.seen.append(batch["i"].tolist())
                yield batch

    monkeypatch.setattr("shardline.DataLoader", Stops)
    whole = dict(known)
    torch.manual_seed(0)
    exec(code, whole)
    seen, Stops.seen = Stops.seen, []
    assert seen == sum(small.epochs(data), [])
    for folder in tmp_path.iterdir():
        folder.rename(tmp_path / f"first-{folder.name}")
    for stop in (27, 60):  # the second loop resumes at a step that was saved, and so does the third
        Stops.last = stop
        torch.manual_seed(0)
        with pytest.raises(Stop) if stop == 27 else pytest.MonkeyPatch.context():
            exec(code, resumed := dict(known))
    assert Stops.seen[27:] == seen[20:]  # what was saved last was the state of step 20
    assert small.same(whole["model"].parameters(), resumed["model"].parameters())
    assert ids(DataLoader(data, 40))
