"""From what was asked of columns to the core's projection of a plan."""

from typing import Any

import pyarrow as pa

from shardline._core import Plan, Projection
from shardline.column_options import ColumnOptions, core_spec
from shardline.errors import ShardlineValueError
from shardline.options import Settings


def project(plan: Plan, settings: Settings) -> Projection:
    """The columns to deliver, checked against the plan's schema."""
    names = set(pa.schema(plan.schema).names) if settings.column_options else set()
    specs = {}
    for path, options in settings.column_options.items():
        try:
            specs[path] = core_spec(options_of(settings, path, names), options.asked)
        except ShardlineValueError as error:
            raise ShardlineValueError(f"column_options of {path!r}: {error}") from None
    return Projection(
        plan,
        None if settings.columns is None else list(settings.columns),
        tensors=settings.wants_tensors,
        default=core_spec(settings.column_defaults),
        specs=specs,
        groups=[(name, list(columns), matrix) for name, columns, matrix in settings.groups],
    )


def options_of(settings: Settings, path: str, columns: Any = ()) -> ColumnOptions:
    """What holds for a column, or for a field in one: its own options, those of what it lies in, and the defaults.

    `columns`: the names of whole columns, which lie in none.
    """
    options = settings.column_options.get(path, ColumnOptions())
    outer = path
    while outer not in columns and "." in outer:
        outer = outer.rpartition(".")[0]
        if outer in settings.column_options:
            options = options.over(settings.column_options[outer])
    return options.over(settings.column_defaults)
