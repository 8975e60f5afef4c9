"""How well what the loader delivers is mixed, at its defaults: `python benches/delivered.py [--epochs 3] [--only 0,1]`.

Thirteen layouts of sorted rows, from 64 row groups of 4,000 rows to 40 M rows in 320, and three further cases of the
first: 8 shards, 64 shards, and a filter that one row of ten passes. Every row of every epoch is read; the figures are
those of `shardline.shuffle_quality`, of the ids that came: the labels' are over all random labels, not of a few draws.
Prints Markdown. A column of one repeated value gives the rows their width, so that the files are small.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import HOME
from machine import machine
from run import progress, say
from shardline import DataLoader
from shardline.quality.figures import mean_ratio, neighbours, places_in, run_ratio

FOLDER = HOME / "delivered"
BATCH = 1024
Parts = list[tuple[int, int, int]]
"""Files: row groups, rows of each, and bytes of a decoded row."""

LAYOUTS: dict[str, Parts] = {
    "32 × 125,000": [(32, 125_000, 96)],
    "64 × 125,000": [(64, 125_000, 96)],
    "320 × 125,000": [(320, 125_000, 96)],
    "1 × 2,000,000, 16 × 125,000": [(1, 2_000_000, 96), (16, 125_000, 96)],
    "4 × 1,000,000": [(4, 1_000_000, 96)],
    "4 × 1,048,576 of 300 B": [(4, 1_048_576, 300)],
    "1 × 3,000,000 of 300 B": [(1, 3_000_000, 300)],
    "3 × 1,000,000 of 1,000 B": [(3, 1_000_000, 1_000)],
    "32 × 125,000 of 1,024 B": [(32, 125_000, 1_024)],
    "40 × 50,000 of 4,096 B": [(40, 50_000, 4_096)],
    "2,000 × 2,000": [(2_000, 2_000, 96)],
    "64 × 4,000 of 40,000 B": [(64, 4_000, 40_000)],
    "32 × 125,000 of 100 B, 1 × 5,000 of 1 MiB": [(32, 125_000, 100), (1, 5_000, 2**20)],
}
FIRST = next(iter(LAYOUTS))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in LAYOUTS},
    f"{FIRST}, 8 shards": (FIRST, {"num_shards": 8}),
    f"{FIRST}, 64 shards": (FIRST, {"num_shards": 64}),
    f"{FIRST}, a filter that 10 % pass": (FIRST, {"filters": [("passes", "==", True)]}),
}


def write(folder: Path, parts: Parts) -> None:
    """Ids in order, a tenth of the rows marked at random, and a text that fills the row."""
    random, first = np.random.default_rng(0), 0
    folder.mkdir(parents=True)
    options: dict[str, Any] = {"use_dictionary": ["filler"], "dictionary_pagesize_limit": 2**22, "store_schema": False}
    for number, (groups, rows, width) in enumerate(parts):
        text = pa.array([b"x" * (width - 8 - 1 - 4)], pa.binary())  # beside the id, the mark and the text's offset
        filler = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), text)
        types = {"id": pa.int64(), "passes": pa.bool_(), "filler": filler.type}
        with pq.ParquetWriter(folder / f"{number}.parquet", pa.schema(types), **options) as out:
            for _ in range(groups):
                columns = [np.arange(first, first + rows), random.random(rows) < 0.1, filler]
                out.write_table(pa.table(dict(zip(types, columns, strict=True))), row_group_size=rows)
                first += rows


def measured(name: str, epochs: int) -> list[float]:
    """The figures of a case: root mean squares over the epochs, and the mean of the correlations."""
    layout, options = CASES[name]
    parts = LAYOUTS[layout]
    folder = FOLDER / layout.replace(" ", "-").replace(",", "")
    if not folder.exists():
        write(folder, parts)
    found = [epoch_figures(folder, parts, options, epoch) for epoch in range(epochs)]
    squares = np.sqrt((np.array(found) ** 2).mean(0))
    return [float(squares[0]), float(np.mean([figures[1] for figures in found])), *map(float, squares[2:])]


def epoch_figures(folder: Path, parts: Parts, options: dict[str, Any], epoch: int) -> list[float]:
    loader = DataLoader(folder, batch_size=BATCH, columns=["id"], shuffle=True, shuffle_seed=42, **options)
    loader.set_epoch(epoch)
    if loader.dataset.plan.decoded_bytes != [rows * width for groups, rows, width in parts for _ in range(groups)]:
        raise SystemExit(f"{folder.name}: rows are not as wide as they should be; remove {folder}")
    batches = [batch["id"].numpy().copy() for batch in loader]
    sizes = np.concatenate([np.full(groups, rows) for groups, rows, _ in parts])
    ids = np.sort(np.concatenate(batches))
    if not options.get("filters") and not np.array_equal(ids, np.arange(sizes.sum())):
        raise SystemExit(f"{folder.name}: rows are missing or there twice")
    # The rows that pass, numbered: a label's runs are of these.
    full = np.searchsorted(ids, np.stack([batch for batch in batches if len(batch) == BATCH]))
    total = len(ids)
    sizes = np.diff(np.searchsorted(ids, np.concatenate([[0], sizes.cumsum()])))
    deviations = (full.mean(1) + 0.5) / total - 0.5
    follows = np.full(len(full) - 1, not options.get("num_shards"))
    return [
        mean_ratio(deviations, (1 - 1 / total**2) / 12, total, BATCH),
        neighbours(deviations, follows),
        *(run_ratio(full, runs, total) for runs in (100, 1_000, 10_000)),
        mean_ratio(*places_in(full, sizes), total, BATCH),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", help="places of the cases in the list, from 0")
    options = parser.parse_args()
    names = list(CASES)
    if options.only:
        names = [names[int(place)] for place in options.only.split(",")]
    say(f"Machine: {machine()['text']}. Every row of {options.epochs} epochs, batches of {BATCH:,}, seed 42.")
    print("| data | sorted ids | neighbours | labels in 100 / 1,000 / 10,000 runs | in a row group |")
    print("|---|---:|---:|---:|---:|")
    for name in names:
        began = time.perf_counter()
        ids, near, *labels, group = measured(name, options.epochs)
        cells = [f"{ids:.2f}", "" if np.isnan(near) else f"{near:.2f}", " / ".join(f"{ratio:.2f}" for ratio in labels)]
        print(f"| {name} | {' | '.join(cells)} | {group:.2f} |", flush=True)
        progress(f"{name}: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
