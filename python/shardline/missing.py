"""The error for a filter's column that the files do not have: it says which may have been meant."""

from collections.abc import Mapping

import pyarrow as pa

from shardline._core import Plan, Projection
from shardline.errors import ColumnNotFoundError
from shardline.options.columns import ColumnOptions, core_spec


def missing_column(name: str, plan: Plan, types: Mapping[str, pa.DataType]) -> ColumnNotFoundError:
    """`types`: of the plan's columns, which have no `name`."""
    try:  # the core knows names that are near, and the dotted paths that `columns=` takes
        Projection(plan, [name], tensors=False, default=core_spec(ColumnOptions()), specs={}, groups=[])
    except ColumnNotFoundError as error:
        return ColumnNotFoundError(f"filters=: {error.args[0]}")
    for column, type_ in types.items():
        fields = _fields(type_, name.removeprefix(f"{column}.")) if name.startswith(f"{column}.") else None
        if fields is not None:
            way = ", ".join(map(repr, (column, *fields)))
            return ColumnNotFoundError(
                f"filters= names {name!r}, a field of a struct: that is pc.field({way}) in a pyarrow.compute expression"
            )
    return ColumnNotFoundError(
        f"filters= names {name!r}, which lies in a list: a filter looks at columns, and at fields of structs"
    )


def _fields(type_: pa.DataType, path: str) -> tuple[str, ...] | None:
    """The fields, one in another, that a dotted path leads through; None where there are none."""
    for field in type_ if pa.types.is_struct(type_) else ():
        if path == field.name:
            return (field.name,)
        if path.startswith(f"{field.name}."):
            inner = _fields(field.type, path.removeprefix(f"{field.name}."))
            if inner is not None:
                return (field.name, *inner)
    return None
