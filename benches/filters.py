"""A filter that keeps few rows, beside reading everything and filtering in pyarrow: medians of interleaved rounds.

    python benches/filters.py [--rows 4000000] [--rounds 7] [--threads 2]

The data set is D1's: 16 float32, 4 int64, snappy, row groups of 125,000 rows. Two filters each keep 1 % of the rows:
one of rows that lie anywhere (`x00 > 2.326`, a survivor in every page), one of a stretch of time (`time` within 1 % of
its range, which statistics narrow down to a few row groups). A turn is an epoch: every surviving batch taken; planning
and counting, which happen once a run, stand beside it. The page cache is warm.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import data
from machine import machine
from shardline import StructuredDataset

BATCH = 1024


def files(rows: int) -> Path:
    """Writes the data once."""
    folder = data.HOME / f"filters-{rows}"
    if not folder.exists():
        folder.mkdir(parents=True)
        each = rows // data.FILES
        for number in range(data.FILES):
            table = data.flat(each, number, number * each)
            later = pc.add(table["time"], number * 10**10)
            table = table.set_column(table.schema.names.index("time"), "time", later)
            pq.write_table(table, folder / f"{number}.parquet", row_group_size=125_000)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    folder = files(arguments.rows)
    pa.set_cpu_count(arguments.threads)
    times = ds.dataset(folder).to_table(columns=["time"])["time"].to_numpy()
    low, high = (int(t) for t in np.quantile(times, [0.50, 0.51]))
    filters = {
        "anywhere": pc.field("x00") > 2.3263,
        "a stretch": (pc.field("time") >= low) & (pc.field("time") < high),
    }
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    for name, expression in filters.items():
        compare(name, folder, expression, arguments.rounds, arguments.threads)


def compare(name: str, folder: Path, expression: Any, rounds: int, threads: int) -> None:
    options: dict[str, Any] = {"batch_size": BATCH, "num_threads": threads}
    start = time.perf_counter()
    filtered = StructuredDataset(folder, filters=expression, **options)
    planned = time.perf_counter() - start
    column = "x00" if name == "anywhere" else "time"
    peers: dict[str, Callable[[], int]] = {
        "shardline, filter": lambda: sum(len(batch["x00"]) for batch in filtered),
        "shardline, all rows": lambda: sum(len(b["x00"]) for b in StructuredDataset(folder, **options)),
        f"shardline, {column} alone": lambda: sum(
            len(b[column]) for b in StructuredDataset(folder, columns=[column], **options)
        ),
        "pyarrow, read all and filter": lambda: len(pq.read_table(folder).filter(expression)),
        "pyarrow, dataset with filter": lambda: len(ds.dataset(folder).to_table(filter=expression)),
    }
    taken: dict[str, list[float]] = {peer: [] for peer in peers}
    kept = {}
    for turn in range(rounds + 1):  # the first warms up
        for peer, read in peers.items():
            start = time.perf_counter()
            kept[peer] = read()
            if turn:
                taken[peer].append(time.perf_counter() - start)
    rows = {kept[peer] for peer in peers if "filter" in peer}
    if len(rows) != 1:
        raise ValueError(f"the readers disagree on how many rows pass: {kept}")
    medians = {peer: statistics.median(seconds) for peer, seconds in taken.items()}
    base = medians["shardline, filter"]
    print(f"\n{name}: {rows.pop():,} rows pass; planned and counted in {planned * 1e3:.0f} ms, once; {threads} threads")
    for peer, seconds in medians.items():
        spread = f"{min(taken[peer]) * 1e3:.0f} to {max(taken[peer]) * 1e3:.0f}"
        print(f"  {peer:32} {seconds * 1e3:8.1f} ms  ({spread})  {seconds / base:6.2f} x")


if __name__ == "__main__":
    main()
