"""A training whose model is the list of batches that it was trained on, saved in the ways that people save.

Run by torchrun as a script, or as a function on every rank of a `job`. Every step is a collective, as in DDP.
"""

import argparse
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from shardline import CheckpointMismatchError, StructuredDataset

Model = list[list[int]]  # the rows of each batch of the job, in its order


def write(path: Path, what: Any) -> None:
    """Whole or not at all."""
    torch.save(what, path.with_suffix(f".{os.getpid()}"))
    path.with_suffix(f".{os.getpid()}").replace(path)


def read(path: Path) -> Any:
    return torch.load(path, weights_only=True) if path.exists() else None


# Ways to save and to load: each is (save(folder, dataset, epoch, model), load(folder, dataset) -> (epoch, model))


def save_on_rank_0(folder: Path, dataset: StructuredDataset, epoch: int, model: Model) -> None:
    if dist.get_rank() == 0:
        write(folder / "last.pt", {"model": model, "epoch": epoch, "dataset": dataset.state_dict()})


def load_of_rank_0(folder: Path, dataset: StructuredDataset) -> tuple[int, Model]:
    saved = read(folder / "last.pt")
    if saved is None:
        return 0, []
    dataset.load_state_dict(saved["dataset"])
    return saved["epoch"], saved["model"]


def save_gathered(folder: Path, dataset: StructuredDataset, epoch: int, model: Model) -> None:
    states: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(states, dataset.state_dict())
    if dist.get_rank() == 0:
        write(folder / "last.pt", {"model": model, "epoch": epoch, "dataset_states": states})


def load_own_slice(folder: Path, dataset: StructuredDataset) -> tuple[int, Model]:
    saved = read(folder / "last.pt")
    if saved is None:
        return 0, []
    dataset.load_state_dict(saved["dataset_states"][dist.get_rank()])
    return saved["epoch"], saved["model"]


def save_a_file_each(folder: Path, dataset: StructuredDataset, epoch: int, model: Model) -> None:
    own = {"model": model, "epoch": epoch, "dataset": dataset.state_dict()}
    write(folder / f"rank{dist.get_rank()}.pt", own)


def load_own_file(folder: Path, dataset: StructuredDataset) -> tuple[int, Model]:
    saved = read(folder / f"rank{dist.get_rank()}.pt")
    if saved is None:
        return 0, []
    dataset.load_state_dict(saved["dataset"])
    return saved["epoch"], saved["model"]


def load_or_start_afresh(folder: Path, dataset: StructuredDataset) -> tuple[int, Model]:
    try:
        return load_of_rank_0(folder, dataset)
    except CheckpointMismatchError:
        return 0, []


STYLES: dict[str, tuple[Callable[..., None], Callable[..., tuple[int, Model]]]] = {
    "rank 0": (save_on_rank_0, load_of_rank_0),
    "a slice a rank": (save_gathered, load_own_slice),
    "a file a rank": (save_a_file_each, load_own_file),
    "set_epoch but for the first": (save_on_rank_0, load_of_rank_0),
    "or afresh": (save_on_rank_0, load_or_start_afresh),
}


def train(
    rank: int,
    path: Path,
    folder: Path,
    style: str,
    kill_at: int | None,
    every: int,
    epochs: int,
    options: dict[str, Any],
) -> Model:
    """The job's batches over all runs so far. The last rank kills itself after `kill_at` steps of this run."""
    save, load = STYLES[style]
    ranks = dist.get_world_size()
    loader, dataset = StructuredDataset.create_dataloader(path, shuffle=True, **options)
    start_epoch, model = load(folder, dataset)
    done = 0
    for epoch in range(start_epoch, epochs):
        if epoch != start_epoch or style != "set_epoch but for the first":
            dataset.set_epoch(epoch)
        for batch in loader:
            batches: list[Any] = [None] * ranks
            dist.all_gather_object(batches, batch["i"].tolist())
            model += batches
            done += 1
            if done == kill_at and rank == ranks - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if done % every == 0:
                save(folder, dataset, epoch, model)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("arguments", type=json.loads)
    given = parser.parse_args().arguments
    dist.init_process_group("gloo")
    path, out = Path(given.pop("path")), Path(given.pop("folder"))
    trained = train(dist.get_rank(), path, out, **given)
    if dist.get_rank() == 0:
        write(out / "trained.pt", trained)
    dist.destroy_process_group()
