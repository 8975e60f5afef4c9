"""The data sets of the bench, made once under `.bench/data/`.

Not `datasets.py`: run from this directory, that name would hide the Hugging Face package of the same name.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOME = Path(__file__).resolve().parent.parent / ".bench"
FILES = 4


@dataclass(frozen=True)
class Spec:
    """How one data set is made: `make` writes `rows * scale` rows as Parquet files into a directory."""

    about: str
    make: Callable[[Path, float], None]
    columns: tuple[str, ...] | None = None
    """The columns that are read; None for all."""
    source: str | None = None
    """The name of the data set whose files these are, where it has none of its own."""


@dataclass(frozen=True)
class DataSet:
    """A data set that exists."""

    name: str
    about: str
    directory: Path
    paths: list[str]
    columns: list[str] | None
    rows: int
    decoded_bytes: int
    """Of the columns read, as tensors: values, and offsets of lists and strings."""
    parquet_bytes: int


def flat(rows: int, seed: int, first: int) -> pa.Table:
    """16 float32 and 4 int64, nullable and without a null."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{i:02}": random.standard_normal(rows, dtype=np.float32) for i in range(16)}
    columns["id"] = np.arange(first, first + rows, dtype=np.int64)
    columns["user"] = random.integers(0, 1_000_000, rows)
    columns["item"] = random.zipf(1.3, rows) % 10_000
    columns["time"] = 1_700_000_000_000 + np.cumsum(random.integers(0, 1_000, rows))
    return pa.table(columns)


def embeddings(rows: int, seed: int, _first: int) -> pa.Table:
    """list<float32> of 256."""
    values = np.random.default_rng(seed).standard_normal(rows * 256, dtype=np.float32)
    return pa.table({"embedding": lists(values, np.full(rows, 256))})


def tokens(rows: int, seed: int, _first: int) -> pa.Table:
    """list<int32> of about 500 tokens of a vocabulary of 50,000."""
    random = np.random.default_rng(seed)
    lengths = random.integers(250, 751, rows)
    values = (random.zipf(1.2, int(lengths.sum())) % 50_000).astype(np.int32)
    return pa.table({"tokens": lists(values, lengths)})


def lists(values: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


Table = Callable[[int, int, int], pa.Table]


def plain(table: Table, rows: int, row_group: int, **options: Any) -> Callable[[Path, float], None]:
    """A few files of equal length, row groups of equal length."""

    def make(directory: Path, scale: float) -> None:
        each = max(1, round(rows * scale) // FILES)
        for i in range(FILES):
            path = directory / f"part-{i:05}.parquet"
            pq.write_table(table(each, i, i * each), path, row_group_size=row_group, **options)

    return make


def many_files(files: int, rows: int) -> Callable[[Path, float], None]:
    """Many files of a few rows each."""

    def make(directory: Path, scale: float) -> None:
        for i in range(max(8, round(files * scale))):
            pq.write_table(flat(rows, i, i * rows), directory / f"part-{i:05}.parquet")

    return make


def skewed(rows: int) -> Callable[[Path, float], None]:
    """Row groups from 1,000 to 500,000 rows, as several writers with different settings leave them."""

    def make(directory: Path, scale: float) -> None:
        random = np.random.default_rng(6)
        each, first = max(1, round(rows * scale) // FILES), 0
        for i in range(FILES):
            with pq.ParquetWriter(directory / f"part-{i:05}.parquet", flat(0, 0, 0).schema) as writer:
                left = each
                while left:
                    size = min(left, round(10 ** random.uniform(3, np.log10(500_000))))
                    writer.write_table(flat(size, first, first), row_group_size=size)
                    left, first = left - size, first + size

    return make


def lineitem(directory: Path, scale: float) -> None:
    """TPC-H's largest table, by tpchgen-cli."""
    command = Path(sys.executable).with_name("tpchgen-cli")
    program = str(command) if command.exists() else shutil.which("tpchgen-cli")
    if program is None:
        raise ModuleNotFoundError("tpchgen-cli is not installed (pip install tpchgen-cli)")
    arguments = ["parquet", "-s", f"{0.5 * scale:g}", "--tables=lineitem", f"--parts={FILES}", "--quiet"]
    subprocess.run([program, *arguments, "--row-group-bytes=32MB", "--output-dir", str(directory)], check=True)


INTEGERS = ("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber")
SPECS: dict[str, Spec] = {
    "D1": Spec("16 float32 + 4 int64, snappy", plain(flat, 4_000_000, 125_000)),
    "D1u": Spec(
        "the same, PLAIN, uncompressed",
        plain(flat, 4_000_000, 125_000, use_dictionary=False, compression="none"),
    ),
    "D2z": Spec("list<float32>[256], zstd", plain(embeddings, 200_000, 10_000, compression="zstd")),
    "D2u": Spec("list<float32>[256], uncompressed", plain(embeddings, 200_000, 10_000, compression="none")),
    "D3": Spec("list<int32>, about 500 tokens, zstd", plain(tokens, 100_000, 10_000, compression="zstd")),
    "D5": Spec("D1's columns in 2,000 files of 500 rows", many_files(2_000, 500)),
    "D6": Spec("D1's columns, row groups of 1,000 to 500,000 rows", skewed(4_000_000)),
    "L": Spec("TPC-H lineitem, all 16 columns", lineitem),
    "Li": Spec("TPC-H lineitem, its 4 integer columns", lineitem, columns=INTEGERS, source="L"),
}


def data_set(name: str, scale: float = 1.0) -> DataSet:
    """The data set of this name, made now if it is not there yet."""
    spec = SPECS[name]
    directory = HOME / "data" / f"scale-{scale:g}" / (spec.source or name)
    if not directory.exists():
        unfinished = directory.with_name(f"unfinished-{directory.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        print(f"making {directory.name} ({SPECS[directory.name].about}) …", file=sys.stderr, flush=True)
        SPECS[directory.name].make(unfinished, scale)
        unfinished.rename(directory)
    paths = sorted(str(path) for path in directory.rglob("*.parquet"))
    columns = list(spec.columns) if spec.columns else None
    facts = known(directory.with_name(f"{name}.json"), paths, columns)
    return DataSet(name, spec.about, directory, paths, columns, **facts)


def known(file: Path, paths: list[str], columns: list[str] | None) -> dict[str, int]:
    """Rows and bytes, counted once by pyarrow."""
    if not file.exists():
        rows = decoded = 0
        for group in row_groups(paths, columns):
            rows += group.num_rows
            decoded += sum(tensor_bytes(column) for column in group.columns)
        parquet = sum(Path(path).stat().st_size for path in paths)
        file.write_text(json.dumps({"rows": rows, "decoded_bytes": decoded, "parquet_bytes": parquet}))
    return dict(json.loads(file.read_text()))


def row_groups(paths: list[str], columns: list[str] | None) -> Iterator[pa.Table]:
    """Every row group, in the order of the line without shuffling, by pyarrow."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for i in range(file.num_row_groups):
                yield file.read_row_group(i, columns=columns)


def tensor_bytes(column: pa.ChunkedArray) -> int:
    """The bytes of a column's values and offsets; of its validity, none."""
    total = 0
    for chunk in column.chunks:
        kind = chunk.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            total += len(chunk) * (8 if pa.types.is_large_list(kind) else 4)
            total += len(chunk.flatten()) * kind.value_type.bit_width // 8
        elif pa.types.is_decimal(kind):
            total += len(chunk) * 8
        elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_string_view(kind):
            total += chunk.cast(pa.large_binary()).buffers()[2].size + len(chunk) * 4
        else:
            total += len(chunk) * kind.bit_width // 8
    return total
