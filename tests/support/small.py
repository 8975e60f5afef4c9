"""A small training to be checkpointed, and what is looked at afterwards."""

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from shardline import Checkpointer


def make(folder: Any, seed: int = 0, **options: Any) -> tuple[nn.Sequential, torch.optim.AdamW, Checkpointer]:
    """A small model and optimizer that have taken a step, and their checkpointer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer, Checkpointer(folder, model=model, optimizer=optimizer, **options)


def names(folder: Any) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def draws() -> tuple[Any, ...]:
    """Numbers from every global generator."""
    return random.random(), random.gauss(0, 1), np.random.normal(), np.random.random(), torch.rand(2).tolist()


@contextmanager
def full_disk() -> Iterator[None]:
    """As if the disk had 2,000 bytes left; only for so long, since pytest may be writing its report to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
