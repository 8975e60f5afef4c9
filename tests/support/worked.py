"""Loaders with worker processes, and their batches as values that can be compared."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shardline import DataLoader
from support import context
from support import functions as f


def make(data: Path, workers: int = 0, method: str | None = None, **options: Any) -> DataLoader:
    """Shuffled batches of 4 rows, augmented at random."""
    options = {"batch_size": 4, "shuffle": True, "transform": f.augment, "num_threads": 2} | options
    if workers and method:
        options["multiprocessing_context"] = context(method)
    return DataLoader(data, num_workers=workers, **options)


def plain(value: Any) -> Any:
    """Comparable with ==, bit for bit."""
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return [plain(part) for part in value.unbind()]
        if value.layout is not torch.strided:
            value = value.to_dense()
        return (
            str(value.dtype),
            tuple(value.shape),
            torch.empty_like(value).stride(),
            value.detach().resolve_conj().tolist(),
        )
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tolist()
    if isinstance(value, f.Thing):
        return plain(value.value), value.name
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def names(folder: str | Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def left_over(folder: str | Path, before: list[str], within: float = 30) -> list[str]:
    """What has come to a folder and stays. What tests beside this one have there goes with them."""
    came, end = set(names(folder)) - set(before), time.monotonic() + within
    while came and time.monotonic() < end:
        time.sleep(0.01)
        came &= set(names(folder))
    return sorted(came)


def epochs(loader: Iterable[Any], count: int = 2) -> list[list[Any]]:
    """The batches of the next epochs."""
    return [[plain(batch) for batch in loader] for _ in range(count)]
