"""Hugging Face datasets in its memory-mapped Arrow cache, read at random by torch's DataLoader: a uniform shuffle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from peers import Batch
from peers.hf import dataset


def batches(
    paths: list[str], batch_size: int, columns: list[str] | None, threads: int, by_batch: bool, workers: int = 0
) -> Iterable[Batch]:
    """`by_batch`: a batch's rows are asked for by one list of numbers, instead of row by row and then collated."""
    source = dataset(paths, None, streaming=False)
    if columns:
        source = source.select_columns(columns)
    sampler = RandomSampler(source, generator=torch.Generator().manual_seed(42))
    options: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler}
    if by_batch:
        options = {"batch_size": None, "sampler": BatchSampler(sampler, batch_size, drop_last=False)}
    loader: Iterable[Batch] = DataLoader(source, num_workers=workers, **options)
    return loader


def prepare(paths: list[str], columns: list[str] | None, **options: Any) -> None:
    """Fills the Arrow cache, and the page cache with it."""
    for _ in dataset(paths, None, streaming=False).with_format("arrow").iter(batch_size=65_536):
        pass
