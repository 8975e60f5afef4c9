"""Memory at its peak, over the start of the process: `python benches/memory.py`.

4 M rows of 16 float32 and 4 int64 (352 MiB as tensors) in one file, as one row group and as 32, read at several
`prefetch_bytes`; what a caller holds who keeps one column of every batch; and 1,000 epochs over a small set.
Every line is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data import HOME, flat
from process import field, peak, reset_peak

ROWS, BATCH = 4_000_000, 1024
SPLITS: dict[str, Any] = {"shuffle": True, "shuffle_buffer_size": 0}
MIB = 2**20


def make(groups: int) -> Path:
    """The data set with so many row groups."""
    path = HOME / "memory" / f"groups-{groups}" / "part-0.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(flat(ROWS, 0, 0), path, row_group_size=ROWS // groups)
    return path


def small() -> Path:
    """10,000 rows in four row groups."""
    path = HOME / "memory" / "small.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(flat(10_000, 0, 0), path, row_group_size=2_500)
    return path


def one(case: dict[str, Any]) -> None:
    """One case; prints the peak over the start, and what is still resident after the last batch."""
    import shardline

    loader = shardline.DataLoader(case["path"], batch_size=BATCH, num_threads=2, **case["options"])
    kept = []
    before = reset_peak()
    for epoch in range(case.get("epochs", 1)):
        loader.set_epoch(epoch)
        for batch in loader:
            if case.get("keep"):
                kept.append(batch["id"])
        if epoch == case.get("epochs", 1) // 10:
            warm = field("VmRSS")
    del batch
    print(json.dumps([peak() - before, field("VmRSS") - before, field("VmRSS") - warm]))


def run(**case: Any) -> list[float]:
    """The figures of one case, in MiB."""
    command = [sys.executable, __file__, json.dumps(case, default=str)]
    said = subprocess.run(command, check=True, timeout=600, stdout=subprocess.PIPE, text=True).stdout
    return [number / MIB for number in json.loads(said)]


def main() -> None:
    print("| row groups | shuffle | prefetch_bytes | peak over the start, MiB |")
    print("|---:|---|---:|---:|", flush=True)
    for groups in (1, 32):
        for said, shuffle in (("no", {}), ("splits", SPLITS), ("rows, buffer 65,536", {"shuffle": True})):
            for prefetch in ("1MiB", "64MiB", "256MiB"):
                top, _, _ = run(path=make(groups), options={**shuffle, "prefetch_bytes": prefetch})
                print(f"| {groups} | {said} | {prefetch} | {top:.0f} |", flush=True)
    _, kept, _ = run(path=make(32), options={"prefetch_bytes": "64MiB"}, keep=True)
    _, none, _ = run(path=make(32), options={"prefetch_bytes": "64MiB"})
    column = ROWS * 8 / MIB
    print(f"\nthe `id` of every batch kept ({column:.0f} MiB): {kept - none:.0f} MiB more resident than none kept")
    _, _, grown = run(path=small(), options={"shuffle": True}, epochs=1_000)
    print(f"1,000 epochs of 10,000 rows: {grown:.1f} MiB more resident at the end than after the first 100")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(json.loads(sys.argv[1]))
    else:
        main()
