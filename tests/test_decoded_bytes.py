"""The decoded bytes of row groups, from footers alone, against what a loader delivers."""

import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from shardline import DataLoader, Plan

DATA = Path(__file__).parent / "data"
ROWS = 4000


def columns():
    """Columns without nulls, of many types, widths and redundancies."""
    rng = np.random.default_rng(7)
    numbers = rng.integers(0, 1000, ROWS)
    words = [f"word {number % 10}" for number in numbers]
    decimals = [Decimal(int(number)) / 4 for number in numbers]
    return {
        "bool": pa.array(numbers % 2 == 0),
        "int8": pa.array(numbers % 100, pa.int8()),
        "constant": pa.array([3] * ROWS, pa.int64()),
        "float16": pa.array(numbers.astype(np.float16)),
        "date": pa.array(numbers, pa.int32()).cast(pa.date32()),
        "time": pa.array(numbers, pa.int32()).cast(pa.time32("s")),
        "timestamp": pa.array(numbers, pa.timestamp("us")),
        "int32_decimal": pa.array(decimals, pa.decimal128(7, 2)),
        "decimal": pa.array(decimals, pa.decimal128(30, 2)),
        "hash": pa.array([bytes([number % 256]) * 12 for number in numbers], pa.binary(12)),
        "words": pa.array(words),
        "runs": pa.array([f"user {row // 400}" for row in range(ROWS)]),
        "constant_text": pa.array(["always the same"] * ROWS),
        "wide_constant": pa.array(["w" * 2000] * ROWS),
        "unique": pa.array([f"{number}-{row}" for row, number in enumerate(numbers)]),
        "documents": pa.array(["text " * int(number) for number in numbers], pa.large_string()),
        "codes": pa.array(words).dictionary_encode(),
        "list": pa.array([[int(number)] * (int(number) % 5) for number in numbers], pa.list_(pa.int32())),
        "texts": pa.array([words[: row % 3] for row in range(ROWS)]),
        "nested": pa.array([[[1.0] * (row % 3)] * 2 for row in range(ROWS)]),
        "embedding": pa.array([[0.5] * 16] * ROWS, pa.list_(pa.float32(), 16)),
        "struct": pa.array([{"a": int(number), "b": words[row]} for row, number in enumerate(numbers)]),
    }


def held(value):
    """The bytes of what a batch delivers; Python's objects as the Arrow data that they were made of."""
    if isinstance(value, dict):
        return sum(map(held, value.values()))
    if isinstance(value, torch.Tensor) and value.is_nested:
        return held(value.values()) + len(value) * 4
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return pa.array(list(value)).nbytes


@pytest.mark.parametrize(
    ("writer", "low", "high"),
    [
        ({}, 0.9, 1.6),
        ({"use_dictionary": False, "compression": "none"}, 0.9, 1.6),
        ({"data_page_version": "2.0", "write_statistics": False, "compression": "zstd"}, 0.9, 1.6),
        ({"use_deprecated_int96_timestamps": True, "use_dictionary": ["timestamp"]}, 0.9, 1.6),
    ],
)
def test_they_are_what_a_loader_delivers(tmp_path, writer, low, high):
    wrong = {}
    for name, column in columns().items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({name: column}), path, row_group_size=1500, **writer)
        loader = DataLoader(path, batch_size=ROWS)
        told = loader.dataset.plan.decoded_bytes
        assert len(told) == len(loader.dataset.plan.group_rows) == 3
        ratio = sum(told) / sum(held(batch[name]) for batch in loader)
        if not low <= ratio <= high:
            wrong[name] = ratio
    assert not wrong


@pytest.mark.parametrize("name", ["interval_duckdb", "lists_v2_pyarrow11"])
def test_files_of_other_writers(name):
    table = pq.read_table(DATA / f"{name}.parquet")
    loader = DataLoader(DATA / f"{name}.parquet", batch_size=10_000, output_format="arrow")
    assert 0.5 <= sum(loader.dataset.plan.decoded_bytes) / table.nbytes <= 2


def test_they_are_of_all_columns_and_kept_with_the_plan(tmp_path):
    table = pa.table({"i": range(100), "t": ["x" * 90] * 100})
    for name in ("a", "b"):
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=40)
    plan = DataLoader(tmp_path, columns=["i"], batch_size=10).dataset.plan
    assert plan.group_rows == [40, 40, 20] * 2
    assert plan.decoded_bytes == [rows * (8 + 4 + 90) for rows in plan.group_rows]
    assert pickle.loads(pickle.dumps(plan)).decoded_bytes == plan.decoded_bytes
    plan.save(tmp_path / "plan")
    assert Plan.load(tmp_path / "plan").decoded_bytes == plan.decoded_bytes
    assert plan.select([1]).decoded_bytes == plan.decoded_bytes[3:]
