"""Batches of any reader in one form, so that they can be compared bit for bit, in order or as sets of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from peers.arrow import tensors

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """Values, and for lists the int64 offsets of each row's values, from 0."""

    values: Array
    offsets: Array | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def cut(self, start: int, end: int) -> Column:
        if self.offsets is None:
            return Column(self.values[start:end])
        offsets = self.offsets[start : end + 1]
        return Column(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def same(self, other: Column) -> bool:
        """The same type, shape and bits."""
        if self.values.dtype != other.values.dtype or not np.array_equal(bits(self.values), bits(other.values)):
            return False
        if self.offsets is None or other.offsets is None:
            return self.offsets is other.offsets
        return np.array_equal(self.offsets, other.offsets)


Rows = dict[str, Column]


def rows_of(batch: Any) -> int:
    """How many rows a batch has, by its first column alone."""
    if isinstance(batch, pa.RecordBatch):
        return int(batch.num_rows)
    if isinstance(batch, torch.Tensor):  # lance, where there is one column only
        return len(batch)
    first = next(iter(batch.values()))
    if isinstance(first, tuple):
        return len(first[1]) - 1
    return len(first) if isinstance(first, list) else int(first.shape[0])


def canonical(batch: Any) -> Rows:
    """Any reader's batch as `Column`s."""
    if isinstance(batch, pa.RecordBatch):
        batch = tensors(batch) | {
            name: nearest(batch.column(name)) for name, kind in schema_of(batch) if pa.types.is_decimal(kind)
        }
    return {name: canonical_column(value) for name, value in batch.items()}


def schema_of(batch: pa.RecordBatch) -> Iterable[tuple[str, pa.DataType]]:
    return zip(batch.schema.names, batch.schema.types, strict=True)


def nearest(decimals: pa.Array) -> Array:
    """Decimals as the nearest float64, which Arrow's cast is not always: it multiplies by a power of ten."""
    low, high = np.frombuffer(decimals.buffers()[1], np.int64).reshape(-1, 2)[decimals.offset :][: len(decimals)].T
    if np.any(high != low >> 63) or np.any(np.abs(low) >= 2**53):
        raise ValueError("decimals of so many digits are not compared")
    exact: Array = low / 10.0**decimals.type.scale  # of two exact numbers: the nearest
    return exact


def canonical_column(value: Any) -> Column:
    if isinstance(value, tuple):
        values, offsets = value
        return Column(np.asarray(values), np.asarray(offsets).astype(np.int64))
    if isinstance(value, torch.Tensor) and value.is_nested:
        jagged: Any = value  # the stubs know nothing of its offsets
        return Column(jagged.values().numpy(), jagged.offsets().numpy().astype(np.int64))
    if isinstance(value, list):
        if value and isinstance(value[0], (list, torch.Tensor, np.ndarray)):
            parts = [np.asarray(part) for part in value]
            return Column(np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])]))
        return Column(np.array(value, dtype=object))
    array = np.asarray(value)
    if array.ndim == 2:
        return Column(array.reshape(-1), np.arange(len(array) + 1, dtype=np.int64) * array.shape[1])
    return Column(array)


def joined(parts: list[Rows]) -> Rows:
    """Rows of several pieces, end to end."""
    if len(parts) == 1:
        return parts[0]
    return {name: joined_column([part[name] for part in parts]) for name in parts[0]}


def joined_column(parts: list[Column]) -> Column:
    values = np.concatenate([part.values for part in parts])
    if parts[0].offsets is None:
        return Column(values)
    lengths = [np.diff(part.offsets) for part in parts if part.offsets is not None]
    return Column(values, np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))


def difference(found: Rows, wanted: Rows) -> str | None:
    """In words, the first column where two lots of rows differ; None where they are the same."""
    if list(found) != list(wanted):
        return f"columns {list(found)} instead of {list(wanted)}"
    for name, column in found.items():
        want = wanted[name]
        if column.same(want):
            continue
        if column.values.dtype != want.values.dtype or len(column) != len(want):
            return (
                f"column {name!r}: {len(column)} rows of {column.values.dtype} instead of "
                f"{len(want)} of {want.values.dtype}"
            )
        row = next(i for i in range(len(want)) if not column.cut(i, i + 1).same(want.cut(i, i + 1)))
        return f"column {name!r}, row {row}: {column.cut(row, row + 1)} instead of {want.cut(row, row + 1)}"
    return None


def bits(values: Array) -> Array:
    """The bits of numbers as unsigned integers; objects as they are."""
    if values.dtype == object:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8)
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def row_hashes(rows: Rows) -> Array:
    """A 64-bit hash of every row: of all its values, their columns and their places in their lists."""
    total: Array | None = None
    for salt, (_name, column) in enumerate(sorted(rows.items())):
        raw = bits(column.values)
        if raw.dtype == object:
            raw = np.array([hash(value) & 0xFFFF_FFFF_FFFF_FFFF for value in raw], dtype=np.uint64)
        hashes = mixed(raw.astype(np.uint64))
        if column.offsets is not None:
            place = np.arange(len(hashes), dtype=np.int64) - np.repeat(column.offsets[:-1], np.diff(column.offsets))
            hashes = mixed(hashes + mixed(place.astype(np.uint64) + np.uint64(1)))
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
            hashes = sums[column.offsets[1:]] - sums[column.offsets[:-1]]
        hashes = mixed(hashes + np.uint64((salt + 1) * 0x9E37_79B9_7F4A_7C15 & 0xFFFF_FFFF_FFFF_FFFF))
        total = hashes if total is None else total + hashes
    return np.zeros(0, np.uint64) if total is None else total


def mixed(x: Array) -> Array:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    x ^= x >> np.uint64(31)
    return x


def digest(batch: Mapping[str, Any]) -> str:
    """Of a batch's values, in order."""
    found = hashlib.sha256()
    for name, column in canonical(batch).items():
        found.update(name.encode())
        values = column.values
        found.update(repr(values.tolist()).encode() if values.dtype == object else bits(values).tobytes())
        if column.offsets is not None:
            found.update(column.offsets.astype(np.int64).tobytes())
    return found.hexdigest()
