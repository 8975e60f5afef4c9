"""Trainings that are killed by SIGKILL at random moments and begun again: each life is a child of a fork server.

A life writes a line for every micro-batch, with one system call, so that a kill leaves whole lines behind.
"""

import hashlib
import json
import math
import os
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import context

import shardline

EPOCHS, BATCH, WARM_UP = 3, 8, 10


@dataclass(frozen=True)
class Setting:
    """What is trained how. `save_every`: optimizer steps."""

    scaler: bool = False
    accumulate: int = 1
    save_every: int = 1
    blocking: bool = True


class Model(torch.nn.Module):
    """Dropout by torch's generator, noise by numpy's and python's: all three have to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
        )

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        x = torch.stack([batch["i"].float() / 1000, batch["x"] / 1000], dim=1)
        x = x + float(np.random.normal()) * 0.01 + random.gauss(0, 0.01)
        result: torch.Tensor = self.layers(x).squeeze(1)
        return result


def train(data: str, folder: Path, setting: Setting, log: int, said: Any = None) -> None:
    """One life: from the last checkpoint to the end, if nobody kills it."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    loader = shardline.DataLoader(data, batch_size=BATCH, shuffle=True, shuffle_seed=5, num_threads=1)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    total = EPOCHS * len(loader) // setting.accumulate
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min(n / WARM_UP, 1.0) * (1 + math.cos(math.pi * n / total)) / 2
    )
    scaler = torch.amp.GradScaler("cpu", enabled=setting.scaler, growth_interval=7, init_scale=2.0**120)
    ck = shardline.Checkpointer(
        folder,
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        scaler=scaler,
        data=loader,
        every_steps=setting.save_every,
        keep_last=2,
        blocking=setting.blocking,
    )
    step = ck.restore().step
    if said is not None:
        said.send(step)
    for epoch in range(loader.epoch, EPOCHS):
        loader.set_epoch(epoch)
        for index, batch in enumerate(loader, start=loader.batch_index):
            loss = model(batch).sub(batch["x"] / 1000).pow(2).mean()
            scaler.scale(loss / setting.accumulate).backward()
            ids = hashlib.sha256(batch["i"].numpy().tobytes()).hexdigest()[:16]
            os.write(log, (json.dumps([epoch, index, ids, float(loss.item()).hex()]) + "\n").encode())
            if (index + 1) % setting.accumulate == 0:
                scaler.step(optimizer)
                scaler.update()
                scheduler.step()
                optimizer.zero_grad()
                step += 1
                ck.step(step)
    ck.save(step)
    ck.close()
    if said is not None:
        said.send("done")


def _live(data: str, folder: str, setting: dict[str, Any], log: str, said: Any) -> None:
    import warnings

    warnings.simplefilter("ignore")
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    train(data, Path(folder), Setting(**setting), handle, said)


def live(data: Path, folder: Path, setting: Setting, log: Path, wait: float | None) -> bool:
    """One life in a process of its own, killed `wait` seconds after it had restored. Whether it came to its end."""
    chosen = context("forkserver")
    here, there = chosen.Pipe(duplex=False)
    child = chosen.Process(target=_live, args=(str(data), str(folder), asdict(setting), str(log), there), daemon=True)
    child.start()
    there.close()
    try:
        assert here.poll(60), "no life within a minute"
        here.recv()  # it stands where it goes on
        if wait is not None:
            time.sleep(wait)
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        else:
            assert here.poll(100), "the life does not end"
        return here.poll() and here.recv() == "done"
    except EOFError:
        return False
    finally:
        child.kill()
        child.join()
        here.close()


def lines(log: Path) -> list[list[Any]]:
    """What was written to a log; a kill may have left no half line, for each was one system call."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# Saving, over and over


def _save_for_ever(folder: str, said: Any) -> None:
    torch.set_num_threads(1)
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    ck = shardline.Checkpointer(folder, model=model, optimizer=optimizer, keep_last=2, keep_best=0)
    restored = ck.restore()
    weights = {float(value) for value in model.weight.detach().flatten()}
    said.send((restored.step, bool(restored), weights if restored else {0.0}, restored.skipped))
    for step in range(restored.step + 1, 10**9):
        with torch.no_grad():
            model.weight.fill_(step)
        ck.save(step)
        said.send(step)


def save_and_kill(folder: Path, wait: float) -> tuple[Any, int]:
    """(what was restored, the last step whose save had returned) of a life that only saves, killed after `wait` seconds."""
    chosen = context("forkserver")
    here, there = chosen.Pipe(duplex=False)
    child = chosen.Process(target=_save_for_ever, args=(str(folder), there), daemon=True)
    child.start()
    there.close()
    assert here.poll(60), "no life within a minute"
    try:
        restored = here.recv()
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        last = restored[0]
        while True:
            last = here.recv()
    except EOFError:
        return restored, last
    finally:
        child.kill()
        child.join()
        here.close()
