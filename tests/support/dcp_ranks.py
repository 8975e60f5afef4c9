"""Trainings whose ranks save and load by torch.distributed.checkpoint; each function runs on every rank of a job."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from shardline import DataLoader
from support.ranked import Net, numbers

EPOCHS = 3
STOPS = {"mid": (0, 2, False), "last": (0, 10, False), "ended": (1, 10, True), "odd": (2, 3, False)}
"""(epoch, steps of it on 2 ranks, whether its end was seen)."""


class Training:
    """An FSDP2 model, its optimizer and a loader of 4 shards; `state` is what DCP saves and loads."""

    def __init__(self, data: Path) -> None:
        torch.manual_seed(4)
        torch.set_num_threads(1)
        self.net = Net()
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        fully_shard(self.net.first, mesh=mesh)
        fully_shard(self.net, mesh=mesh)
        self.net.drop.p = 0.0
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.01)
        self.loader = DataLoader(data, batch_size=5, shuffle=True, num_shards=4)

    def save(self, folder: Path) -> None:
        model, optimizer = get_state_dict(self.net, self.optimizer)
        dcp.save({"model": model, "optimizer": optimizer, "data": self.loader}, checkpoint_id=folder)

    def load(self, folder: Path) -> None:
        model, optimizer = get_state_dict(self.net, self.optimizer)
        dcp.load({"model": model, "optimizer": optimizer, "data": self.loader}, checkpoint_id=folder)
        set_state_dict(self.net, self.optimizer, model_state_dict=model, optim_state_dict=optimizer)

    def step(self, batch: Any) -> tuple[int, list[int]]:
        """Trains; (epoch, rows)."""
        loss = (self.net(batch) - batch["x"] / 50).pow(2).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self.loader.epoch, batch["i"].tolist()


def whole(rank: int, data: Path, folder: Path) -> Any:
    """Three epochs, saved at each stop: (what was trained on, the weights)."""
    training, found = Training(data), []
    at = {place: name for name, place in STOPS.items()}
    for epoch in range(EPOCHS):
        training.loader.set_epoch(epoch)
        for step, batch in enumerate(training.loader, start=1):
            found.append(training.step(batch))
            if name := at.get((epoch, step, False)):
                training.save(folder / name)
        if name := at.get((epoch, step, True)):
            training.save(folder / name)
    return found, numbers(training.net)


def rest(rank: int, data: Path, folder: Path, names: list[str], steps: int | None = None) -> Any:
    """From each checkpoint to the end, or for some steps, after which `NAME-again` is saved."""
    results = []
    for name in names:
        training, found = Training(data), []
        training.load(folder / name)
        for epoch in range(training.loader.epoch, EPOCHS):
            training.loader.set_epoch(epoch)
            for batch in training.loader:
                found.append(training.step(batch))
                if len(found) == steps:
                    break
            if len(found) == steps:
                training.save(folder / f"{name}-again")
                break
        results.append((found, numbers(training.net)))
    return results


# As torchtitan saves a loader: a key a data-parallel rank


def key_a_rank(rank: int, data: Path, folder: Path, load: bool) -> Any:
    """The rows that follow the fourth batch; or what DCP says."""
    loader = DataLoader(data, batch_size=5, shuffle=True, num_shards=4)
    state = {"dataloader": {f"dp_rank_{rank}": pickle.dumps(loader.state_dict())}}
    if not load:
        iterator = iter(loader)
        for _ in range(4):
            next(iterator)
        state["dataloader"][f"dp_rank_{rank}"] = pickle.dumps(loader.state_dict())
        dcp.save(state, checkpoint_id=folder)
        return [batch["i"].tolist() for batch in iterator]
    try:
        dcp.load(state, checkpoint_id=folder)
    except CheckpointException as error:
        return str(error)
    loader.load_state_dict(pickle.loads(state["dataloader"][f"dp_rank_{rank}"]))
    return [batch["i"].tolist() for batch in loader]


def any_ones_key(rank: int, data: Path, folder: Path) -> Any:
    """Every rank reads rank 0's."""
    loader = DataLoader(data, batch_size=5, shuffle=True, num_shards=4)
    state = {"dataloader": {"dp_rank_0": b""}}
    dcp.load(state, checkpoint_id=folder)
    loader.load_state_dict(pickle.loads(state["dataloader"]["dp_rank_0"]))
    return [batch["i"].tolist() for batch in loader]


def run_page(rank: int, folder: Path, loop: str) -> int:
    """A page's loop; rank 0 writes the weights to end.pt. The epoch it came to."""
    os.chdir(folder)
    torch.manual_seed(4)
    names: dict[str, Any] = {}
    exec(compile(loop, "pytorch.md", "exec"), names)
    weights = {name: p.full_tensor() for name, p in names["model"].named_parameters()}
    if rank == 0:
        torch.save(weights, "end.pt")
    return names["epoch"]
