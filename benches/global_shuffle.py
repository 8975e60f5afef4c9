"""How uniform `rewrite(shuffle=True)` is: `python benches/global_shuffle.py [--rows 4200000] [--batch 1024]`.

Sorted rows are rewritten in a random order. The output is cut into batches in file order, all of them, and each figure
of `shuffle_quality` is computed of where these rows stood in the input: 1.00 is a uniform shuffle. Beside each, its
standard error, from the same figure of 40 parts of the batches, and how many of these it is away from uniform.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq

import shardline
from data import HOME, flat
from machine import machine
from shardline.quality.figures import mean_ratio, neighbours, places_in, run_ratio

FILES, GROUP_ROWS, PARTS = 4, 125_000, 40


def figures(rows: np.ndarray, total: int) -> dict[str, Callable[[slice], float]]:
    """Each figure, of some of the batches. `rows`: their rows' numbers in the input, one line a batch."""
    size = rows.shape[1]
    ids = (rows.mean(1) + 0.5) / total - 0.5
    found: dict[str, Callable[[slice], float]] = {
        "sorted ids": lambda some: mean_ratio(ids[some], (1 - 1 / total**2) / 12, total, size)
    }
    groups = np.full(-(-total // GROUP_ROWS), GROUP_ROWS)
    groups[-1] = total - GROUP_ROWS * (len(groups) - 1)
    for name, sizes in (("row group", groups), ("file", np.full(FILES, total // FILES))):
        places, variance = places_in(rows, sizes)
        found[f"position in a {name}"] = lambda some, p=places, v=variance: mean_ratio(p[some], v, total, size)
    for runs in (100, 1_000, 10_000):
        found[f"labels in {runs:,} runs"] = lambda some, n=runs: run_ratio(rows[some], n, total)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4_200_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    folder = HOME / "global-shuffle"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    each = options.rows // FILES
    for number in range(FILES):
        table = flat(each, number, number * each).select(["id", "user", "x00", "x01"])
        pq.write_table(table, folder / "in" / f"{number}.parquet", row_group_size=GROUP_ROWS)
    report = shardline.rewrite(folder / "in", folder / "out", shuffle=True, seed=options.seed)
    order = np.concatenate(
        [pq.read_table(path, columns=["id"])["id"].to_numpy() for path in sorted((folder / "out").iterdir())]
    )
    shutil.rmtree(folder)
    total, count = len(order), len(order) // options.batch
    rows = order[: count * options.batch].reshape(count, options.batch)
    print(
        f"Machine: {machine()['text']}. {report.rows:,} rows, seed {options.seed}, {count:,} batches of "
        f"{options.batch:,}.\n"
    )
    print("| figure | value | standard error | errors from uniform |\n|---|---:|---:|---:|")
    parts = [slice(start * count // PARTS, (start + 1) * count // PARTS) for start in range(PARTS)]
    for name, figure in figures(rows, total).items():
        error = float(np.std([figure(part) for part in parts], ddof=1)) / math.sqrt(PARTS)
        value = figure(slice(None))
        print(f"| {name} | {value:.4f} | {error:.4f} | {(value - 1) / error:+.1f} |")
    ids = rows.mean(1) - (total - 1) / 2
    value, error = neighbours(ids, np.ones(count - 1, bool)), 1 / math.sqrt(count)
    print(f"| neighbouring batches, correlation | {value:+.4f} | {error:.4f} | {value / error:+.1f} |")


if __name__ == "__main__":
    main()
