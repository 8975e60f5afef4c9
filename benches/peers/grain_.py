"""Grain: its Parquet source, the rows of a window in random order, stacked into batches.

Its source takes the rows of all files in turn, and reads every column.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from grain.experimental import ParquetIterDataset, WindowShuffleIterDataset

from peers import Batch


def batches(
    paths: list[str], batch_size: int, columns: list[str] | None, threads: int, shuffle: int
) -> Iterator[Batch]:
    rows = WindowShuffleIterDataset(ParquetIterDataset(paths), window_size=shuffle, seed=42)
    for batch in rows.batch(batch_size):
        yield {name: torch.as_tensor(values) for name, values in batch.items()}
