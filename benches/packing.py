"""Packed sequences: `python benches/packing.py [--scale 0.2] [--rounds 5] [--threads 2]`.

Tokens a second of blocks of (16, 2048) with labels and borders, beside the same lists read without packing and beside
the loop that people write with pyarrow. Readers take turns in rounds; a turn is an epoch from nothing, and figures are
medians. The page cache is warm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

import shardline
from data import DataSet, data_set

LENGTH, BATCH = 2048, 16


def lists(data: DataSet, threads: int) -> int:
    """The lists as they are, as jagged tensors."""
    loader = shardline.DataLoader(data.directory, columns=["tokens"], batch_size=BATCH * 4, num_threads=threads)
    return sum(batch["tokens"].values().numel() for batch in loader)


def packed(**options: Any) -> Callable[[DataSet, int], int]:
    def run(data: DataSet, threads: int) -> int:
        pack = shardline.Pack("tokens", seq_len=LENGTH, mode="wrap", **options.get("pack", {}))
        more = {name: value for name, value in options.items() if name != "pack"}
        loader = shardline.DataLoader(data.directory, pack=pack, batch_size=BATCH, num_threads=threads, **more)
        return sum(batch["num_tokens"] for batch in loader)

    return run


def loop(data: DataSet, threads: int) -> int:
    """By hand: lists to numpy, end to end, cut, with labels and borders."""

    def blocks() -> Iterator[dict[str, torch.Tensor]]:
        rest, ends = np.empty(0, np.int64), np.empty(0, np.int64)
        for path in data.paths:
            for batch in pq.ParquetFile(path).iter_batches(1024, columns=["tokens"], use_threads=threads > 1):
                column = batch.column(0)
                ends = np.concatenate([ends, len(rest) + np.diff(column.offsets.to_numpy()).cumsum()])
                rest = np.concatenate([rest, column.flatten().to_numpy().astype(np.int64)])
                while len(rest) >= LENGTH * BATCH:
                    yield block(rest[: LENGTH * BATCH], ends)
                    rest = rest[LENGTH * BATCH :]
                    ends = ends[np.searchsorted(ends, LENGTH * BATCH, "right") :] - LENGTH * BATCH
        if len(rest):
            yield block(np.concatenate([rest, np.zeros(LENGTH * BATCH - len(rest), np.int64)]), ends)

    def block(tokens: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
        inside = ends[: np.searchsorted(ends, len(tokens), "left")]
        borders = np.union1d(inside, np.arange(0, len(tokens) + 1, LENGTH)).astype(np.int32)
        labels = np.append(tokens[1:], -100)
        labels[borders[1:] - 1] = -100
        lengths = np.diff(borders)
        positions = np.arange(len(tokens)) - np.repeat(borders[:-1], lengths)
        return {
            "input_ids": torch.from_numpy(tokens.reshape(BATCH, LENGTH)),
            "labels": torch.from_numpy(labels.reshape(BATCH, LENGTH)),
            "position_ids": torch.from_numpy(positions.reshape(BATCH, LENGTH)),
            "cu_seqlens": torch.from_numpy(borders),
        }

    return sum(batch["input_ids"].numel() for batch in blocks())


READERS: dict[str, Callable[[DataSet, int], int]] = {
    "lists, not packed": lists,
    "packed": packed(pack={"labels": "next"}),
    "packed, bos and eos": packed(pack={"labels": "next", "bos": 1, "eos": 2}),
    "packed, shuffled": packed(pack={"labels": "next"}, shuffle=True),
    "pyarrow by hand": loop,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data set (1)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each reader (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads that each reader may use (2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = data_set("D3", options.scale)
    rates: dict[str, list[float]] = {name: [] for name in READERS}
    names = list(READERS)
    for turn in range(options.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begin = time.perf_counter()
            tokens = READERS[name](data, options.threads)
            rates[name].append(tokens / (time.perf_counter() - begin) / 1e6)
    first = statistics.median(rates[names[0]])
    print("| | million tokens/s | of the lists' rate |\n|---|---:|---:|")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):,.0f} | {statistics.median(found) / first:.2f} |")


if __name__ == "__main__":
    main()
