"""Some rows of the columns that may be stored better than they are: the first of a few row groups."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shardline.footers.columns import ColumnFacts
from shardline.footers.opening import Open
from shardline.footers.survey import Group, Survey

_GROUPS = 4
_ROWS = 2**14
_CHUNK_BYTES = 64 << 20
"""Columns of larger chunks are left out."""
_BYTES = 256 << 20


@dataclass(frozen=True)
class Sampled:
    """What the rows of a column were found to be."""

    rows: int
    groups: int
    distinct: int | None = None
    """Of texts."""
    are_whole_numbers: bool = False
    """Of texts: whether each is a whole number."""
    fit_float32: bool = False
    """Whether every number, and there was one, is the same as a float32."""
    length: int | None = None
    """Of lists: the one length that all have."""


def sample(survey: Survey, open_file: Open) -> dict[str, Sampled]:
    """Reads rows of the columns that could be ids, float32, or lists of one length.

    Args:
        survey: The footers.
        open_file: Opens a file.

    Returns:
        What was found, by leaf.
    """
    wanted, budget = [], _BYTES
    for facts in survey.columns.values():
        cost = min(_GROUPS, facts.chunks) * facts.uncompressed // max(1, facts.chunks)
        if _may_be_better(facts) and facts.uncompressed <= _CHUNK_BYTES * facts.chunks and cost <= budget:
            wanted.append(facts)
            budget -= cost
    groups = [group for group in survey.groups if group.rows]
    if not wanted or not groups:
        return {}
    chosen = [groups[i * len(groups) // _GROUPS] for i in range(_GROUPS)] if len(groups) > _GROUPS else groups
    parts = [_read(open_file, group, [facts.leaf.column for facts in wanted]) for group in chosen]
    found = {}
    for facts in wanted:
        arrays = [part[facts.leaf.column] for part in parts if facts.leaf.column in part]
        if arrays:
            found[facts.leaf.name] = _look(facts, arrays)
    return found


def _may_be_better(facts: ColumnFacts) -> bool:
    leaf = facts.leaf
    is_list = leaf.name == f"{leaf.column}[]"
    if leaf.name != leaf.column and not is_list:
        return False
    return leaf.type == "double" or (not is_list and leaf.type in ("string", "large_string")) or is_list


def _read(open_file: Open, group: Group, columns: list[str]) -> dict[str, Any]:
    import pyarrow.parquet as pq

    with open_file(group.file) as source, pq.ParquetFile(source) as file:
        there = [name for name in dict.fromkeys(columns) if name in file.schema_arrow.names]
        batches = file.iter_batches(_ROWS, row_groups=[group.number], columns=there, use_threads=False)
        batch = next(batches, None)
        return {} if batch is None else {name: batch.column(name) for name in there}


def _look(facts: ColumnFacts, arrays: list[Any]) -> Sampled:
    import pyarrow.compute as pc

    rows, groups = sum(map(len, arrays)), len(arrays)
    distinct, length = None, None
    are_whole = fit = False
    if facts.leaf.type in ("string", "large_string") and not facts.leaf.in_list:
        values: set[str] = set()
        for array in arrays:
            values.update(array.unique().drop_null().to_pylist())
        distinct = len(values)
        are_whole = bool(values) and all(_is_whole(value) for value in values)
    if facts.leaf.in_list and not any(pa.types.is_fixed_size_list(array.type) for array in arrays):
        lengths = {each for array in arrays for each in pc.list_value_length(array).unique().to_pylist()}
        only = lengths.pop() if len(lengths) == 1 else None
        length = only or None
    if facts.leaf.type == "double":
        numbers = np.concatenate([_numbers(array) for array in arrays])
        numbers = numbers[np.isfinite(numbers)]
        with np.errstate(over="ignore"):
            fit = len(numbers) > 0 and bool((numbers.astype(np.float32) == numbers).all())
    return Sampled(rows, groups, distinct, are_whole, fit, length)


def _is_whole(value: str) -> bool:
    bare = value.removeprefix("-")
    return bare.isascii() and bare.isdigit() and len(bare) <= 18 and str(int(value)) == value


def _numbers(array: Any) -> Any:
    while pa.types.is_nested(array.type):
        array = array.flatten()
    return array.drop_null().to_numpy(zero_copy_only=False)
