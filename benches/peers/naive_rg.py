"""The loop that somebody writes who has measured the first: whole row groups, then slices of their tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from peers import Batch
from peers.arrow import column


def batches(paths: list[str], batch_size: int, columns: list[str] | None, threads: int) -> Iterator[Batch]:
    for path in paths:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns).combine_chunks()
            whole = {name: column(table.column(name).chunk(0)) for name in table.column_names}
            for start in range(0, table.num_rows, batch_size):
                yield {name: cut(value, start, start + batch_size) for name, value in whole.items()}


def cut(value: Any, start: int, end: int) -> Any:
    if isinstance(value, tuple):
        values, offsets = value
        offsets = offsets[start : end + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return values[first:last], offsets - first
    return value[start:end]
