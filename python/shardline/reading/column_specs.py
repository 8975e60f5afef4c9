"""From the options of columns to the core's projection of a plan.

Fills that are dates, times, durations or decimals become the number that each column has for them: only with a plan is
a column's type known, and one default may be another number in every column.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa

from shardline._core import Plan, Projection
from shardline.errors import ShardlineValueError
from shardline.options.columns import ColumnOptions, Matrix, core_spec, is_plain
from shardline.options.temporal import seconds_of, unit_of
from shardline.settings import Settings

_INDEX = re.compile(r"__index_level_\d+__")


def project(plan: Plan, settings: Settings) -> Projection:
    """The columns to deliver, checked against the plan's schema."""
    if settings.pack is not None:
        return settings.pack.projection(plan)
    whole = pa.schema(plan.schema).names
    names = set(whole) if settings.column_options else set()
    specs = {}
    for path, options in settings.column_options.items():
        try:
            specs[path] = core_spec(options_of(settings, path, names), options.asked)
        except ShardlineValueError as error:
            raise ShardlineValueError(f"column_options of {path!r}: {error}") from None
    default = core_spec(settings.column_defaults)
    specs |= _specs_of_fills(plan, settings)
    return Projection(
        plan,
        _asked_for(whole, settings),
        tensors=settings.wants_tensors,
        default=default,
        specs=specs,
        groups=settings.matrices,
        row_id=settings.row_id,
    )


def _asked_for(names: list[str], settings: Settings) -> list[str] | None:
    """The columns to deliver; None for all. An index of pandas that has no name is none of them, unless it is named."""
    if settings.columns is not None:
        return list(settings.columns)
    if settings.matrices:
        return None
    kept = [name for name in names if not _INDEX.fullmatch(name) or name in settings.column_options]
    return kept if 0 < len(kept) < len(names) else None


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


def _specs_of_fills(plan: Plan, settings: Settings) -> dict[str, dict[str, Any]]:
    """What the core takes, by path, of every column and field that has such a fill."""
    if not any(map(_uncounted, (settings.column_defaults, *settings.column_options.values()))):
        return {}
    matrices = {column: each for each in settings.matrices for column in each.columns}
    names = None if settings.columns is None and not matrices else [*(settings.columns or ()), *matrices]
    bare = Projection(plan, names, tensors=False, default=core_spec(ColumnOptions()), specs={}, groups=[])
    whole = set(pa.schema(plan.schema).names)
    specs: dict[str, dict[str, Any]] = {}

    def add(path: str, type_: Any, outer: ColumnOptions, asked: Iterable[str]) -> None:
        """`outer`: what holds unless the path has options of its own."""
        own = settings.column_options.get(path)
        options, asked = (outer, asked) if own is None else (options_of(settings, path, whole), own.asked)
        type_ = getattr(type_, "storage_type", type_)
        if pa.types.is_struct(type_):
            for field in type_:
                add(f"{path}.{field.name}", field.type, options, ())
        elif found := _uncounted(options):
            made: dict[str, Any] = {
                name: _number(name, value, path, type_, options, asked) for name, value in found.items()
            }
            specs[path] = core_spec(replace(options, **made), asked)

    for field in pa.schema(bare.schema):
        matrix = matrices.get(field.name, Matrix(field.name, (), False))
        options = settings.column_options.get(matrix.key)
        if options is None:
            add(field.name, field.type, options_of(settings, field.name, whole), ())
        else:
            asked = () if matrix.is_matrix else options.asked
            add(field.name, field.type, options.over(settings.column_defaults), asked)
    return specs


def _uncounted(options: ColumnOptions) -> dict[str, Any]:
    values = {"fill": options.fill, "pad_value": options.pad_value}
    return {name: value for name, value in values.items() if not is_plain(value)}


def _number(
    option: str, value: Any, path: str, type_: Any, options: ColumnOptions, asked: Iterable[str]
) -> int | float:
    """The value as the column's values are delivered, exactly; ShardlineValueError where it is none of the column's."""

    def wrong(why: str) -> ShardlineValueError:
        return ShardlineValueError(f"{option}={value!r} does not fit column {path!r}, which is {why}")

    if "encode" in asked:
        raise wrong("delivered as ids: give an integer")
    item = type_
    while isinstance(item, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        item = item.value_type
    if isinstance(value, Decimal):
        if not pa.types.is_decimal(item):
            raise wrong(f"{type_}: a Decimal is for decimals")
        unscaled = Fraction(value) * Fraction(10) ** item.scale
        if unscaled.denominator != 1 or abs(unscaled) >= 10**item.precision:
            raise wrong(f"{type_}: give one of at most {item.precision} digits, {item.scale} of them after the point")
        return int(unscaled) if options.decimal == "unscaled" else float(Fraction(value))
    found, unit = seconds_of(value), unit_of(item)
    if found is None or unit is None or found.kind != unit.kind:
        raise wrong(f"{type_}: a {type(value).__name__} is for another kind")
    if found.zoned != (unit.zone is not None):
        raise wrong(f"{type_}: give a value {'without' if found.zoned else 'with'} a time zone")
    count = found.seconds / unit.seconds
    if count.denominator != 1:
        raise wrong(f"{type_}: give a whole number of its unit")
    if not -(2**63) <= count < 2**63:
        raise wrong(f"{type_}: in its unit that is over 64 bits")
    return int(count)
