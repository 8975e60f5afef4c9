"""Resuming in mid-epoch: a first process saves a state there, fresh ones load it and take one batch."""

from __future__ import annotations

import gc
import pickle
import time
from pathlib import Path
from statistics import median
from typing import Any

import child
from compare import digest, rows_of
from data import HOME, DataSet
from peers import RESUMABLE

LATE = 0.9
SHARES = (0.1, 0.5, LATE)
LIMIT = 60.0
"""Seconds after which a reader gets no further round: some take minutes to come to the first batch."""


def resume(key: str, data: DataSet, share: float, batch_size: int, threads: int, rounds: int) -> dict[str, Any]:
    """One reader's figures after this share of an epoch: medians over the rounds, of which there is one at least."""
    reason = RESUMABLE[key].absent()
    if reason:
        return {"error": f"absent: {reason}"}
    file = HOME / "states" / f"{key}-{data.name}-{share:g}.pickle"
    spec: dict[str, Any] = {"peer": key, "paths": data.paths, "columns": data.columns, "batch_size": batch_size}
    spec |= {"threads": threads, "rows": data.rows, "share": share, "file": str(file)}
    saved = child.run("resume", spec | {"task": "save"}, threads)
    if "error" in saved:
        return saved
    loads: list[dict[str, Any]] = []
    start = time.perf_counter()
    while not loads or (len(loads) < rounds and time.perf_counter() - start < LIMIT):
        loads.append(child.run("resume", spec | {"task": "load"}, threads))
        if "error" in loads[-1]:
            return loads[-1]
    found = {name: median(load[name] for load in loads) for name in ("built_seconds", "load_seconds", "fresh_seconds")}
    return found | {
        "share": share,
        "rounds": len(loads),
        "state_bytes": saved["state_bytes"],
        "exact": all(load["digest"] == saved["digest"] for load in loads),
    }


def save(spec: dict[str, Any]) -> dict[str, Any]:
    """Saves a state after a share of the rows; the digest of the batch that then comes."""
    loader = opened(spec)
    iterator, rows = iter(loader), 0
    while rows < spec["share"] * spec["rows"]:
        rows += rows_of(next(iterator))
    state = pickle.dumps(loader.state_dict())
    file = Path(spec["file"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(state)
    return {"state_bytes": len(state), "digest": digest(next(iterator))}


def load(spec: dict[str, Any]) -> dict[str, Any]:
    """Loads it and takes a batch; for comparison, how long a fresh loader's first batch takes in the same process."""
    RESUMABLE[spec["peer"]].load()
    gc.collect()
    state = pickle.loads(Path(spec["file"]).read_bytes())
    start = time.perf_counter()
    loader = opened(spec)
    built = time.perf_counter()
    loader.load_state_dict(state)
    batch = next(iter(loader))
    done = time.perf_counter()
    fresh = opened(spec)
    again = time.perf_counter()
    next(iter(fresh))
    found = {"built_seconds": built - start, "load_seconds": done - built, "fresh_seconds": time.perf_counter() - again}
    return found | {"digest": digest(batch)}


def opened(spec: dict[str, Any]) -> Any:
    peer = RESUMABLE[spec["peer"]]
    where = (spec["paths"], spec["batch_size"], spec["columns"], spec["threads"])
    return peer.load().resumable(*where, **peer.options)


TASKS = {"save": save, "load": load}
