"""From what was asked of columns to the core's projection of a plan."""

import pyarrow as pa

from shardline._core import Plan, Projection
from shardline.errors import ShardlineValueError
from shardline.fills import specs_of_fills
from shardline.inheriting import options_of
from shardline.options.columns import core_spec
from shardline.settings import Settings


def project(plan: Plan, settings: Settings) -> Projection:
    """The columns to deliver, checked against the plan's schema."""
    names = set(pa.schema(plan.schema).names) if settings.column_options else set()
    specs = {}
    for path, options in settings.column_options.items():
        try:
            specs[path] = core_spec(options_of(settings, path, names), options.asked)
        except ShardlineValueError as error:
            raise ShardlineValueError(f"column_options of {path!r}: {error}") from None
    default = core_spec(settings.column_defaults)
    specs |= specs_of_fills(plan, settings)
    return Projection(
        plan,
        None if settings.columns is None else list(settings.columns),
        tensors=settings.wants_tensors,
        default=default,
        specs=specs,
        groups=[(name, list(columns), matrix) for name, columns, matrix in settings.groups],
    )
