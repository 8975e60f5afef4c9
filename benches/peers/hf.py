"""Hugging Face datasets: streaming from the Parquet files, or converted once to its Arrow cache and memory-mapped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data import HOME

CACHE = Path(HOME) / "hf"
os.environ.update(HF_HOME=str(CACHE), HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import datasets  # noqa: E402: it reads its settings when it is imported

from peers import Batch  # noqa: E402


def dataset(paths: list[str], columns: list[str] | None, streaming: bool = True) -> Any:
    return datasets.load_dataset(
        "parquet", data_files=paths, columns=columns, split="train", streaming=streaming
    ).with_format("torch")


def batches(
    paths: list[str],
    batch_size: int,
    columns: list[str] | None,
    threads: int,
    streaming: bool = True,
    shuffle: int | None = None,
) -> Iterable[Batch]:
    source = dataset(paths, columns, streaming)
    if shuffle is not None:
        source = source.shuffle(seed=42, buffer_size=shuffle)
    found: Iterable[Batch] = source.iter(batch_size=batch_size)
    return found


def prepare(paths: list[str], columns: list[str] | None, streaming: bool = True, shuffle: int | None = None) -> None:
    """Fills the Arrow cache."""
    if not streaming:
        dataset(paths, columns, streaming=False)
