"""Tables beside their files read as plain Parquet, and beside deltalake's and pyiceberg's readers; and planning.

    python benches/tables.py [--rows 4000000] [--rounds 7] [--threads 2] [--files 100000]

The data set is D1's: 16 float32, 4 int64, snappy, row groups of 125,000 rows. A turn is an epoch, every batch taken;
rounds are interleaved, and figures are medians. Deletes: 1 % of the rows, scattered, by deletion vectors, which
deltalake does not write: they are written by hand, as the tests do. Its `to_pyarrow_dataset` does not read such tables.
The Iceberg table has the same files, added by pyiceberg.
Planning: a table of `--files` files of one row group, 1 % of which have deletes. The page cache is warm.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog import load_catalog
from pyiceberg.table import StaticTable

import data
from machine import machine
from peers import tdu
from shardline import StructuredDataset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import delta

BATCH = 1024


def table_of(rows: int, *, deletes: bool) -> Path:
    """The table, written once."""
    path = data.HOME / f"tables-{rows}{'-deletes' * deletes}"
    if path.exists():
        return path
    started = path.with_suffix(".new")
    shutil.rmtree(started, ignore_errors=True)
    each = rows // data.FILES
    write_deltalake(started, data.flat(each, 0, 0).slice(0, 0))
    for number in range(data.FILES):
        part = data.flat(each, number, number * each)
        delta.add_file(started, f"{number}.parquet", part, row_group_size=125_000)
    if deletes:
        draws = np.random.default_rng(1)
        gone = {name: np.flatnonzero(draws.random(each) < 0.01).tolist() for name in sorted(delta.live(started))}
        delta.delete(started, gone, inline=False)
    started.rename(path)
    return path


def many(files: int) -> Path:
    """A table of many small files, 1 % of which have rows deleted; the files are links to a few."""
    path = data.HOME / f"tables-files-{files}"
    if path.exists():
        return path
    started = path.with_suffix(".new")
    shutil.rmtree(started, ignore_errors=True)
    rows = pa.table({"i": pa.array(range(1000), pa.int64()), "x": pa.array(np.arange(1000, dtype="f4"))})
    write_deltalake(started, rows.slice(0, 0))
    lines = [{"commitInfo": {"timestamp": 1_700_000_000_000, "operation": "BENCH"}}]
    lines.append(delta.protocol(started, "deletionVectors"))
    for number in range(files):
        name, first = f"{number:06}.parquet", f"{number - number % 10_000:06}.parquet"
        if name == first:
            pq.write_table(rows, started / name)
        else:
            os.link(started / first, started / name)
        add = {"path": name, "partitionValues": {}, "size": (started / name).stat().st_size, "modificationTime": 0}
        add |= {"dataChange": True, "stats": json.dumps({"numRecords": rows.num_rows})}
        if number % 100 == 7:
            add["deletionVector"] = delta.inline_vector(range(0, 1000, 100))
        lines.append({"add": add})
    delta.commit(started, *lines[1:])
    DeltaTable(started).create_checkpoint()
    started.rename(path)
    return path


def iceberg_of(plain: Path) -> Path:
    """An Iceberg table of the same files."""
    path = plain.with_name(f"{plain.name}-iceberg")
    if path.exists():
        return path
    started = path.with_suffix(".new")
    shutil.rmtree(started, ignore_errors=True)
    started.mkdir()
    catalog = load_catalog(type="sql", uri=f"sqlite:///{started}/catalog.db", warehouse=f"file://{path}")
    catalog.create_namespace("bench")
    files = sorted(map(str, plain.glob("*.parquet")))
    table = catalog.create_table("bench.flat", pq.read_schema(files[0]))
    table.add_files(files)
    (started / "metadata.json").symlink_to(table.metadata_location.removeprefix("file://"))
    started.rename(path / "catalog")
    return path


def snapshot(path: Path) -> int:
    """By pyiceberg's reader of batches."""
    table = StaticTable.from_metadata(str((path / "catalog" / "metadata.json").resolve()))
    return sum(batch.num_rows for batch in table.scan().to_arrow_batch_reader())


def by_tdu(path: Path) -> int:
    """The files by torch-dataloader-utils."""
    files = sorted(map(str, path.glob("*.parquet")))
    return sum(len(batch["x00"]) for batch in tdu.batches(files, BATCH, None, 2))


def rows_of(path: Path, **options: Any) -> int:
    """The rows of an epoch by shardline."""
    return sum(len(batch["x00"]) for batch in StructuredDataset(path, batch_size=BATCH, **options))


def scan(path: Path) -> int:
    """By deltalake's scan, DataFusion, batches as they come."""
    reader = pa.RecordBatchReader.from_stream(DeltaTable(path).scan())
    return sum(batch.num_rows for batch in reader)


def dataset(path: Path) -> int:
    """By deltalake's pyarrow dataset, in batches of our size."""
    return sum(batch.num_rows for batch in DeltaTable(path).to_pyarrow_dataset().to_batches(batch_size=BATCH))


def read(rows: int, rounds: int, threads: int) -> None:
    """Prints seconds of an epoch, and rates as multiples of plain Parquet's."""
    plain, deleted = table_of(rows, deletes=False), table_of(rows, deletes=True)
    iceberg = iceberg_of(plain)
    metadata = (iceberg / "catalog" / "metadata.json").resolve()
    options = {"num_threads": threads}
    readers: dict[str, Callable[[], int]] = {
        "shardline, plain Parquet": lambda: rows_of(plain, format="parquet", **options),
        "shardline, Delta": lambda: rows_of(plain, format="delta", **options),
        "shardline, Iceberg": lambda: rows_of(metadata, format="iceberg", **options),
        "shardline, Delta, 1 % deleted": lambda: rows_of(deleted, format="delta", **options),
        "deltalake, scan": lambda: scan(plain),
        "deltalake, scan, 1 % deleted": lambda: scan(deleted),
        "deltalake, pyarrow dataset": lambda: dataset(plain),
        "pyiceberg, batch reader": lambda: snapshot(iceberg),
        "torch-dataloader-utils, the files": lambda: by_tdu(plain),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    counts: dict[str, int] = {}
    for turn in range(rounds + 1):  # the first warms up
        for name, reader in readers.items():
            start = time.perf_counter()
            counts[name] = reader()
            if turn:
                rates[name].append(counts[name] / (time.perf_counter() - start))
    for kind in ("deleted", ""):
        if len({count for name, count in counts.items() if ("deleted" in name) == bool(kind)}) != 1:
            raise ValueError(f"the readers disagree on how many rows there are: {counts}")
    base = statistics.median(rates["shardline, plain Parquet"])
    print(f"\n{rows:,} rows, planning included; {threads} threads, {rounds} rounds")
    for name, found in rates.items():
        median = statistics.median(found)
        spread = f"{min(found) / 1e6:.2f} to {max(found) / 1e6:.2f}"
        print(f"  {name:36} {median / 1e6:7.2f} M rows/s  ({spread})  {median / base:5.2f} x")


def plan(files: int, rounds: int, threads: int) -> None:
    """Prints seconds to a plan."""
    path = many(files)
    makers: dict[str, Callable[[], Any]] = {
        "shardline, Delta": lambda: StructuredDataset(path, format="delta", num_threads=threads),
        "shardline, plain Parquet": lambda: StructuredDataset(path, format="parquet", num_threads=threads),
        "deltalake, open and add actions": lambda: DeltaTable(path).get_add_actions(),
        "deltalake, the same and vectors": lambda: (
            DeltaTable(path).get_add_actions(),
            pa.RecordBatchReader.from_stream(DeltaTable(path).deletion_vectors()).read_all(),
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, make in makers.items():
            start = time.perf_counter()
            made = make()
            taken[name].append(time.perf_counter() - start)
            if name == "shardline, Delta" and made.num_rows != files * 1000 - len(range(7, files, 100)) * 10:
                raise ValueError(f"{made.num_rows} rows")
    print(f"\nplanning {files:,} files, 1 % of them with deletes; {threads} threads, {rounds} rounds")
    for name, seconds in taken.items():
        print(f"  {name:36} {statistics.median(seconds):7.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")


def resume(rows: int, rounds: int, threads: int) -> None:
    """Prints milliseconds from a state at 90 % of an epoch to its first batch, after planning; splits are shuffled."""
    plain, deleted = table_of(rows, deletes=False), table_of(rows, deletes=True)
    tables = {
        "plain Parquet": (plain, "parquet"),
        "Delta": (plain, "delta"),
        "Delta, 1 % deleted": (deleted, "delta"),
        "Iceberg": ((iceberg_of(plain) / "catalog" / "metadata.json").resolve(), "iceberg"),
    }
    print(f"\nresume at 90 % of {rows:,} rows, from load_state_dict to the first batch; {threads} threads")
    for name, (path, kind) in tables.items():
        options: dict[str, Any] = {"format": kind, "shuffle": True, "shuffle_buffer_size": 0, "num_threads": threads}
        dataset = StructuredDataset(path, batch_size=BATCH, **options)
        next(iter(dataset))
        state = dataset.state_at(len(dataset) * 9 // 10)
        taken = []
        for _ in range(max(rounds, 5)):
            again = StructuredDataset(path, batch_size=BATCH, **options)
            start = time.perf_counter()
            again.load_state_dict(state)
            next(iter(again))
            taken.append(1000 * (time.perf_counter() - start))
        print(f"  {name:36} {statistics.median(taken):7.1f} ms  ({min(taken):.1f} to {max(taken):.1f})")


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--files", type=int, default=100_000)
    arguments = parser.parse_args()
    print(machine()["text"])
    logging.getLogger("shardline").setLevel(logging.ERROR)
    read(arguments.rows, arguments.rounds, arguments.threads)
    resume(arguments.rows, arguments.rounds, arguments.threads)
    plan(arguments.files, min(arguments.rounds, 3), arguments.threads)


if __name__ == "__main__":
    main()
