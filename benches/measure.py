"""One measurement, in a process of its own: reads what to do as JSON from stdin, prints what it found as JSON.

The consumer counts rows and touches nothing else. Passes over the data are repeated, each from nothing, until
`seconds` are over, so that a fast reader is not measured by its start; a slow one is stopped after `limit`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

import process
from compare import rows_of
from peers import PEERS

with contextlib.suppress(ImportError):
    # pyarrow imports it on its first `to_numpy`: 0.3 s that belong to no reader.
    importlib.import_module("pandas")


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Reads one data set with one peer."""
    peer = PEERS[spec["peer"]]
    module = peer.load()
    where = (spec["paths"], spec["batch_size"], spec["columns"], spec["threads"])
    before = process.reset_peak()
    cpu, start = process.cpu_seconds(), time.perf_counter()
    rows = passes = count = 0
    built = first = 0.0
    capped = False
    while not capped and (passes == 0 or time.perf_counter() - start < spec["seconds"]):
        rows_before = rows
        iterator = iter(module.batches(*where, **peer.options))
        if not passes:
            built = time.perf_counter() - start
        for batch in iterator:
            if not count:
                first = time.perf_counter() - start
            count += 1
            rows += rows_of(batch)
            if time.perf_counter() - start > spec["limit"]:
                capped = True
                break
        batch = None
        del iterator
        passes += 1
        if not capped and rows - rows_before != spec["rows"]:
            raise ValueError(f"{rows - rows_before} rows instead of {spec['rows']}")
    return {
        "rows": rows,
        "batches": count,
        "passes": passes,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": process.cpu_seconds() - cpu,
        "built_seconds": built,
        "first_seconds": first,
        "peak_bytes": max(0, process.peak() - before),
        "capped": capped,
    }


def prepare(spec: dict[str, Any]) -> dict[str, Any]:
    """What a peer wants done beforehand, not timed."""
    peer = PEERS[spec["peer"]]
    module = peer.load()
    start = time.perf_counter()
    if hasattr(module, "prepare"):
        module.prepare(spec["paths"], spec["columns"], **peer.options)
    return {"seconds": time.perf_counter() - start}


def answer(tasks: dict[str, Any]) -> None:
    """Does the task that stdin names, and prints its result, or its error, as the last line."""
    spec = json.load(sys.stdin)
    try:
        result = tasks[spec["task"]](spec)
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)
    # Not an ordinary end: Hugging Face datasets hangs there while one of its iterators is alive.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    answer({"measure": measure, "prepare": prepare})
