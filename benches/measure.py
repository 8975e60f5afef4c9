"""One measurement, in a process of its own (`child.run`).

The consumer counts rows and touches nothing else. Passes over the data are repeated, each from nothing, until
`seconds` are over, so that a fast reader is not measured by its start; a slow one is stopped after `limit`.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import process
from compare import rows_of
from peers import PEERS


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Reads one data set with one peer."""
    peer = PEERS[spec["peer"]]
    module = peer.load()
    where = (spec["paths"], spec["batch_size"], spec["columns"], spec["threads"])
    gc.collect()  # writes to every object, so that the pages that the fork shares are copied now, and not while timed
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


TASKS = {"measure": measure, "prepare": prepare}
