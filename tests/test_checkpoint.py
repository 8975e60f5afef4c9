"""One process: what is saved, restored, kept and pruned, and what is said where it cannot be."""

import json
import logging
import math
import os
import random
import resource
import shutil
import signal
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples, lives
from torch import nn

import shardline
from demo import same
from shardline import Checkpointer, CheckpointError, CheckpointMismatchError, DataLoader


def make(folder, seed=0, **options):
    """A small model and optimizer that have taken a step, and their checkpointer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer, Checkpointer(folder, model=model, optimizer=optimizer, **options)


@pytest.fixture(scope="module")
def server():
    one = lives.Server()
    yield one
    one.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def draws():
    return random.random(), random.gauss(0, 1), np.random.normal(), np.random.random(), torch.rand(2).tolist()


# What is saved, and how it lies there


def test_layout_is_read_by_torch_and_json_alone(hundred, tmp_path):
    loader = DataLoader(hundred, batch_size=10)
    next(iter(loader))
    model, optimizer, ck = make(tmp_path / "ck", data=loader, extra={"patience": 2})
    assert ck.save(7, metrics={"val_loss": torch.tensor(0.5), "worst": math.inf}, values={"note": "x", "seen": [1, 2]})
    folder = tmp_path / "ck" / "step-7"
    assert names(tmp_path / "ck") == ["step-7"]
    assert names(folder) == ["data.json", "extra.json", "manifest.json", "model.pt", "optimizer.pt", "rng_0.pt"]
    assert same(torch.load(folder / "model.pt", weights_only=True), model.state_dict())
    assert same(torch.load(folder / "optimizer.pt", weights_only=True), optimizer.state_dict())
    assert json.loads((folder / "data.json").read_text()) == loader.state_dict()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["step"], manifest["epoch"], manifest["metrics"]["worst"]) == (7, 0, "inf")
    assert {name: file["bytes"] for name, file in manifest["files"].items()} == {
        path.name: path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json"
    }
    [saved] = ck.list()
    assert (saved.step, saved.path, saved.metrics) == (7, folder, {"val_loss": 0.5, "worst": math.inf})
    assert saved.bytes == sum(path.stat().st_size for path in folder.glob("*[tn]") if path.name != "manifest.json")
    assert abs(saved.time.timestamp() - time.time()) < 60

    # the weights alone, for inference
    served = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    served.load_state_dict(torch.load(folder / "model.pt", weights_only=True))

    other, its_optimizer, ck = make(
        tmp_path / "ck", 1, data=(again := DataLoader(hundred, batch_size=10)), extra=(extra := {})
    )
    restored = ck.restore()
    assert restored
    assert (restored.step, restored.epoch, restored.path) == (7, 0, folder)
    assert (restored.metrics, restored.values) == (saved.metrics, {"note": "x", "seen": [1, 2]})
    assert (restored.skipped, restored.notes, extra, again.batch_index) == ((), (), {"patience": 2}, 1)
    assert same(other.state_dict(), model.state_dict())
    assert same(its_optimizer.state_dict(), optimizer.state_dict())


def test_a_first_start_is_false(tmp_path):
    _, _, ck = make(tmp_path / "nowhere" / "yet")
    for which in ("latest", "best"):
        restored = ck.restore(which)
        assert not restored
        assert (restored.step, restored.epoch, restored.path, restored.metrics) == (0, 0, None, {})
    assert ck.list() == []
    assert not (tmp_path / "nowhere").exists()


def test_generators_go_on(tmp_path):
    ours = {"torch": torch.Generator(), "py": random.Random(3), "old": np.random.RandomState(1)}
    kinds = (np.random.PCG64, np.random.Philox, np.random.SFC64, np.random.MT19937)
    ours |= {kind.__name__: np.random.Generator(kind(5)) for kind in kinds}

    def more():
        found = [torch.rand(3, generator=ours["torch"]).tolist(), ours["py"].gauss(0, 1), ours["old"].normal()]
        return found + [ours[kind.__name__].normal() for kind in kinds]

    _, _, ck = make(tmp_path, generators=ours)
    draws(), more()
    ck.save(1)
    expected = draws(), more()
    assert (draws(), more()) != expected
    assert ck.restore().notes == ()
    assert (draws(), more()) == expected
    torch.load(tmp_path / "step-1" / "rng_0.pt", weights_only=True)

    _, _, ck = make(tmp_path, generators={"new": torch.Generator()})
    assert "'new' was not saved" in ck.restore().notes[0]
    _, _, ck = make(tmp_path, generators={"PCG64": np.random.Generator(np.random.MT19937())})
    with pytest.raises(CheckpointError, match="'PCG64' is of another kind"):
        ck.restore()
    with pytest.raises(TypeError, match=r"generators\['x'\]"):
        make(tmp_path, generators={"x": 3})


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


def test_several_of_each_and_any_name(tmp_path):
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
    Checkpointer(tmp_path, **first).save(1)
    second = parts()
    assert Checkpointer(tmp_path, **second).restore().step == 1
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


# Which one


def test_latest_is_what_was_saved_last(tmp_path):
    model, _, ck = make(tmp_path, keep_last=None)
    for step in (10, 20, 30):
        nn.init.constant_(model[0].weight, step)
        ck.save(step)
    assert ck.restore(10).step == 10
    ck.save(15)  # a new branch
    assert [one.step for one in ck.list()] == [10, 20, 30, 15]
    assert make(tmp_path)[2].restore().step == 15
    nn.init.constant_(model[0].weight, 2000)
    ck.save(20)
    assert [one.step for one in ck.list()] == [10, 30, 15, 20]
    assert names(tmp_path) == ["step-10", "step-15", "step-20.1", "step-30"]
    other, _, ck = make(tmp_path)
    assert ck.restore(tmp_path / "step-30").step == 30
    assert other[0].weight[0, 0] == 30
    assert ck.restore(str(tmp_path)).step == 20
    assert other[0].weight[0, 0] == 2000
    with pytest.raises(CheckpointError, match="no checkpoint of step 7 .*there are 10, 30, 15, 20"):
        ck.restore(7)
    with pytest.raises(CheckpointError, match="is no checkpoint, and holds none"):
        ck.restore(tmp_path / "elsewhere")
    with pytest.raises(TypeError, match="which must be"):
        ck.restore(True)


@examples(25)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 5), st.just(math.nan)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(["min", "max"]),
)
def test_what_is_kept(tmp_path_factory, losses, keep_last, keep_best, mode):
    folder = tmp_path_factory.mktemp("kept")
    ck = Checkpointer(folder, extra={}, keep_last=keep_last, keep_best=keep_best, monitor="loss", mode=mode)
    kept, sign = [], 1 if mode == "min" else -1
    for step, loss in enumerate(losses):
        ck.save(step, metrics={} if loss is None else {"loss": loss})
        kept.append(step)
        measured = [one for one in kept if losses[one] is not None and not math.isnan(losses[one])]
        best = sorted(measured, key=lambda one: (sign * losses[one], one))
        kept = [one for one in kept if one in kept[-keep_last:] or one in best[:keep_best]]
        assert [one.step for one in ck.list()] == kept
    if best:
        if keep_best:
            assert ck.restore("best").step == best[0]
    else:
        with pytest.raises(CheckpointError, match="was saved with the metric 'loss'"):
            ck.restore("best")


def test_when_it_is_due(hundred, tmp_path, monkeypatch):
    _, _, ck = make(tmp_path / "steps", every_steps=4)
    assert [step for step in range(1, 13) if ck.step(step)] == [4, 8, 12]
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    _, _, ck = make(tmp_path / "minutes", every_minutes=2)
    saved = []
    for step in range(1, 11):
        now[0] += 50
        saved += [step] if ck.step(step) else []
    assert saved == [3, 6, 9]
    monkeypatch.undo()
    loader = DataLoader(hundred, batch_size=10)
    _, _, ck = make(tmp_path / "epochs", data=loader, every_epochs=2)
    saved, step = [], 0
    for _ in range(6):
        for _ in loader:
            step += 1
            saved += [step] if ck.step(step) else []
    assert saved == [20, 40, 60]
    loader = DataLoader(hundred, batch_size=10)
    _, _, ck = make(tmp_path / "windows", data=loader, every_epochs=1)
    saved = []
    for _ in range(3):
        for index, _ in enumerate(loader):
            if index % 4 == 3:  # never at an epoch's last batch
                saved += [(loader.epoch, loader.batch_index)] if ck.step(index) else []
    assert saved == [(1, 4), (2, 4)], "the first step after the border"
    with pytest.raises(ValueError, match="every_epochs needs a shardline loader"):
        make(tmp_path, every_epochs=1)
    for name, value in (("every_steps", 0), ("every_minutes", -1), ("keep_last", 0), ("mode", "low"), ("on_error", "")):
        with pytest.raises(ValueError, match=name):
            make(tmp_path, **{name: value})


def test_epoch_without_data_is_given(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    with pytest.raises(CheckpointError, match="says no epoch"):
        _ = ck.restore().epoch
    ck.save(2, epoch=5)
    assert ck.restore().epoch == 5


# What is wrong


def test_what_has_no_state_is_refused(tmp_path):
    for given_, match in (
        ({"model": 3}, "model= must have state_dict"),
        ({"data": [1, 2]}, "shardline.DataLoader, torchdata's"),
        ({"data": torch.utils.data.DataLoader([1, 2])}, "shardline.DataLoader, torchdata's"),
    ):
        with pytest.raises(TypeError, match=match):
            Checkpointer(tmp_path, **given_)
    for name in ("rng_x", "manifest", "sharded", "a-b", "ü"):
        with pytest.raises(ValueError, match="cannot name a part"):
            Checkpointer(tmp_path, **{name: {}})
    _, _, ck = make(tmp_path, extra={"hook": object()})
    with pytest.raises(TypeError, match=r"extra\['hook'\] is a object"):
        ck.save(1)
    _, _, ck = make(tmp_path)
    with pytest.raises(TypeError, match=r"values\['x'\]"):
        ck.save(1, values={"x": torch.zeros(1)})
    with pytest.raises(TypeError, match=r"metrics\['loss'\]"):
        ck.save(1, metrics={"loss": "low"})
    assert not tmp_path.exists() or names(tmp_path) == []


def test_one_process_of_several_without_a_group(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="init_process_group"):
        make(tmp_path)


def test_nothing_but_plain_values_is_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    _, _, ck = make(tmp_path / "ck")
    ck.save(1)
    torch.save({"trap": Trap()}, tmp_path / "ck" / "step-1" / "model.pt")
    rewrite_manifest(tmp_path / "ck" / "step-1")
    with pytest.raises(CheckpointError, match=r"model.pt cannot be loaded: Weights only load failed"):
        ck.restore()
    assert not (tmp_path / "trapped").exists()


def rewrite_manifest(folder):
    """As if the files had been written as they are now."""
    from dataclasses import replace

    from shardline.checkpoint.durable import read_back
    from shardline.checkpoint.manifest import Manifest

    manifest = Manifest.from_text((folder / "manifest.json").read_text())
    files = {name: read_back(folder / name, lambda: None) for name in manifest.files}
    (folder / "manifest.json").write_text(replace(manifest, files=files).to_text())


def test_what_does_not_fit_is_said_with_torchs_lists(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    other = nn.Sequential(nn.Linear(3, 5), nn.Identity(), nn.Linear(5, 1))
    with pytest.raises(CheckpointError) as caught:
        Checkpointer(tmp_path, model=other).restore(only="model")
    for text in ("model does not fit", "size mismatch for 0.weight", 'Unexpected key(s) in state_dict: "1.weight"'):
        assert text in str(caught.value)
    longer = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 1), nn.Linear(1, 1))
    restored = Checkpointer(tmp_path, model=longer).restore(only="model", strict=False)
    assert "missing keys, left as they are: ['3.weight', '3.bias']" in restored.notes[0]
    assert "unexpected keys, not loaded: ['1.weight'" in restored.notes[0]
    with pytest.raises(CheckpointError, match="optimizer does not fit"):
        groups = [{"params": [p]} for p in other.parameters()]
        Checkpointer(tmp_path, optimizer=torch.optim.AdamW(groups)).restore(only="optimizer")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    Checkpointer(tmp_path, scaler=scaler).save(2)
    with pytest.raises(CheckpointError, match="scaler does not fit"):
        Checkpointer(tmp_path, scaler=torch.amp.GradScaler("cpu")).restore()


def test_data_that_does_not_fit_changes_nothing(rows, tmp_path):
    _, _, ck = make(tmp_path / "ck", data=DataLoader(rows([[20]]), batch_size=2))
    ck.save(1)
    other, _, ck = make(tmp_path / "ck", 1, data=DataLoader(rows([[30]]), batch_size=2))
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(CheckpointMismatchError):
        ck.restore()
    assert same(dict(other.state_dict()), before)


def test_a_plan_lies_beside_where_the_state_names_no_files(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("shardline.plan.MAX_PACKED_FILES", 1)
    data = rows([[10], [10]])
    loader = DataLoader(data, batch_size=2)
    _, _, ck = make(tmp_path / "ck", data=loader, keep_last=1)
    for step in (1, 2):
        ck.save(step)
    [plan] = [path for path in (tmp_path / "ck").iterdir() if path.name.startswith("plan-")]
    assert names(tmp_path / "ck") == [plan.name, "step-2"]
    shutil.copy(next(data.iterdir()), data / "part-9999.parquet")
    _, _, ck = make(tmp_path / "ck", data=DataLoader(data, batch_size=2))
    with pytest.raises(CheckpointMismatchError, match="The plan that the run began with lies in .*plan-"):
        ck.restore()
    loader = DataLoader(plan=shardline.Plan.load(plan), batch_size=2)
    assert make(tmp_path / "ck", data=loader)[2].restore().step == 2


# Where it cannot be written


@contextmanager
def full_disk():
    """As if the disk had 2,000 bytes left; only for so long, since pytest may be writing its report to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_disk(tmp_path, blocking):
    _, _, ck = make(tmp_path, blocking=blocking, keep_last=1)
    ck.save(1)
    ck.wait()
    _, _, warned = make(tmp_path, blocking=blocking, keep_last=1, on_error="warn")
    with full_disk():
        with pytest.raises(
            CheckpointError, match=r"step 2 could not be written to .*too large.*earlier ones are as they were"
        ):
            ck.save(2)
            ck.wait()
        assert names(tmp_path) == ["step-1"]
        with pytest.warns(RuntimeWarning, match=r"step 2 could not be written.*The training goes on"):  # noqa: PT031
            assert warned.save(2) is not blocking
            warned.wait()
        assert ck.restore().step == 1
    assert warned.save(3)
    warned.wait()
    assert names(tmp_path) == ["step-3"]


def test_a_place_that_may_not_be_written(server, tmp_path):
    _, _, ck = make(tmp_path / "ck")
    ck.save(1)
    (tmp_path / "ck").chmod(0o555)
    [text] = server.run(lives.save_without_rights, str(tmp_path / "ck"))
    (tmp_path / "ck").chmod(0o755)
    assert text.startswith("CheckpointError the checkpoint of step 2 could not be written")
    assert "Permission denied" in text
    assert names(tmp_path / "ck") == ["step-1"]


# In the background


def test_in_the_background_what_is_saved_is_what_was_there(tmp_path):
    model, _, ck = make(tmp_path, blocking=False, extra=(extra := {"list": [1]}))
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    begin, go_on = threading.Event(), threading.Event()
    write = ck._saver.save

    def slow(taken):
        begin.set()
        assert go_on.wait(30)
        write(taken)

    ck._saver.save = slow
    assert ck.save(1)
    assert begin.wait(30)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(9)
    extra["list"].append(2)
    assert ck.list() == []
    go_on.set()
    ck.save(2)  # waits for the first: two never overlap
    assert [one.step for one in ck.list()][:1] == [1]
    ck.wait()
    other, _, again = make(tmp_path, 1, extra=(read := {}))
    again.restore(1)
    assert same(dict(other.state_dict()), expected)
    assert read == {"list": [1]}
    again.restore(2)
    assert other[0].weight[0, 0] == 9
    assert read == {"list": [1, 2]}


def test_a_failure_in_the_background_does_not_take_the_next_save_with_it(tmp_path):
    _, _, ck = make(tmp_path, blocking=False, on_error="warn")
    with full_disk():
        assert ck.save(1)
        ck._background._thread.join()
    with pytest.warns(RuntimeWarning, match="step 1 could not be written"):
        assert ck.save(2)
    ck.wait()
    assert names(tmp_path) == ["step-2"]
    _, _, ck = make(tmp_path, blocking=False)
    with full_disk():
        ck.save(3)
        with pytest.raises(CheckpointError, match="step 3 could not be written"):
            ck.save(4)


def test_what_failed_is_not_tried_again_at_once(tmp_path, monkeypatch):
    now = [0.0]
    _, _, ck = make(tmp_path, every_minutes=1, on_error="warn")
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ck._clock.saved()
    with full_disk():
        now[0] = 61.0
        with pytest.warns(RuntimeWarning):
            assert not ck.step(1)
        now[0] = 62.0
        assert not ck.step(2)
    now[0] = 122.0
    assert ck.step(3)


def test_tied_tensors_stay_one_in_the_copy(tmp_path):
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    model[1].weight = model[0].weight
    sizes = {}
    for blocking in (True, False):
        ck = Checkpointer(tmp_path / str(blocking), model=model, blocking=blocking)
        ck.save(1)
        ck.wait()
        sizes[blocking] = (tmp_path / str(blocking) / "step-1" / "model.pt").stat().st_size
    assert abs(sizes[True] - sizes[False]) < 1000


def test_the_end_of_the_process_waits(server, tmp_path):
    assert server.run(lives.save_and_end, str(tmp_path)) == [0]
    assert Checkpointer(tmp_path, extra={}).restore().step == 1


# Between two micro-batches


@pytest.mark.parametrize("scaled", [False, True])
def test_between_micro_batches_it_is_refused(hundred, tmp_path, scaled):
    loader = DataLoader(hundred, batch_size=10)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=2.0**120)  # its first steps are skipped
    ck = Checkpointer(tmp_path, model=model, optimizer=optimizer, scaler=scaler, data=loader)
    saved = []
    for index, batch in enumerate(loader):
        scaler.scale(model(batch["x"][:, None]).mean() * 1e9).backward()
        if index % 3 == 2:
            scaler.step(optimizer)
            scaler.update()
            if index % 2:
                ck.save(index)  # before zero_grad, too
            optimizer.zero_grad()
            ck.save(index)
            saved.append(index)
        else:
            with pytest.raises(RuntimeError, match="would lose gradients"):
                ck.save(index)
    with pytest.raises(RuntimeError, match="would lose gradients"):
        ck.save(99)  # the epoch's last batch is left over
    optimizer.zero_grad()
    ck.save(99)
    assert saved == [2, 5, 8]


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_at_the_end_of_the_step(tmp_path, number):
    before = signal.getsignal(number)
    _, _, ck = make(tmp_path, signals=[signal.SIGTERM, signal.SIGUSR1])
    assert not ck.step(1)
    os.kill(os.getpid(), number)
    with pytest.raises(SystemExit) as caught:
        ck.step(2)
    assert caught.value.code == 75
    assert [one.step for one in ck.list()] == [2]
    assert signal.getsignal(number) is before


# Loaders that are not ours


def stateful(**options):
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(list(range(20)), batch_size=2, **options)


@pytest.mark.filterwarnings("ignore:.set_vital:UserWarning")
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", range(1, 21))
def test_torchdata_goes_on_bit_for_bit(tmp_path, shuffle, stop):
    """Batches and the global generator, stopped after any batch of two epochs; also where an epoch's end was seen."""
    torch.manual_seed(5)
    loader, ran, epoch = stateful(shuffle=shuffle), [], 0
    ck = Checkpointer(tmp_path, data=loader)

    def steps(epochs):
        for one in range(*epochs):
            for batch in loader:
                ran.append((one, batch.tolist(), torch.rand(1).item()))
                yield one

    for epoch in steps((0, 3)):
        if len(ran) == stop:
            ck.save(stop, epoch=epoch)
    expected, whole = ran[stop:], stop % 10 == 0

    torch.manual_seed(77)
    loader, ran = stateful(shuffle=shuffle), []
    restored = Checkpointer(tmp_path, data=loader).restore()
    for _ in steps((restored.epoch, 3)):
        pass
    assert restored.epoch == (stop - 1) // 10
    assert ran == expected, whole


@pytest.mark.filterwarnings("ignore:.set_vital:UserWarning")
@pytest.mark.parametrize("shuffle", [False, True])
def test_torchdata_between_epochs(tmp_path, shuffle):
    torch.manual_seed(5)
    loader = stateful(shuffle=shuffle)
    ck = Checkpointer(tmp_path, data=loader)
    for _ in range(2):
        for _ in loader:
            torch.rand(1)
    ck.save(20, epoch=2)
    expected = [(batch.tolist(), torch.rand(1).item()) for batch in loader]
    torch.manual_seed(77)
    loader = stateful(shuffle=shuffle)
    Checkpointer(tmp_path, data=loader).restore()
    assert [(batch.tolist(), torch.rand(1).item()) for batch in loader] == expected


@pytest.mark.parametrize("stop", [1, 4, 9, 10, 13])
@pytest.mark.parametrize("seen", [False, True])
def test_torchs_own_loader_around_our_dataset(hundred, tmp_path, stop, seen):
    """It draws from the global generator at iter()."""

    def make_loader():
        return torch.utils.data.DataLoader(shardline.StructuredDataset(hundred, batch_size=10), batch_size=None)

    torch.manual_seed(5)
    loader, ran = make_loader(), []
    ck = Checkpointer(tmp_path, data=loader)
    for _ in range(2):
        for batch in loader:
            ran.append((batch["i"].tolist(), torch.rand(1).item()))
            if len(ran) == stop and not (seen and stop == 10):
                ck.save(stop)
        if len(ran) == stop:
            ck.save(stop)
    torch.manual_seed(77)
    loader, again = make_loader(), []
    restored = Checkpointer(tmp_path, data=loader).restore()
    for _ in range(restored.epoch, 2):
        again += [(batch["i"].tolist(), torch.rand(1).item()) for batch in loader]
    assert again == ran[stop:]


def test_without_data_the_generators_are_put_back_at_once(tmp_path):
    _, _, ck = make(tmp_path)
    ck.save(1)
    expected = torch.rand(3)
    torch.rand(10)
    ck.restore()
    assert torch.equal(torch.rand(3), expected)


# Devices


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


def test_what_is_skipped_is_logged(tmp_path, caplog):
    _, _, ck = make(tmp_path)
    ck.save(1)
    ck.save(2)
    (tmp_path / "step-2" / "optimizer.pt").unlink()
    with caplog.at_level(logging.WARNING, "shardline"):
        restored = ck.restore()
    assert restored.step == 1
    assert "optimizer.pt cannot be read" in restored.skipped[0]
    assert restored.skipped[0] in caplog.text
