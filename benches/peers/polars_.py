"""polars: each file collected, its slices turned into tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import torch

from peers import Batch


def batches(paths: list[str], batch_size: int, columns: list[str] | None, threads: int) -> Iterator[Batch]:
    for path in paths:
        for part in pl.read_parquet(path, columns=columns).iter_slices(batch_size):
            yield {series.name: tensor(series) for series in part}


def tensor(series: pl.Series) -> Any:
    if series.dtype == pl.List:
        lengths = torch.from_numpy(series.list.len().to_numpy(writable=True)).to(torch.int64)
        return series.explode().to_torch(), torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    if series.dtype == pl.String:
        return series.to_list()
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
    elif series.dtype == pl.Date:
        series = series.to_physical()
    return series.to_torch()
