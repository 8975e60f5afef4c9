"""What several test modules use."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import settings


def ids(batches: Iterable[Any]) -> list[list[int]]:
    """The row numbers of each batch."""
    return [batch["i"].tolist() for batch in batches]


def take(batches: Iterable[Any], count: int) -> list[list[int]]:
    """The row numbers of the next `count` batches; the end of the epoch is not asked for."""
    return ids(islice(batches, count))


def write_rows(folder: Path, groups: list[list[int]], start: int = 0) -> Path:
    """Writes one file a list of row-group sizes; `i` counts the rows through, `x` is i / 2. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, sizes in enumerate(groups):
        schema = pa.schema([("i", pa.int64()), ("x", pa.float32())])
        with pq.ParquetWriter(folder / f"part-{number:04}.parquet", schema) as writer:
            for size in sizes:
                values = np.arange(start, start + size)
                writer.write_table(
                    pa.table({"i": values, "x": (values / 2).astype("f4")}, schema=schema), row_group_size=max(1, size)
                )
                start += size
    return folder


_READING = [{"num_threads": n, "prefetch_bytes": b} for n in (1, 2, 3, 8) for b in (1, "1MiB", "1GiB")]


def reading(*numbers: int) -> dict[str, Any]:
    """How a dataset reads, which no law depends on: one of all ways, by any numbers of the example that is tested."""
    return _READING[sum(numbers) % len(_READING)]


def context(method: str) -> Any:
    """A multiprocessing context; the forkserver, one for all tests, has imported what is slow to import."""
    chosen = multiprocessing.get_context(method)
    if method == "forkserver":
        slow = ["torch", "torch._dynamo", "torch.distributed", "pyarrow.parquet", "shardline"]
        chosen.set_forkserver_preload([*slow, "support.functions", "support.job", "support.ranked", "support.train"])
    return chosen


def examples(count: int) -> Callable[..., Any]:
    """So many examples of a hypothesis test in CI, and twenty times as many under HYPOTHESIS_PROFILE=long."""
    return settings(max_examples=count * (20 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1))
