"""Readers that shuffle: how fast each is, and how well it mixes what it delivers. Tasks for `child.run`.

The rate is steady: from the first batch on, over whole passes up to the first batch of a later one, so that every pass
has its start counted once; a reader that does not come so far is cut by time. How well it mixes is computed from the
ids of a whole pass that reads no other column (or as much of it as comes in time), since no reader's order depends on
the columns: the ids of the first batches are compared with those that came with all columns.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

import process
from compare import rows_of
from peers import ROWS, SHARDLINE, Peer

HF, TDU = ("datasets",), ("torch-dataloader-utils",)
SHUFFLED: dict[str, Peer] = {
    "shardline-none": Peer("**shardline**, in order", "shardline_", SHARDLINE),
    "shardline": Peer("**shardline**, `shuffle=True`", "shardline_", SHARDLINE, {"shuffle": True}),
    "shardline-16": Peer("**shardline**, 16 strands", "shardline_", SHARDLINE, {"shuffle": True, "strands": 16}),
    "shardline-8": Peer("**shardline**, 8 strands", "shardline_", SHARDLINE, {"shuffle": True, "strands": 8}),
    "hf-random-batch": Peer("Hugging Face mapped ¹, random, by batch", "hf_random", HF, {"by_batch": True}),
    "hf-random-workers": Peer("the same, 2 worker processes", "hf_random", HF, {"by_batch": True, "workers": 2}),
    "hf-random-row": Peer("Hugging Face mapped ¹, random, by row", "hf_random", HF, {"by_batch": False}),
    "hf-1000": Peer("Hugging Face streaming, buffer 1,000 (default)", "hf", HF, {"shuffle": 1_000}),
    "hf-large": Peer(f"Hugging Face streaming, buffer {ROWS:,}", "hf", HF, {"shuffle": ROWS}),
    "hf-inputs": Peer("the same, `reshard()`, of 32 row groups", "hf", HF, {"shuffle": ROWS, "inputs": 32}),
    "tdu-splits": Peer("torch-dataloader-utils, default", "tdu", TDU, {"shuffle": 0}),
    "tdu-rows": Peer(f"torch-dataloader-utils, buffer {ROWS:,}", "tdu", TDU, {"shuffle": ROWS}),
    "grain": Peer(f"Grain, window {ROWS:,}", "grain_", ("grain",), {"shuffle": ROWS}),
    "loop": Peer(f"hand-written loop, buffer {ROWS:,}", "naive_shuffled", options={"shuffle": ROWS}),
}
"""All in one process with two threads where nothing else is said."""
SAME_ORDER = {"hf-random-workers": "hf-random-batch", "hf-random-row": "hf-random-batch"}
"""Readers that deliver the same batches as another, which is checked by their first batches."""
WINDOWED = {"grain"}
"""Readers that fill a window and then deliver it at once: their time goes from one window's start to another's."""
FIRST = 8
"""The batches whose ids are compared."""


def rate(spec: dict[str, Any]) -> dict[str, Any]:
    """One turn of a reader, with all columns."""
    peer = SHUFFLED[spec["peer"]]
    module = peer.load()
    gc.collect()
    before, began = process.reset_peak(), time.perf_counter()
    first = end = 0.0
    rows = size = 0
    delivered: list[Any] = []

    window = ROWS // spec["batch_size"] if spec["peer"] in WINDOWED else 1

    def batches() -> Iterator[tuple[bool, bool, Any]]:
        for number in count():
            for place, batch in enumerate(
                module.batches(spec["paths"], spec["batch_size"], None, spec["threads"], **peer.options)
            ):
                yield number > 0 and place == 0, place % window == 0, batch

    for later, begins, batch in batches():
        end = time.perf_counter()
        if not first:
            first, size = end, rows_of(batch)
        rows += rows_of(batch)
        if len(delivered) < FIRST:
            delivered.append(batch["id"].numpy().copy())
        capped = begins and end - first > spec["limit"]
        if capped or (later and end - first > spec["seconds"]):
            break
    return {
        "rows": rows - size,  # the first batch is not in the time
        "seconds": end - first,
        "first_seconds": first - began,
        "peak_bytes": max(0, process.peak() - before),
        "capped": not later,
        "first_ids": digests(delivered),
    }


def order(spec: dict[str, Any]) -> dict[str, Any]:
    """How well a reader mixes: the figures of `shardline.shuffle_quality`, of the ids that it delivered."""
    from shardline.quality.figures import mean_ratio, neighbours, run_ratio

    total, size = spec["rows"], spec["batch_size"]
    began, delivered, whole = time.perf_counter(), [], True
    for ids in ids_of(spec):
        delivered.append(ids)
        if time.perf_counter() - began > spec["order_limit"]:
            whole = False
            break
    found = np.concatenate(delivered)
    if whole and not np.array_equal(np.sort(found), np.arange(total)):
        raise ValueError(f"{len(found):,} rows, {len(np.unique(found)):,} different ones, instead of {total:,}")
    full = np.stack([ids for ids in delivered if len(ids) == size]).astype(np.int64)
    deviations = (full.mean(1) + 0.5) / total - 0.5
    labels = [run_ratio(full, runs, total) for runs in (100, 1_000, 10_000)]
    # The ids at the front of a pass that drifts are farther from the mean than those of the whole: no figure is made
    # of them, unless the rows come at random. That of labels is the same wherever it is taken.
    fair = whole or SHUFFLED[spec["peer"]].module == "hf_random"
    return {
        "ids": mean_ratio(deviations, (1 - 1 / total**2) / 12, total, size) if fair else None,
        "neighbours": neighbours(deviations, np.ones(len(full) - 1, bool)) if fair else None,
        "labels": labels,
        "effective": size / max(1.0, *labels) ** 2,
        "batches": len(full),
        "whole": whole,
        "order_seconds": time.perf_counter() - began,
        "first_ids": digests(delivered[:FIRST]),
    }


def ids_of(spec: dict[str, Any]) -> Iterator[Any]:
    """The ids of every batch of a pass."""
    peer = SHUFFLED[spec["peer"]]
    paths = spec["id_paths"] if spec["peer"] == "grain" else spec["paths"]
    for batch in peer.load().batches(paths, spec["batch_size"], ["id"], spec["threads"], **peer.options):
        yield batch["id"].numpy().copy()


def digests(batches: list[Any]) -> list[str]:
    return [hashlib.sha256(ids.astype(np.int64).tobytes()).hexdigest() for ids in batches]


def prepare(spec: dict[str, Any]) -> dict[str, Any]:
    """What a reader wants beforehand, not timed."""
    peer = SHUFFLED[spec["peer"]]
    module = peer.load()
    if hasattr(module, "prepare"):
        module.prepare(spec["paths"], None, **peer.options)
    return {}


TASKS = {"prepare": prepare, "rate": rate, "order": order}
