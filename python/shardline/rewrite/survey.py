"""What has to be known of the values beforehand: the types that are enough, and where a sort is cut into buckets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardline.errors import ShardlineValueError
from shardline.rewrite.layout import Layout
from shardline.rewrite.order import ROW, random_keys
from shardline.rewrite.sizes import Sizes
from shardline.rewrite.source import Source
from shardline.rewrite.types import Path, conform, stored_schema

MOST_FOLDERS = 10_000
_SAMPLES_OF_A_BUCKET = 256
_SAMPLE_SEED = 0x5AD


@dataclass
class Facts:
    """Of some rows; `add` takes those of others in."""

    ranges: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Of integers, least and greatest."""
    inexact: set[Path] = field(default_factory=set)
    """Of float64, those with a value that float32 does not have."""
    lengths: dict[Path, int] = field(default_factory=dict)
    """Of lists; -1 where they differ, or some list is null."""
    samples: list[pa.Table] = field(default_factory=list)
    folders: set[tuple[Any, ...]] = field(default_factory=set)

    def add(self, other: "Facts") -> None:
        """Takes others in."""
        for path, (low, high) in other.ranges.items():
            mine = self.ranges.get(path, (low, high))
            self.ranges[path] = (min(low, mine[0]), max(high, mine[1]))
        self.inexact |= other.inexact
        for path, length in other.lengths.items():
            self.lengths[path] = length if self.lengths.get(path, length) == length else -1
        self.samples += other.samples
        self.folders |= other.folders
        if len(self.folders) > MOST_FOLDERS:
            raise ShardlineValueError(
                f"partition_by= would make more than {MOST_FOLDERS:,} folders: partition by columns of fewer "
                "values, or sort_by= them"
            )


def surveyed_columns(source: Source, layout: Layout) -> list[str]:
    """The columns whose values have to be seen."""
    keys = [*layout.partition_by, *(name for name, _ in layout.sort_by)]
    return [f.name for f in source.schema if f.name in keys or _changes(f.type, layout)]


def _changes(type_: pa.DataType, layout: Layout) -> bool:
    types = pa.types
    if types.is_list(type_) or types.is_large_list(type_):
        return layout.fixed_size_lists or _changes(type_.value_type, layout)
    if types.is_fixed_size_list(type_):
        return _changes(type_.value_type, layout)
    if types.is_struct(type_):
        return any(_changes(f.type, layout) for f in type_)
    return layout.narrow and (_narrower_integers(type_) != [] or types.is_float64(type_))


def look(batch: pa.RecordBatch, first: int, layout: Layout, rate: float) -> Facts:
    """The facts of a batch whose rows are `first` and the next; `rate`: of keys to be sampled."""
    facts = Facts()
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name not in layout.partition_by and _changes(column.type, layout):
            _look_into(column, (name,), layout, facts)
    keys = [*layout.partition_by, *(name for name, _ in layout.sort_by)]
    if keys:
        drawn = random_keys(_SAMPLE_SEED, first, batch.num_rows) < np.uint64(min(rate, 1.0) * (2**64 - 2**12))
        rows = np.flatnonzero(drawn)
        stored = conform(batch, stored_schema(pa.schema([batch.schema.field(key) for key in keys])))
        sample = pa.Table.from_batches([stored.take(pa.array(rows))])
        facts.samples.append(sample.append_column(ROW, pa.array((rows + first).astype(np.uint64))))
    if layout.partition_by:
        groups = pa.Table.from_batches([batch.select(list(layout.partition_by))])
        distinct = groups.group_by(list(layout.partition_by)).aggregate([])
        facts.folders |= set(zip(*(column.to_pylist() for column in distinct.columns), strict=True))
    return facts


def _look_into(array: pa.Array, path: Path, layout: Layout, facts: Facts) -> None:
    types, type_ = pa.types, array.type
    if types.is_struct(type_):
        for i, child in enumerate(type_):
            _look_into(array.field(i), (*path, child.name), layout, facts)
    elif types.is_list(type_) or types.is_large_list(type_):
        if layout.fixed_size_lists and len(array):
            ends = pc.min_max(pc.list_value_length(array))
            low, high = ends["min"].as_py(), ends["max"].as_py()
            facts.lengths[path] = high if array.null_count == 0 and low == high else -1
        _look_into(array.flatten(), (*path, "[]"), layout, facts)
    elif types.is_fixed_size_list(type_):
        _look_into(array.flatten(), (*path, "[]"), layout, facts)
    elif layout.narrow and types.is_float64(type_):
        values = array.drop_null().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore", invalid="ignore"):
            same = values.astype(np.float32).astype(np.float64)
        if not np.array_equal(same, values, equal_nan=True):
            facts.inexact.add(path)
    elif layout.narrow and _narrower_integers(type_):
        ends = pc.min_max(array)
        if ends["min"].is_valid:
            facts.ranges[path] = (ends["min"].as_py(), ends["max"].as_py())


def changes_of(facts: Facts, schema: pa.Schema, layout: Layout) -> dict[Path, pa.DataType | int]:
    """The types that are enough, by path, where they are others; an int is the length of all lists."""
    found: dict[Path, pa.DataType | int] = {}

    def walk(type_: pa.DataType, path: Path) -> None:
        types = pa.types
        if types.is_struct(type_):
            for child in type_:
                walk(child.type, (*path, child.name))
        elif types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
            walk(type_.value_type, (*path, "[]"))
            if facts.lengths.get(path, -1) > 0:
                found[path] = facts.lengths[path]
        elif types.is_float64(type_) and layout.narrow and path not in facts.inexact:
            found[path] = pa.float32()
        elif path in facts.ranges:
            low, high = facts.ranges[path]
            for narrower in _narrower_integers(type_):
                bits = narrower.bit_width - (0 if types.is_unsigned_integer(narrower) else 1)
                if -(2**bits) <= low and high < 2**bits:
                    found[path] = narrower
                    break

    for column in schema:
        if column.name not in layout.partition_by:
            walk(column.type, (column.name,))
    return found


def _narrower_integers(type_: pa.DataType) -> list[pa.DataType]:
    if not pa.types.is_integer(type_):
        return []
    narrow = [pa.uint16(), pa.uint32()] if pa.types.is_unsigned_integer(type_) else [pa.int16(), pa.int32()]
    return [one for one in narrow if one.bit_width < type_.bit_width]


def sample_rate(sizes: Sizes, rows: int) -> float:
    """The share of rows whose keys are sampled, so that buckets differ by a few per cent."""
    return min(1.0, _SAMPLES_OF_A_BUCKET * sizes.buckets / max(rows, 1))


def splitters(facts: Facts, keys: Sequence[tuple[str, str]], buckets: int) -> pa.Table | None:
    """The first keys of all buckets but the first, in order; None where nothing was sampled."""
    if not facts.samples:
        return None
    sample = pa.concat_tables(facts.samples)
    order = pc.sort_indices(sample, sort_keys=list(keys))
    places = [len(sample) * i // buckets for i in range(1, buckets)] if len(sample) else []
    return sample.take(order.take(pa.array(places, pa.int64())))
