"""One process: what is saved, how it lies there, and how it is put back."""

import io
import json
import math
import random
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch
from support.small import draws, make, names
from torch import nn

from demo import same
from shardline import Checkpointer, CheckpointError, DataLoader


def test_layout_is_read_by_torch_and_json_alone(hundred, place):
    loader = DataLoader(hundred, batch_size=10)
    next(iter(loader))
    model, optimizer, ck = make(place / "ck", data=loader, extra={"patience": 2})
    assert ck.save(7, metrics={"val_loss": torch.tensor(0.5), "worst": math.inf}, values={"note": "x", "seen": [1, 2]})
    folder = place / "ck" / "step-7"
    assert names(place / "ck") == ["step-7"]
    assert names(folder) == ["data.json", "extra.json", "manifest.json", "model.pt", "optimizer.pt", "rng_0.pt"]
    assert same(torch.load(io.BytesIO((folder / "model.pt").read_bytes()), weights_only=True), model.state_dict())
    assert same(
        torch.load(io.BytesIO((folder / "optimizer.pt").read_bytes()), weights_only=True), optimizer.state_dict()
    )
    assert json.loads((folder / "data.json").read_text()) == loader.state_dict()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["step"], manifest["epoch"], manifest["metrics"]["worst"]) == (7, 0, "inf")
    assert {name: file["bytes"] for name, file in manifest["files"].items()} == {
        path.name: len(path.read_bytes()) for path in folder.iterdir() if path.name != "manifest.json"
    }
    [saved] = ck.list()
    assert (saved.step, saved.path, saved.metrics) == (7, folder, {"val_loss": 0.5, "worst": math.inf})
    assert saved.bytes == sum(len(path.read_bytes()) for path in folder.glob("*[tn]") if path.name != "manifest.json")
    assert abs(saved.time.timestamp() - time.time()) < 60

    # the weights alone, for inference
    served = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    served.load_state_dict(torch.load(io.BytesIO((folder / "model.pt").read_bytes()), weights_only=True))

    other, its_optimizer, ck = make(
        place / "ck", 1, data=(again := DataLoader(hundred, batch_size=10)), extra=(extra := {})
    )
    restored = ck.restore()
    assert restored
    assert (restored.step, restored.epoch, restored.path) == (7, 0, folder)
    assert (restored.metrics, restored.values) == (saved.metrics, {"note": "x", "seen": [1, 2]})
    assert (restored.skipped, restored.notes, extra, again.batch_index) == ((), (), {"patience": 2}, 1)
    assert same(other.state_dict(), model.state_dict())
    assert same(its_optimizer.state_dict(), optimizer.state_dict())


def test_a_first_start_is_false(place):
    _, _, ck = make(place / "nowhere" / "yet")
    for which in ("latest", "best"):
        restored = ck.restore(which)
        assert not restored
        assert (restored.step, restored.epoch, restored.path, restored.metrics) == (0, 0, None, {})
    assert ck.list() == []
    assert not (place / "nowhere").exists()


def test_generators_go_on(place):
    ours = {"torch": torch.Generator(), "py": random.Random(3), "old": np.random.RandomState(1)}
    kinds = (np.random.PCG64, np.random.Philox, np.random.SFC64, np.random.MT19937)
    ours |= {kind.__name__: np.random.Generator(kind(5)) for kind in kinds}

    def more():
        found = [torch.rand(3, generator=ours["torch"]).tolist(), ours["py"].gauss(0, 1), ours["old"].normal()]
        return found + [ours[kind.__name__].normal() for kind in kinds]

    _, _, ck = make(place, generators=ours)
    draws(), more()
    ck.save(1)
    expected = draws(), more()
    assert (draws(), more()) != expected
    assert ck.restore().notes == ()
    assert (draws(), more()) == expected
    torch.load(io.BytesIO((place / "step-1" / "rng_0.pt").read_bytes()), weights_only=True)

    _, _, ck = make(place, generators={"new": torch.Generator()})
    assert "'new' was not saved" in ck.restore().notes[0]
    _, _, ck = make(place, generators={"PCG64": np.random.Generator(np.random.MT19937())})
    with pytest.raises(CheckpointError, match="'PCG64' is of another kind"):
        ck.restore()
    with pytest.raises(TypeError, match=r"generators\['x'\]"):
        make(place, generators={"x": 3})


def test_another_number_of_devices_is_said(tmp_path, monkeypatch):
    """Devices as torch.cuda shows them, of which this machine may have none."""
    states, set_to = [torch.arange(16, dtype=torch.uint8), torch.zeros(16, dtype=torch.uint8)], {}
    _, _, ck = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
        ck.save(1)
    for here in (1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            patch.setattr(torch.cuda, "device_count", lambda here=here: here)
            patch.setattr(torch.cuda, "set_rng_state", lambda state, device: set_to.update({device: state}))
            [note] = ck.restore().notes
        assert f"of 2 CUDA devices were saved, and {here} are here" in note
    assert same(set_to, dict(enumerate(states)))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda m: torch.compile(nn.DataParallel(m))])
def test_prefixes_of_wrappers(tmp_path, wrap):
    model, _, ck = make(tmp_path / "plain")
    Checkpointer(tmp_path / "wrapped", model=wrap(model)).save(1)
    ck.save(1)
    one, other = (
        torch.load(tmp_path / where / "step-1" / "model.pt", weights_only=True) for where in ("plain", "wrapped")
    )
    assert same(one, other)
    assert same(one._metadata, other._metadata)
    for where in ("plain", "wrapped"):
        fresh, _, _ = make(tmp_path / "other", 1)
        Checkpointer(tmp_path / where, model=wrap(fresh)).restore(only="model")
        assert same(fresh.state_dict(), model.state_dict())
        fresh, _, _ = make(tmp_path / "other", 2)
        Checkpointer(tmp_path / where, model=fresh).restore(only="model")
        assert same(fresh.state_dict(), model.state_dict())


def test_a_module_called_module_keeps_its_name(tmp_path):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)
            self.inner = torch.compile(nn.Linear(2, 2))

    outer = Outer()
    ck = Checkpointer(tmp_path, model=nn.DataParallel(outer))
    ck.save(1)
    saved = torch.load(tmp_path / "step-1" / "model.pt", weights_only=True)
    assert list(saved) == ["module.weight", "module.bias", "inner.weight", "inner.bias"]
    before = {name: value.clone() for name, value in outer.state_dict().items()}
    nn.init.zeros_(outer.module.weight)
    ck.restore()
    assert same(dict(outer.state_dict()), before)


def test_several_of_each_and_any_name(place):
    def parts():
        model, critic = nn.Linear(2, 2), nn.Linear(2, 1)
        one, two = torch.optim.SGD(model.parameters(), momentum=0.9), torch.optim.Adam(critic.parameters())
        return {
            "model": model,
            "critic": critic,
            "optimizer": one,
            "critic_optimizer": two,
            "scheduler": torch.optim.lr_scheduler.MultiStepLR(one, [2, 5]),
            "plateau": torch.optim.lr_scheduler.ReduceLROnPlateau(two),
            "ema": torch.optim.swa_utils.AveragedModel(model),
        }

    torch.manual_seed(1)
    first = parts()
    first["plateau"].step(np.float64(0.5))
    Checkpointer(place, **first).save(1)
    second = parts()
    assert Checkpointer(place, **second).restore().step == 1
    for name in first:
        assert same(first[name].state_dict(), second[name].state_dict()), name


def test_only_some_parts(tmp_path):
    model, optimizer, ck = make(tmp_path)
    ck.save(3)
    other, its_optimizer, ck = make(tmp_path, 1)
    before, drawn = {k: v.clone() for k, v in other.state_dict().items()}, torch.get_rng_state()
    assert ck.restore(only=("optimizer",)).step == 3
    assert same(dict(other.state_dict()), before)
    assert same(its_optimizer.state_dict(), optimizer.state_dict())
    assert torch.equal(torch.get_rng_state(), drawn)
    ck.restore(only="rng")
    assert not torch.equal(torch.get_rng_state(), drawn)
    with pytest.raises(ValueError, match=r"only= names 'modle': the parts are model, optimizer, rng"):
        ck.restore(only="modle")
    served = Checkpointer(tmp_path, model=other, ema=nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="has no ema: it has model, optimizer, rng"):
        served.restore()
    served.restore(only=("model",))
    assert same(other.state_dict(), model.state_dict())


def test_saved_on_a_gpu_restored_without_one(tmp_path):
    """The tags that torch gives to a tensor of the second GPU; nothing here has one."""
    model, _, ck = make(tmp_path)
    registry = list(torch.serialization._package_registry)
    torch.serialization.register_package(0, lambda storage: "cuda:1", lambda storage, tag: None)
    try:
        ck.save(1)
    finally:
        torch.serialization._package_registry[:] = registry
    with pytest.raises(RuntimeError, match="deserialize object on"):
        torch.load(tmp_path / "step-1" / "model.pt", weights_only=True)
    other, _, ck = make(tmp_path, 1)
    for map_location in (None, "cpu", torch.device("cpu"), {"cuda:1": "cpu"}):
        nn.init.zeros_(other[0].weight)
        ck.restore(only=("model", "optimizer"), map_location=map_location)
        assert same(other.state_dict(), model.state_dict())


def test_optimizer_state_follows_its_parameters(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    half = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to(torch.bfloat16)
    optimizer = torch.optim.AdamW(half.parameters())
    Checkpointer(tmp_path, model=half, optimizer=optimizer).restore()
    assert {state["exp_avg"].dtype for state in optimizer.state.values()} == {torch.bfloat16}


def test_states_of_other_libraries_keep_their_form(tmp_path):
    class Meter:
        def __init__(self):
            self.state = {}

        def state_dict(self):
            return self.state

        def load_state_dict(self, state):
            self.state = state

    one, other = Meter(), Meter()
    one.state = OrderedDict(a=(1, [2.5, torch.arange(3)]), b={"c": None, 3: b"x"}, d=torch.bfloat16, e={1, 2}, f=2**70)
    Checkpointer(tmp_path, meter=one).save(1)
    Checkpointer(tmp_path, meter=other).restore()
    assert same(one.state, other.state)


def test_a_slice_does_not_bring_its_storage(tmp_path):
    large = torch.zeros(1_000_000)
    Checkpointer(tmp_path, extra={"slice": large[:10]}).save(1)
    assert (tmp_path / "step-1" / "extra.pt").stat().st_size < 10_000
