"""The baseline: the loop that everybody writes first."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from peers import Batch
from peers.arrow import tensors


def batches(paths: list[str], batch_size: int, columns: list[str] | None, threads: int) -> Iterator[Batch]:
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(batch_size, columns=columns):
            yield tensors(batch)
