"""Transforms with a fault each, in a file that `shardline verify` is given."""

from pathlib import Path

TRANSFORMS = """
import os, random, signal
import numpy as np
import torch
from torch.utils.data import get_worker_info

OWN = np.random.default_rng()
ONCE = np.random.default_rng(7)
CALLS = 0
FIRST = None


def augment(batch):
    noise = torch.rand(len(batch["i"])) + random.random() + np.random.rand()
    noise += float(np.random.default_rng(torch.initial_seed()).random())
    return {**batch, "x": batch["x"] * noise}


def own(batch):
    return {**batch, "x": batch["x"] + float(OWN.random())}


def unseeded(batch):
    return {**batch, "x": batch["x"] + float(np.random.default_rng().random())}


def seeded_once(batch):
    return {**batch, "x": batch["x"] + float(ONCE.random())}


def counts(batch):
    global CALLS
    CALLS += 1
    return {**batch, "x": batch["x"] + CALLS}


def every_tenth(batch):
    global CALLS
    CALLS += 1
    return {**batch, "x": batch["x"] + (CALLS % 10 == 0)}


def of_first(batch):
    global FIRST
    FIRST = batch["x"].mean() if FIRST is None else FIRST
    return {**batch, "x": batch["x"] - FIRST}


class Running:
    def __init__(self):
        self.total = 0.0

    def __call__(self, batch):
        self.total += float(batch["x"].sum())
        return {**batch, "x": batch["x"] + self.total}


running = Running()


def by_worker(batch):
    info = get_worker_info()
    return {**batch, "x": batch["x"] + (info.id if info else 0)}


def in_worker(batch):
    return {**batch, "x": batch["x"] + (get_worker_info() is not None)}


def by_rank(batch):
    return {**batch, "x": batch["x"] + int(os.environ.get("RANK", 0))}


def by_process(batch):
    return {**batch, "x": batch["x"] + os.getpid() % 1000}


def by_threads(batch):
    return {**batch, "x": batch["x"] + torch.get_num_threads()}


def raises_in_worker(batch):
    if get_worker_info() is not None:
        raise OSError("no such device")
    return batch


def raises(batch):
    return batch["label"]


def nothing(batch):
    print(batch)


def dies(batch):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def plant(folder: Path) -> None:
    """Writes them to planted.py."""
    (folder / "planted.py").write_text("import torch\ntorch.set_num_threads(2)\n" + TRANSFORMS)
