"""The hand-written loop with a shuffle buffer: fill it with batches, permute it, deliver it, fill it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peers import Batch
from peers.arrow import tensors


def batches(
    paths: list[str], batch_size: int, columns: list[str] | None, threads: int, shuffle: int
) -> Iterator[Batch]:
    random = np.random.default_rng(42)
    buffer: list[pa.RecordBatch] = []
    for path in random.permutation(paths):
        for batch in pq.ParquetFile(path).iter_batches(batch_size, columns=columns):
            buffer.append(batch)
            if sum(map(len, buffer)) >= shuffle:
                yield from permuted(buffer, batch_size, random)
                buffer = []
    if buffer:
        yield from permuted(buffer, batch_size, random)


def permuted(buffer: list[pa.RecordBatch], batch_size: int, random: np.random.Generator) -> Iterator[Batch]:
    table = pa.Table.from_batches(buffer)
    for batch in table.take(random.permutation(len(table))).combine_chunks().to_batches(batch_size):
        yield tensors(batch)
