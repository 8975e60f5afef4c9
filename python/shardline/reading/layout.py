"""The layout of a batch: what each of its keys holds, as the core's projection tells it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from shardline._core import Projection


class Node(NamedTuple):
    """What a key holds."""

    kind: str
    """"dense", "jagged", "ragged", "padded", "text", "objects", or "dict"."""
    inside: Any
    """The number of the part in a run of the core; of a dict, its entries."""
    dtype: str
    """Of a tensor; else ""."""


class Entry(NamedTuple):
    """One key of a batch."""

    name: str
    role: str
    """"value", or what stands beside one: "mask", "item_mask", "length"."""
    columns: tuple[str, ...]
    """The columns that it is made of."""
    node: Node


class FieldEntry(NamedTuple):
    """One key of a dict in a batch, which is made of a struct."""

    name: str
    role: str
    node: Node
    field: str
    """The struct's field that it is made of, or stands beside."""
    type: pa.DataType | None


def entries_of(projection: Projection) -> list[Entry]:
    """The keys of a batch, in order."""
    return [Entry(name, role, tuple(columns), Node(*node)) for name, role, columns, node in projection.layout]


def fields_of(node: Node, struct: Any) -> Iterator[FieldEntry]:
    """The keys of a dict: each field, then its masks and lengths.

    The field is found by place, not by name: `ab__mask` may belong to `a` or to `ab`.
    """
    types = {field.name: field.type for field in getattr(struct, "storage_type", struct)}
    field = ""
    for key, role, inner in node.inside:
        if role == "value":
            field = key
        yield FieldEntry(key, role, Node(*inner), field, types.get(field))
