"""What a batch costs the Python thread: `python benches/delivery.py [--batch 1024] [--threads 1]`.

20 columns of D1. Decoding is done by other threads, so the CPU time of this one is the delivery: taking the batch from
the reader and making its tensors (or arrays, or record batch).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from statistics import median
from typing import Any

from compare import rows_of
from data import DataSet, data_set
from peers import PEERS

WARM = 50
"""Batches at the start that are not counted: imports, threads, the first footers."""


def cost(batches: Iterable[Any]) -> float:
    """CPU seconds of this thread a batch."""
    start, count = 0.0, 0
    for count, _ in enumerate(batches):
        if count == WARM:
            start = time.thread_time()
    if count <= WARM:
        raise ValueError(f"only {count + 1} batches")
    return (time.thread_time() - start) / (count - WARM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    data = data_set("D1", options.scale)
    print("| reader | output | CPU µs of the Python thread a batch |\n|---|---|---:|")
    for key, output in (("shardline", "torch"), ("shardline", "numpy"), ("shardline", "arrow"), ("naive-rg", "torch")):
        reason = PEERS[key].absent()
        said = f"absent: {reason}" if reason else f"{measured(key, output, data, options) * 1e6:.1f}"
        print(f"| {PEERS[key].label} | {output} | {said} |", flush=True)


def measured(key: str, output: str, data: DataSet, options: argparse.Namespace) -> float:
    module = PEERS[key].load()
    more = {} if output == "torch" else {"output_format": output}
    where = (data.paths, options.batch, data.columns, options.threads)
    rows_of(next(iter(module.batches(*where, **more))))
    return median(cost(module.batches(*where, **more)) for _ in range(options.rounds))


if __name__ == "__main__":
    main()
