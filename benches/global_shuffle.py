"""How uniform `rewrite(shuffle=True)` is: `python benches/global_shuffle.py [--rows 4200000] [--seeds 0 1 …]`.

Sorted rows are rewritten in a random order. The output is cut into batches in file order, all of them, and each figure
of `shuffle_quality` is computed of where these rows stood in the input: 1.00 is a uniform shuffle. Beside each,
its standard error, from the same figure of 40 parts of the batches, and how many of these it is away from uniform: of
the mean over all seeds, and of single ones.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

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


def shuffled(folder: Path, seed: int) -> np.ndarray:
    """The rows' numbers in the input, in the order that `rewrite(shuffle=True)` gives them."""
    shardline.rewrite(folder / "in", folder / "out", shuffle=True, seed=seed, overwrite=True)
    files = sorted((folder / "out").iterdir())
    return np.concatenate([pq.read_table(path, columns=["id"])["id"].to_numpy() for path in files])


def measure(order: np.ndarray, size: int) -> dict[str, tuple[float, float, float]]:
    """Of each figure: (value, its standard error, what it is of a uniform shuffle)."""
    total, count = len(order), len(order) // size
    rows = order[: count * size].reshape(count, size)
    parts = [slice(start * count // PARTS, (start + 1) * count // PARTS) for start in range(PARTS)]
    found = {}
    for name, figure in figures(rows, total).items():
        error = float(np.std([figure(part) for part in parts], ddof=1)) / math.sqrt(PARTS)
        found[name] = (figure(slice(None)), error, 1.0)
    ids = rows.mean(1) - (total - 1) / 2
    found["neighbouring batches, correlation"] = (neighbours(ids, np.ones(count - 1, bool)), 1 / math.sqrt(count), 0.0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4_200_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="fixed before anything is seen")
    options = parser.parse_args()
    folder = HOME / "global-shuffle"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    each = options.rows // FILES
    for number in range(FILES):
        table = flat(each, number, number * each).select(["id", "user", "x00", "x01"])
        pq.write_table(table, folder / "in" / f"{number}.parquet", row_group_size=GROUP_ROWS)
    runs = []
    for seed in options.seeds:
        runs.append(measure(shuffled(folder, seed), options.batch))
        print(f"seed {seed}:", *(f"{(v - u) / e:+.1f}" for v, e, u in runs[-1].values()), file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    print(
        f"Machine: {machine()['text']}. {options.rows:,} rows, {options.rows // options.batch:,} batches of "
        f"{options.batch:,}; seeds {', '.join(map(str, options.seeds))}.\n"
    )
    print("| figure | mean | standard error | errors from uniform | of one seed |\n|---|---:|---:|---:|---:|")
    for name in runs[0]:
        values, errors, uniform = np.array([run[name] for run in runs]).T
        error = math.sqrt(float((errors**2).mean()) / len(runs))
        away, of_one = (values.mean() - uniform[0]) / error, (values - uniform) / errors
        print(
            f"| {name} | {values.mean():.4f} | {error:.4f} | {away:+.1f} | {of_one.min():+.1f} to {of_one.max():+.1f} |"
        )


if __name__ == "__main__":
    main()
