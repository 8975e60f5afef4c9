"""When a checkpoint is due, and when it would be too early."""

import os
import signal
import time

import pytest
import torch
from support.small import make
from torch import nn

from shardline import Checkpointer, CheckpointError, DataLoader


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_at_the_end_of_the_step(tmp_path, number):
    late: list[int] = []
    before = signal.signal(number, lambda came, _: late.append(came))
    try:
        _, _, ck = make(tmp_path, signals=[number])
        assert not ck.step(1)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        with pytest.raises(SystemExit) as caught:
            ck.step(2)
        os.kill(os.getpid(), number)  # while the process ends, it would change the exit status
        ck.close()
        os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert caught.value.code == 75
    assert [one.step for one in ck.list()] == [2]
    assert late == []


def test_closing_gives_signals_back(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    _, _, ck = make(tmp_path, signals=[signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is not before
    ck.close()
    assert signal.getsignal(signal.SIGUSR1) is before
