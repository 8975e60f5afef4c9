"""Hugging Face datasets: streaming from the Parquet files, or converted once to its Arrow cache and memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import datasets

from data import HOME
from peers import Batch

datasets.disable_progress_bars()


def dataset(paths: list[str], columns: list[str] | None, streaming: bool = True) -> Any:
    return datasets.load_dataset(
        "parquet", cache_dir=str(HOME / "hf"), data_files=paths, columns=columns, split="train", streaming=streaming
    ).with_format("torch")


def batches(
    paths: list[str],
    batch_size: int,
    columns: list[str] | None,
    threads: int,
    streaming: bool = True,
    shuffle: int | None = None,
    inputs: int | None = None,
) -> Iterable[Batch]:
    """`inputs`: row groups, not files, are the shards, and so many of them feed the shuffle buffer at a time."""
    source = dataset(paths, columns, streaming)
    if inputs is not None:
        source = source.reshard().shuffle(seed=42, buffer_size=shuffle, max_buffer_input_shards=inputs)
    elif shuffle is not None:
        source = source.shuffle(seed=42, buffer_size=shuffle)
    found: Iterable[Batch] = source.iter(batch_size=batch_size)
    return found


def prepare(paths: list[str], columns: list[str] | None, streaming: bool = True, **_options: Any) -> None:
    """Fills the Arrow cache."""
    if not streaming:
        dataset(paths, columns, streaming=False)


class Resumable:
    """A streaming dataset and its state."""

    def __init__(
        self, paths: list[str], batch_size: int, columns: list[str] | None, threads: int, shuffle: int | None = None
    ) -> None:
        self.batch_size = batch_size
        self.dataset = dataset(paths, columns)
        if shuffle is not None:
            self.dataset = self.dataset.shuffle(seed=42, buffer_size=shuffle)
        self.state_dict = self.dataset.state_dict
        self.load_state_dict = self.dataset.load_state_dict

    def __iter__(self) -> Iterator[Batch]:
        found: Iterator[Batch] = self.dataset.iter(batch_size=self.batch_size)
        return found


resumable = Resumable
