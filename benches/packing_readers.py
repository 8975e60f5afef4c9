"""The readers that benches/packing.py compares: each yields (tokens, places, segments) a batch.

Segments are pieces of documents; 0 where a reader does not tell them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

import shardline
from data import DataSet

BATCH = 16

Counts = tuple[int, int, int]
Reader = Callable[[DataSet, int, int], Iterator[Counts]]


def lists(data: DataSet, _length: int, threads: int) -> Iterator[Counts]:
    """The lists as they are, as jagged tensors."""
    loader = shardline.DataLoader(data.directory, columns=["tokens"], batch_size=BATCH * 4, num_threads=threads)
    for batch in loader:
        count = batch["tokens"].values().numel()
        yield count, count, 0


def packed(mode: str, shuffle: bool = False, **settings: Any) -> Reader:
    def read(data: DataSet, length: int, threads: int) -> Iterator[Counts]:
        pack = shardline.Pack("tokens", seq_len=length, mode=mode, labels="next", **settings)
        loader = shardline.DataLoader(data.directory, pack=pack, batch_size=BATCH, num_threads=threads, shuffle=shuffle)
        for batch in loader:
            places = batch["input_ids"].numel()
            segments = int((batch["segment_ids"].diff(dim=1) > 0).sum()) + len(batch["input_ids"])
            yield batch["num_tokens"], places, segments

    return read


def wrapped() -> dict[str, Reader]:
    return {
        "lists, not packed": lists,
        "wrap": packed("wrap"),
        "wrap, bos and eos": packed("wrap", bos=1, eos=2),
        "wrap, shuffled": packed("wrap", shuffle=True),
        "pyarrow by hand": by_hand,
    }


def fitted() -> dict[str, Reader]:
    return {"lists, not packed": lists, "fit": packed("fit"), "fit, shuffled": packed("fit", shuffle=True)}


def by_hand(data: DataSet, length: int, threads: int) -> Iterator[Counts]:
    """The loop that people write: lists to numpy, end to end, cut, with labels and borders."""

    def block(tokens: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
        inside = ends[: np.searchsorted(ends, len(tokens), "left")]
        borders = np.union1d(inside, np.arange(0, len(tokens) + 1, length)).astype(np.int32)
        labels = np.append(tokens[1:], -100)
        labels[borders[1:] - 1] = -100
        lengths = np.diff(borders)
        positions = np.arange(len(tokens)) - np.repeat(borders[:-1], lengths)
        return {
            "input_ids": torch.from_numpy(tokens.reshape(BATCH, length)),
            "labels": torch.from_numpy(labels.reshape(BATCH, length)),
            "position_ids": torch.from_numpy(positions.reshape(BATCH, length)),
            "cu_seqlens": torch.from_numpy(borders),
        }

    size = length * BATCH
    rest, ends = np.empty(0, np.int64), np.empty(0, np.int64)
    for path in data.paths:
        for batch in pq.ParquetFile(path).iter_batches(1024, columns=["tokens"], use_threads=threads > 1):
            column = batch.column(0)
            ends = np.concatenate([ends, len(rest) + np.diff(column.offsets.to_numpy()).cumsum()])
            rest = np.concatenate([rest, column.flatten().to_numpy().astype(np.int64)])
            while len(rest) >= size:
                made = block(rest[:size], ends)
                yield size, made["input_ids"].numel(), len(made["cu_seqlens"]) - 1
                rest = rest[size:]
                ends = ends[np.searchsorted(ends, size, "right") :] - size
    if len(rest):
        made = block(np.concatenate([rest, np.zeros(size - len(rest), np.int64)]), ends)
        yield len(rest), made["input_ids"].numel(), 0


def trl(strategy: str) -> Reader:
    """TRL's packing of a Hugging Face data set, in memory; then batches of torch."""

    def read(data: DataSet, length: int, _threads: int) -> Iterator[Counts]:
        from datasets import Dataset
        from trl.data_utils import pack_dataset

        dataset = Dataset.from_parquet(data.paths, columns=["tokens"], cache_dir=None, keep_in_memory=True)
        made = pack_dataset(dataset.rename_column("tokens", "input_ids"), length, strategy)
        for batch in made.with_format("numpy").iter(BATCH):
            ids = [torch.from_numpy(np.asarray(each, np.int64)) for each in batch["input_ids"]]
            places = len(torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)) * length
            segments = sum(len(each) for each in batch["seq_lengths"]) if "seq_lengths" in batch else 0
            yield sum(map(len, ids)), places, segments

    return read


def grain(best_fit: bool) -> Reader:
    def read(data: DataSet, length: int, _threads: int) -> Iterator[Counts]:
        import grain.experimental as grain_

        rows = grain_.ParquetIterDataset(data.paths)
        rows = rows.map(lambda row: {"ids": np.asarray(row["tokens"], np.int32)[: length if best_fit else None]})
        if best_fit:
            made: Any = grain_.BestFitPackIterDataset(rows, length_struct={"ids": length}, num_packing_bins=256)
        else:
            made = grain_.ConcatThenSplitIterDataset(rows, length_struct={"ids": length})
        for batch in made.batch(BATCH):
            segments = torch.from_numpy(np.asarray(batch["ids_segment_ids"]))
            torch.from_numpy(np.asarray(batch["ids"]))
            pieces = int((segments.diff(dim=1) > 0).sum()) + len(segments)
            yield int((segments > 0).sum()), segments.numel(), pieces

    return read


def peers_of(what: str) -> dict[str, Reader]:
    """Those that are installed."""
    found: dict[str, Reader] = {}
    if find_spec("trl") and find_spec("datasets"):
        strategy = "wrapped" if what == "wrap" else "bfd_split"
        found[f"TRL {strategy}, datasets"] = trl(strategy)
    if find_spec("grain"):
        found["Grain best fit" if what == "fit" else "Grain concat then split"] = grain(what == "fit")
    return found
