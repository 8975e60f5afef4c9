"""Lightning: what a stopped run and the run that resumes it take is what a run without a stop takes, bit for bit."""

import os
import re
import signal
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from frameworks import lightning_training as t
from frameworks import small_training as small
from lightning.pytorch.callbacks import Callback, EarlyStopping, OnExceptionCheckpoint

from shardline import ShardlineValueError

pytestmark = [pytest.mark.frameworks, *map(pytest.mark.filterwarnings, t.QUIET)]
VERSION = version("lightning")
PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "lightning.md"

CASES = {
    "plain": (t.Module, {}),
    "a validation loader": (t.Validated, {}),
    "validated within an epoch": (t.Validated, {"val_check_interval": 7}),
    "gradients of 3 batches": (t.Module, {"accumulate_grad_batches": 3}),
    "limit_train_batches": (t.Module, {"limit_train_batches": 13}),
    "a part of the batches": (t.Module, {"limit_train_batches": 0.5}),
    "a DataModule": (t.WithData, {}),
    "loaders made anew each epoch": (t.Module, {"reload_dataloaders_every_n_epochs": 1}),
    "loaders made anew every 2 epochs": (t.Module, {"reload_dataloaders_every_n_epochs": 2}),
    "set_epoch in a hook": (t.SetsEpoch, {}),
    "set_epoch in a hook, limited": (t.SetsEpoch, {"limit_train_batches": 13}),
    "estimated_stepping_batches": (t.Scheduled, {}),
    "worker processes": (t.Worked, {}),
    "two loaders, the shorter cycles": (t.Paired, {}),
    "two loaders, the shorter ends": (t.PairedToTheLongest, {}),
    "two loaders, to the shorter's end": (t.PairedToTheShortest, {}),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("lightning") / "data")


@pytest.fixture(scope="module")
def epochs(data):
    return small.epochs(data)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run without a stop."""
    module = t.Module(data)
    t.fit(module, tmp_path_factory.mktemp("whole"))
    return module


@pytest.mark.parametrize("case", CASES)
def test_every_checkpoint_resumes_exactly(tmp_path, data, epochs, case, say):
    made, options = CASES[case]
    whole = made(data)
    t.fit(whole, tmp_path, callbacks=t.savers(tmp_path), **options)
    steps = len(whole.seen) // small.EPOCHS
    assert steps == {"limit_train_batches": 13, "a part of the batches": 10}.get(case, steps)
    assert whole.seen == sum((epoch[:steps] for epoch in epochs), [])  # each epoch's own order, limited or not
    wrong, checkpoints = {}, t.wanted(tmp_path)
    for ckpt in checkpoints:
        resumed = made(data)
        t.fit(resumed, tmp_path, ckpt=ckpt, **options)
        if differences := t.differs(resumed, whole, t.trained(ckpt)):
            wrong[ckpt.stem] = differences
    assert not wrong
    say(f"lightning {VERSION}, {case}: {len(checkpoints)} of {len(checkpoints)} stops exact")


class StopAt(Callback):
    """Asks for a stop after so many steps."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step == self.step


EARLY = {"monitor": "loss", "patience": 10, "stopping_threshold": 1e9}
ENDS = {
    "max_steps in mid-epoch": ({"max_steps": 7}, ()),
    "max_steps at an epoch's end": ({"max_steps": 20}, ()),
    "max_steps in a later epoch": ({"max_steps": 33}, ()),
    "max_epochs": ({"max_epochs": 1}, ()),
    "max_epochs, two": ({"max_epochs": 2}, ()),
    "should_stop in mid-epoch": ({}, [StopAt(26)]),
    "should_stop after the last batch": ({}, [StopAt(40)]),
    "early stopping": ({}, [EarlyStopping(**EARLY)]),
    "early stopping, limited": ({"limit_train_batches": 13}, [EarlyStopping(**EARLY)]),
}


@pytest.mark.parametrize("more", [{}, {"max_steps": 60, "max_epochs": -1}], ids=["to max_epochs", "to max_steps"])
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_ended_is_trained_further(tmp_path, data, end, more):
    options, callbacks = ENDS[end]
    limit = {name: value for name, value in options.items() if name == "limit_train_batches"}
    if limit and more:
        more = {**more, "max_steps": 39}
    whole = t.Module(data)
    t.fit(whole, tmp_path, **limit)
    first = t.Module(data)
    run = t.fit(first, tmp_path, callbacks=callbacks, **options)
    assert 0 < len(first.seen) < len(whole.seen)
    run.save_checkpoint(tmp_path / "end.ckpt")
    resumed = t.Module(data)
    t.fit(resumed, tmp_path, ckpt=tmp_path / "end.ckpt", **limit, **more)
    assert first.seen + resumed.seen == whole.seen
    assert small.same(resumed.parameters(), whole.parameters())


class Failure(Exception):
    pass


class Fails(t.Module):
    """Fails in one of the moments of a batch or an epoch; `stop`: by what."""

    moment, batch, stop = "", -1, Failure

    def at(self, moment):
        if moment == self.moment and self.trained == self.batch:
            self.moment = ""
            if self.stop is signal.SIGTERM:
                os.kill(os.getpid(), signal.SIGTERM)  # Lightning goes on to the batch's end, and raises then
            else:
                raise self.stop

    def on_train_epoch_start(self):
        self.at("epoch's start")

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        self.at("transfer")
        return batch

    def on_train_batch_start(self, *_):
        self.at("batch's start")

    def training_step(self, *batch):
        self.at("step")
        return super().training_step(*batch)

    def on_before_backward(self, loss):
        self.at("backward")

    def on_train_batch_end(self, *_):
        self.at("batch's end")

    def on_train_epoch_end(self):
        self.at("epoch's end")


class Kept(OnExceptionCheckpoint):
    """Lightning's own removes its file in the end."""

    def teardown(self, *_):
        pass


MOMENTS = ["epoch's start", "transfer", "batch's start", "step", "backward", "batch's end", "epoch's end"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_checkpoint_on_an_exception(tmp_path, data, whole, moment, say):
    stops = [0, 20, 40] if "epoch" in moment else [0, 1, 13, 19, 20, 21, 40, 59]
    stops = [n for n in stops if n or "end" not in moment]
    for number in stops:
        failing = Fails(data)
        failing.moment, failing.batch = moment, number
        with pytest.raises(Failure):
            t.fit(failing, tmp_path, callbacks=[Kept(tmp_path, f"{number}")])
        resumed = t.Module(data)
        t.fit(resumed, tmp_path, ckpt=tmp_path / f"{number}.ckpt")
        assert not t.differs(resumed, whole, number), number
    say(f"lightning {VERSION}, an exception at an {moment}: {len(stops)} of {len(stops)} stops exact")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, signal.SIGTERM], ids=str)
def test_a_checkpoint_on_a_signal(tmp_path, data, whole, stop):
    failing = Fails(data)
    failing.moment, failing.batch, failing.stop = "step", 27, stop
    with suppress(BaseException):
        t.fit(failing, tmp_path, callbacks=[Kept(tmp_path, "kept")])
    ckpt = tmp_path / "kept.ckpt"
    resumed = t.Module(data)
    t.fit(resumed, tmp_path, ckpt=ckpt)
    assert t.trained(ckpt) == 27 + (stop is signal.SIGTERM)
    assert not t.differs(resumed, whole, t.trained(ckpt))


def test_several_stops_in_one_run(tmp_path, data, whole):
    """Each resumes what the last one saved: 5 exceptions in 3 epochs."""
    ckpt, steps = None, [4, 18, 20, 41, 55]
    for number in steps:
        failing = Fails(data)
        failing.moment, failing.batch = "backward", number
        with pytest.raises(Failure):
            t.fit(failing, tmp_path, ckpt=ckpt, callbacks=[Kept(tmp_path, f"{number}")])
        ckpt = tmp_path / f"{number}.ckpt"
    resumed = t.Module(data)
    t.fit(resumed, tmp_path, ckpt=ckpt)
    assert not t.differs(resumed, whole, steps[-1])


@pytest.mark.parametrize(("batch_size", "made"), [(25, t.Module), (60, t.Module), (25, t.Scheduled), (25, t.Paired)])
def test_another_batch_size_loses_no_row(tmp_path, data, batch_size, made):
    """Each row of an epoch comes once, or it is an error: Lightning counts the batches of an epoch only once."""
    whole = made(data)
    t.fit(whole, tmp_path, callbacks=t.savers(tmp_path))
    outcomes = set()
    for ckpt in t.wanted(tmp_path):
        resumed = made(data, batch_size=batch_size)
        try:
            t.fit(resumed, tmp_path, ckpt=ckpt)
        except ShardlineValueError:
            outcomes.add("refused")
            assert not resumed.seen
        else:
            outcomes.add("taken")
            rows = sum(whole.seen[: t.trained(ckpt)] + resumed.seen, [])
            assert sorted(rows) == sorted([*range(small.ROWS)] * small.EPOCHS), ckpt.stem
    assert "taken" in outcomes


def test_other_loaders_than_in_the_checkpoint_raise(tmp_path, data):
    paired = t.Paired(data)
    run = t.fit(paired, tmp_path, max_epochs=1)
    run.save_checkpoint(tmp_path / "paired.ckpt")
    with pytest.raises(ShardlineValueError, match="places of 2 shardline loaders, and this training has 1"):
        t.fit(t.Module(data), tmp_path, ckpt=tmp_path / "paired.ckpt")


class Torchs(t.Module):
    def train_dataloader(self):
        return torch.utils.data.DataLoader([{"i": torch.arange(3), "x": torch.ones(3)}] * 4, batch_size=None)


def test_a_training_without_shardline_is_left_alone(tmp_path, data):
    run = t.fit(Torchs(data), tmp_path, max_epochs=1)
    run.save_checkpoint(tmp_path / "x.ckpt")
    assert not torch.load(tmp_path / "x.ckpt", weights_only=False)["callbacks"]
    again = Torchs(data)
    t.fit(again, tmp_path, ckpt=tmp_path / "x.ckpt", max_epochs=3)
    assert len(again.seen) == 8


def test_the_older_name_of_the_package(tmp_path, data):
    import pytorch_lightning

    names = [type(each).__name__ for each in pytorch_lightning.Trainer(logger=False, accelerator="cpu").callbacks]
    assert "LoaderState" in names


def test_validate_and_test_take_all_rows(tmp_path, data):
    class Tested(t.Validated):
        def test_step(self, batch, batch_idx):
            self.rows += batch["i"].tolist()

        def predict_step(self, batch, batch_idx):
            return batch["i"].tolist()

    module = Tested(data)
    run = t.trainer(tmp_path)
    run.validate(module)
    assert module.validations == 1
    module.rows = []
    run.test(module, small.loader(data, shuffle=False))
    assert module.rows == list(range(small.ROWS))
    assert sum(run.predict(module, small.loader(data, shuffle=False)), []) == list(range(small.ROWS))


def test_the_loop_of_the_page(tmp_path, data, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [loop] = [block for block in blocks if "fit(" in block]
    assert len([line for line in loop.splitlines() if line]) <= 25
    code = compile(loop, PAGE.name, "exec")

    def run(folder, last=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        seen = []

        def loss_of(layer, batch):
            if len(seen) == last:
                raise Failure
            seen.append(batch["i"].tolist())
            return small.loss_of(layer, batch)

        torch.manual_seed(0)
        names = {"path": data, "loss_of": loss_of}
        with suppress(Failure):
            exec(code, names)
        return seen, names.get("trainer")

    whole, trainer = run("whole")
    for last in (27, 22):  # stopped twice: in the step 27, and, resumed at 20, in the step 42
        seen, _ = run("stopped", last)
    assert seen == whole[20:42]
    seen, resumed = run("stopped")
    assert seen == whole[40:]
    assert small.same(resumed.model.parameters(), trainer.model.parameters())
