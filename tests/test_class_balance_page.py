"""docs/how-to/class-balance.md: its programs run, and a run that was stopped continues in both classes."""

import re
from pathlib import Path

import pytest
import torch

import shardline

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "class-balance.md").read_text()
DATA, WEIGHTS, BOTH = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(DATA, "class-balance.md", "exec"), {})


@pytest.mark.usefixtures("folder")
def test_the_loss_is_weighed_by_the_counts_that_the_page_shows():
    names = {}
    exec(compile(WEIGHTS, "class-balance.md", "exec"), names)
    assert repr(names["counts"]) in WEIGHTS
    assert names["loss"].pos_weight.item() == pytest.approx(names["counts"][0] / names["counts"][1])


@pytest.mark.usefixtures("folder")
def test_batches_of_both_classes_and_a_stop():
    """Stopped after 120 steps: the checkpoint of step 100 is what it continues from, twice."""
    whole, stopped = {}, {}
    exec(compile(BOTH, "class-balance.md", "exec"), whole)
    first = BOTH.replace('"run"', '"again"')
    cut = first.replace("ck.save(step)", "").replace(
        "    ck.step(step)", "    ck.step(step)\n    if step == 120:\n        break"
    )
    exec(compile(cut, "class-balance.md", "exec"), {})
    assert shardline.Checkpointer("again", model=torch.nn.Linear(8, 1)).restore(only="model").step == 100
    exec(compile(first, "class-balance.md", "exec"), stopped)
    assert (stopped["start"], stopped["step"]) == (100, 300)
    assert all(
        torch.equal(a, b) for a, b in zip(whole["model"].parameters(), stopped["model"].parameters(), strict=True)
    )
    labels, names = whole["batch"]["label"], whole["mixture"].names
    assert (labels == 1).sum() == 128
    assert torch.equal(whole["batch"]["source"] == names.index("rare"), labels == 1)
    taken = whole["loader"].mixture.at()
    assert [taken[name].rows for name in names] == [38_400, 38_400]
