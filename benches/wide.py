"""Memory and speed of wide and skewed rows, beside pyarrow's loop: `python benches/wide.py [CASE …]`.

Values of 1 KiB to 64 MiB, lists of up to 10 million numbers, dictionaries whose footers say little, and files of
unequal width; in order and with rows shuffled, at budgets of 32 and 256 MiB; 1, 8 and 64 shards, and 4 loaders in one
process. Every measurement is a process of its own; the peak is over what was resident before the loader was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data import HOME, flat
from process import cpu_seconds, peak, reset_peak

MIB = 2**20
LIMIT = 20.0
"""Seconds after which a measurement is stopped; its rate is that of the rows until then."""


def blobs(directory: Path, files: int, rows: int, size: int) -> None:
    """Binary values of one size, which do not compress, in one row group a file."""
    # A page has less than 2 GiB; pyarrow looks at its size after so many values.
    values_at_once = min(1024, 2**30 // size)
    source = np.random.default_rng(0).integers(0, 256, size * min(rows, 8), dtype=np.uint8).tobytes()
    for file in range(files):
        values = [source[at * size : (at + 1) * size] for at in (row % min(rows, 8) for row in range(rows))]
        ids = np.arange(file * rows, (file + 1) * rows)
        table = pa.table({"id": ids, "image": pa.array(values, pa.large_binary())})
        path = directory / f"part-{file:03}.parquet"
        pq.write_table(table, path, use_dictionary=False, row_group_size=rows, write_batch_size=values_at_once)


def lists(directory: Path, files: int, rows: int, length: int) -> None:
    """Lists of one length."""
    for file in range(files):
        values = np.random.default_rng(file).integers(0, 50_000, rows * length, dtype=np.int32)
        offsets = np.arange(rows + 1, dtype=np.int64) * length
        table = pa.table({"tokens": pa.LargeListArray.from_arrays(offsets, pa.array(values))})
        pq.write_table(table, directory / f"part-{file:03}.parquet", row_group_size=rows)


def repeated(directory: Path, files: int, rows: int, size: int) -> None:
    """Ten words of one size in a dictionary: the file is hundreds of times smaller than its rows."""
    words = [bytes([65 + word]) * size for word in range(10)]
    for file in range(files):
        indices = pa.array(np.random.default_rng(file).integers(0, 10, rows), pa.int8())
        column = pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.binary())).cast(pa.binary())
        pq.write_table(pa.table({"word": column}), directory / f"part-{file:03}.parquet", row_group_size=rows)


def skewed(directory: Path) -> None:
    """32 files of 100 bytes a row, and one of 1 MiB a row."""
    (directory / "narrow").mkdir()
    blobs(directory / "narrow", 32, 20_000, 100)
    blobs(directory, 1, 500, MIB)


def plain(directory: Path) -> None:
    """8 M rows of 96 bytes in 64 row groups."""
    for file in range(8):
        table = flat(1_000_000, file, file * 1_000_000)
        pq.write_table(table, directory / f"part-{file}.parquet", row_group_size=125_000)


SETS: dict[str, tuple[Callable[..., None], tuple[int, ...]]] = {
    "1 KiB": (blobs, (8, 40_000, 1 << 10)),
    "32 KiB": (blobs, (8, 2_000, 32 << 10)),
    "1 MiB": (blobs, (8, 300, 1 << 20)),
    "8 MiB": (blobs, (1, 280, 8 << 20)),
    "64 MiB": (blobs, (2, 20, 64 << 20)),
    "lists of 1": (lists, (4, 1_000_000, 1)),
    "lists of 500": (lists, (4, 40_000, 500)),
    "lists of 10^5": (lists, (4, 400, 100_000)),
    "lists of 10^7": (lists, (2, 10, 10_000_000)),
    "words of 200 B": (repeated, (4, 1_000_000, 200)),
    "words of 20 KiB": (repeated, (4, 20_000, 20_000)),
    "skewed": (skewed, ()),
    "flat": (plain, ()),
}
BATCH = {"1 KiB": 256, "1 MiB": 8, "8 MiB": 1, "64 MiB": 1, "32 KiB": 32, "lists of 10^5": 4, "lists of 10^7": 1,
         "words of 20 KiB": 64, "skewed": 32, "flat": 1024}  # fmt: skip


def directory(name: str) -> Path:
    """The data set, made once."""
    found = HOME / "wide" / name.replace(" ", "-").replace("^", "")
    if not (found / "done").exists():
        found.mkdir(parents=True, exist_ok=True)
        make, arguments = SETS[name]
        make(found, *arguments)
        (found / "done").touch()
    return found


def found_rate(rows: int, begin: float, cpu: float) -> dict[str, float]:
    """Rows a second, and rows a second of processor time."""
    return {"rate": rows / (time.perf_counter() - begin), "by_cpu": rows / (cpu_seconds() - cpu)}


def by_shardline(path: Path, batch: int, case: dict[str, Any]) -> dict[str, float]:
    """Rows a second, and the peak."""
    import torch

    import shardline

    # A process's first jagged tensor makes torch import for about a second: neither the reader's time nor its memory.
    torch.nested.nested_tensor_from_jagged(torch.empty(0), torch.zeros(2, dtype=torch.int64))
    loaders = case.get("loaders", 1)
    before = reset_peak()
    begin, cpu = time.perf_counter(), cpu_seconds()
    iterators = [
        iter(shardline.DataLoader(path, batch_size=batch, num_threads=2, **case["options"])) for _ in range(loaders)
    ]
    rows = 0
    first = 0.0
    while iterators and time.perf_counter() - begin < LIMIT:
        for iterator in list(iterators):
            found = next(iterator, None)
            if found is None:
                iterators.remove(iterator)
            else:
                rows += len(next(iter(found.values())))
            first = first or time.perf_counter() - begin
    return found_rate(rows, begin, cpu) | {"peak": (peak() - before) / MIB, "first": first}


def by_pyarrow(path: Path, batch: int, case: dict[str, Any]) -> dict[str, float]:
    """pyarrow's loop over the files: numbers as numpy, lists as their values, byte strings as Python objects."""
    before = reset_peak()
    begin, cpu = time.perf_counter(), cpu_seconds()
    rows = 0
    for file in sorted(path.rglob("*.parquet")):
        for found in pq.ParquetFile(file).iter_batches(batch):
            rows += len(found)
            for column in found.columns:
                if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
                    column.to_pylist()
                else:
                    (column.flatten() if hasattr(column, "flatten") else column).to_numpy(zero_copy_only=False)
        if time.perf_counter() - begin > LIMIT:
            break
    return found_rate(rows, begin, cpu) | {"peak": (peak() - before) / MIB, "first": 0.0}


def run(name: str, reader: str, case: dict[str, Any]) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, json.dumps([str(directory(name)), reader, BATCH.get(name, 1024), case])]
    done = subprocess.run(command, timeout=600, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": said[-1]}  # type: ignore[dict-item]
    return dict(json.loads(done.stdout))


def cases() -> list[tuple[str, dict[str, Any]]]:
    """How each set is read."""
    return [
        (f"{said}, {budget}", {"options": {**options, "prefetch_bytes": budget}})
        for said, options in (("in order", {}), ("shuffled", {"shuffle": True}))
        for budget in ("32MiB", "256MiB")
    ]


def in_one_process() -> list[tuple[str, dict[str, Any]]]:
    """Many shards, and many loaders."""
    options: dict[str, Any] = {"shuffle": True, "prefetch_bytes": "256MiB"}
    return [
        ("shuffled, 256MiB, 8 shards", {"options": {**options, "num_shards": 8}}),
        ("shuffled, 256MiB, 64 shards", {"options": {**options, "num_shards": 64}}),
        ("shuffled, 256MiB, 4 loaders", {"options": options, "loaders": 4}),
        ("in order, 256MiB, 4 loaders", {"options": {**options, "shuffle": False}, "loaders": 4}),
    ]


def main(names: list[str]) -> None:
    print("| rows | reading | rows/s | ÷ pyarrow | peak, MiB | first batch, s |")
    print("|---|---|---:|---:|---:|---:|", flush=True)

    def line(name: str, said: str, found: dict[str, float], beside: float) -> None:
        if "error" in found:
            print(f"| {name} | {said} | {found['error']} | | | |", flush=True)
        else:
            ratio = f"{found['rate'] / beside:.2f}" if beside else ""
            figures = f"{found['rate']:,.0f} | {ratio} | {found['peak']:.0f} | {found['first']:.2f}"
            print(f"| {name} | {said} | {figures} |", flush=True)

    for name in names or SETS:
        other = run(name, "pyarrow", {"options": {}})
        line(name, "pyarrow", other, 0)
        for said, case in cases():
            line(name, said, run(name, "shardline", case), other.get("rate", 0))
        if name in ("1 MiB", "flat"):
            for said, case in in_one_process():
                line(name, said, run(name, "shardline", case), other.get("rate", 0))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("["):
        where, reader, batch, case = json.loads(sys.argv[1])
        print(json.dumps({"shardline": by_shardline, "pyarrow": by_pyarrow}[reader](Path(where), batch, case)))
    else:
        main(sys.argv[1:])
