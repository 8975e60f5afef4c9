"""The columns that a footer has, by the names that users know: `tags[]` for a list's items, `user.age` for a field."""

from typing import Any, NamedTuple

import pyarrow as pa


class Leaf(NamedTuple):
    """A column as Parquet stores it."""

    name: str
    column: str
    """The top-level column that it is part of."""
    type: str
    in_list: bool
    """Whether it has another number of values than rows."""


def leaves_of(schema: Any) -> list[Leaf]:
    """The leaves of a `pyarrow.parquet.ParquetSchema`, in the order of its columns."""
    stored = [schema.column(number) for number in range(len(schema))]
    try:
        found = [leaf for each in schema.to_arrow_schema() for leaf in _walk(each.name, each.name, each.type, False)]
    except (pa.ArrowException, NotImplementedError):
        found = []
    if len(found) == len(stored):
        return found
    return [
        Leaf(each.path, each.path.partition(".")[0], str(each.physical_type).lower(), each.max_repetition_level > 0)
        for each in stored
    ]


def _walk(name: str, column: str, kind: Any, in_list: bool) -> list[Leaf]:
    kind = getattr(kind, "storage_type", kind)
    if pa.types.is_struct(kind):
        return [
            leaf
            for each in (kind.field(i) for i in range(kind.num_fields))
            for leaf in _walk(f"{name}.{each.name}", column, each.type, in_list)
        ]
    if pa.types.is_map(kind):
        return [
            *_walk(f"{name}.key", column, kind.key_type, True),
            *_walk(f"{name}.value", column, kind.item_type, True),
        ]
    if isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        return _walk(f"{name}[]", column, kind.value_type, True)
    return [Leaf(name, column, str(kind), in_list)]
