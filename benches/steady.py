"""Rows shuffled as a share of rows in order, in steady state: `python benches/steady.py [--rounds 5] [SET …]`.

Sets of 12 windows and more, at the default buffer, batches of 1,024, two threads. The first quarter of a pass is not
in the time: it has the start and the first window, which nothing overlaps. Readings take turns, each in a process of
its own; medians. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import child
import process
from data import SPECS, Spec, data_set, embeddings, flat, plain, tokens
from machine import machine
from run import progress, say

SETS = {
    "flat": Spec("16 float32 + 4 int64, snappy", plain(flat, 16_000_000, 125_000)),
    "embeddings": Spec("list<float32>[256], uncompressed", plain(embeddings, 1_600_000, 10_000, compression="none")),
    "tokens": Spec("list<int32>, about 500 tokens, zstd", plain(tokens, 800_000, 10_000, compression="zstd")),
}
SPECS |= {f"steady-{name}": spec for name, spec in SETS.items()}
Result = dict[str, Any]


def steady(spec: Result) -> Result:
    """One pass: rows a second after its first quarter, and the processor time and page faults of a row there."""
    import resource

    from shardline import DataLoader

    before, rows, begun = process.reset_peak(), 0, None
    start = time.perf_counter()
    loader = DataLoader(spec["paths"], batch_size=1024, num_threads=2, shuffle=spec["shuffle"])
    first = 0.0
    for batch in loader:
        rows += len(next(iter(batch.values())))
        first = first or time.perf_counter() - start
        if begun is None and rows >= spec["rows"] / 4:
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            begun = (time.perf_counter(), process.cpu_seconds(), rows, faults)
    at, cpu, earlier, faults = begun or (start, 0.0, 0, 0)
    found = rows - earlier
    return {
        "rate": found / (time.perf_counter() - at),
        "cpu": (process.cpu_seconds() - cpu) / found,
        "cores": (process.cpu_seconds() - cpu) / (time.perf_counter() - at),
        "faults": (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / found,
        "peak": process.peak() - before,
        "first": first,
    }


TASKS = {"steady": steady}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    say(f"Machine: {machine()['text']}. Medians of {options.rounds} rounds.")
    names = ["rows", "", "k rows/s", "of in order", "ns of a core a row", "cores busy", "page faults / k rows"]
    print(f"| {' | '.join([*names, 'peak, MiB', 'first, ms'])} |")
    print("|---|---|" + "---:|" * 7)
    for name in options.sets:
        data = data_set(f"steady-{name}")
        for path in data.paths:
            Path(path).read_bytes()
        found: dict[bool, list[Result]] = {False: [], True: []}
        for turn in range(options.rounds):
            for shuffle in (False, True) if turn % 2 == 0 else (True, False):
                progress(f"{name}, round {turn + 1}, shuffle={shuffle}")
                spec = {"task": "steady", "paths": data.paths, "rows": data.rows, "shuffle": shuffle}
                found[shuffle].append(child.run("steady", spec, 2))
        medians = {key: {one: median(run[one] for run in runs) for one in runs[0]} for key, runs in found.items()}
        for shuffle, of in medians.items():
            cells = [
                f"{of['rate'] / 1e3:,.0f}",
                f"{of['rate'] / medians[False]['rate']:.2f}",
                f"{of['cpu'] * 1e9:,.0f}",
            ]
            cells += [f"{of['cores']:.2f}", f"{of['faults'] * 1e3:,.1f}", f"{of['peak'] / 2**20:,.0f}"]
            cells += [f"{of['first'] * 1e3:,.0f}"]
            print(f"| {name} | {'shuffled' if shuffle else 'in order'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
