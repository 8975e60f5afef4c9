"""Trainings that are killed by SIGKILL at random moments and begun again: each life is a fork of one process that has
imported torch.

A life writes a line for every micro-batch, with one system call, so that a kill leaves whole lines behind.
"""

import ctypes
import hashlib
import json
import math
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which every optimizer imports, in a second

import shardline

EPOCHS, BATCH, WARM_UP = 3, 8, 10
LIMIT = 100.0
Say = Callable[[Any], object]
"""Tells the test something, as JSON."""


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


def train(data: str, folder: Path | str, setting: Setting, log: int, say: Say) -> None:
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
    say(step)
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
    say("done")


def live(data: str, folder: str, log: str, setting: dict[str, Any], say: Say) -> None:
    """As `train`, with what JSON can say."""
    train(data, folder, Setting(**setting), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), say)


def lines(log: Path) -> list[list[Any]]:
    """What was written to a log; a kill may have left no half line, for each was one system call."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


# Saving, over and over


def save_for_ever(folder: str, say: Say) -> None:
    """Says what it restored, then each step whose save has returned. The weights are the step."""
    torch.set_num_threads(1)
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    ck = shardline.Checkpointer(folder, model=model, optimizer=optimizer, keep_last=2, keep_best=0)
    restored = ck.restore()
    weights = {float(value) for value in model.weight.detach().flatten()}
    say([restored.step, bool(restored), sorted(weights) if restored else [0.0], list(restored.skipped)])
    for step in range(restored.step + 1, 10**9):
        with torch.no_grad():
            model.weight.fill_(step)
        ck.save(step)
        say(step)


def save_through_faults(url: str, server: int, after: float, say: Say) -> None:
    """As `save_for_ever`, while the store's process is killed after so many seconds; ends soon after it."""
    torch.set_num_threads(1)
    model = torch.nn.Linear(4, 4)
    options = {"timeout": 2, "retry": {"max_retries": 2, "init_backoff": 0.01, "max_backoff": 0.05}}
    ck = shardline.Checkpointer(url, storage_options=options, model=model, keep_last=2, keep_best=0)
    restored = ck.restore()
    weights = {float(value) for value in model.weight.detach().flatten()}
    say([restored.step, bool(restored), sorted(weights) if restored else [0.0], list(restored.skipped)])
    threading.Timer(after, os.kill, (server, signal.SIGKILL)).start()
    for step in range(restored.step + 1, 10**9):
        with torch.no_grad():
            model.weight.fill_(step)
        try:
            ck.save(step)
        except shardline.CheckpointError:
            return
        say(step)


def save_without_rights(folder: str, say: Say) -> None:
    """Where permissions hold for root too: without its capabilities."""
    version, this_thread = 0x20080522, 0
    if ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(version, this_thread), (ctypes.c_uint32 * 6)()):
        raise OSError("the capabilities could not be given up")
    try:
        shardline.Checkpointer(folder, extra={"x": 1}).save(2)
        say("saved")
    except shardline.ShardlineError as error:
        say(f"{type(error).__name__} {error}")


def save_and_end(folder: str, say: Say) -> None:
    """Ends while a save in the background is under way."""
    ck = shardline.Checkpointer(folder, extra={"x": 1}, blocking=False)
    write = ck._saver.save

    def slow(taken: Any) -> None:
        time.sleep(0.3)
        write(taken)

    ck._saver.save = slow  # type: ignore[method-assign]
    ck.save(1)
    say(len(ck.list()))
    threading._shutdown()  # type: ignore[attr-defined] # what the interpreter calls before it ends


# The server: it has imported what is slow to import, and forks


class Server:
    """Runs functions of this module in processes of their own, each a fork of one that has imported all."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "support.lives"]
        env = {**os.environ, **(environ or {}), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, function: Any, *args: Any, kill_after: float | None = None) -> list[Any]:
        """What `function(*args, say)` said; killed so many seconds after its first word, or run to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([function.__name__, args, kill_after]), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert not isinstance(answer, str), answer
        return list(answer)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


def _serve() -> None:
    for line in sys.stdin:
        name, args, kill_after = json.loads(line)
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(here)
            status = 1
            try:
                globals()[name](*args, partial(_say, there))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(there)
        answer = _listen(here, child, kill_after)
        os.close(here)
        print(json.dumps(answer), flush=True)


def _say(pipe: int, word: Any) -> None:
    os.write(pipe, (json.dumps(word) + "\n").encode())


def _listen(here: int, child: int, kill_after: float | None) -> list[Any] | str:
    said, limit = b"", time.monotonic() + LIMIT
    while b"\n" not in said or kill_after is None:
        ready, _, _ = select.select([here], [], [], max(0.0, limit - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"it takes longer than {LIMIT} seconds"
        if not (part := os.read(here, 65_536)):
            break
        said += part
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
        while part := os.read(here, 65_536):
            said += part
    _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        return f"it ended with status {status}"
    return [json.loads(line) for line in said.splitlines()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _serve()
