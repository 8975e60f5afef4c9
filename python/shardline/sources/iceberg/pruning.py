"""Which data files may have rows that pass a filter, by the values of their partitions, hidden ones too.

Statistics of columns, which manifests have as well, are not looked at: which files a plan has must not depend on what a
writer counted.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from shardline._core import Selector
from shardline.filters.compile import Filter, Program, Step
from shardline.filters.hive import to_bytes
from shardline.sources.iceberg.columns import primitive
from shardline.sources.iceberg.manifests import DataFile
from shardline.sources.iceberg.partitions import AS_INTEGERS, IdentityPartitions
from shardline.sources.iceberg.transforms import bounds_of, bucket_of

if TYPE_CHECKING:
    from pyiceberg.schema import Schema

_NEVER = Step("constant", [], [], False)


class _Field(NamedTuple):
    """A partition field of a spec whose column the snapshot has."""

    place: int
    """Of its value among the partition's."""
    column: str
    kind: pa.DataType
    transform: str
    bucket: Callable[[Any], int] | None


class Pruning:
    """Rules files out by their partitions."""

    def __init__(self, files: Sequence[DataFile], schema: "Schema", identity: IdentityPartitions) -> None:
        self._files = files
        self._fields = {
            spec_id: _fields_of(spec_id, schema, identity) for spec_id in {each.partition.spec_id for each in files}
        }

    @property
    def knows_any(self) -> bool:
        """Whether there is a partition by a column."""
        return any(self._fields.values())

    def may_pass(self, row_filter: Filter) -> list[bool]:
        """Of each file: whether a row of it may pass, as far as its partition tells."""
        found = [True] * len(self._files)
        by_spec: defaultdict[int, list[int]] = defaultdict(list)
        for place, file in enumerate(self._files):
            by_spec[file.partition.spec_id].append(place)
        for spec_id, places in by_spec.items():
            # A column may be in several fields: one of each column at a time.
            left = [field for field in self._fields[spec_id] if field.column in row_filter.columns]
            while left:
                fields = list({field.column: field for field in reversed(left)}.values())
                left = [field for field in left if field not in fields]
                for place, may in zip(places, self._pass(row_filter, fields, places), strict=True):
                    found[place] = found[place] and may
        return found

    def _pass(self, row_filter: Filter, fields: Sequence[_Field], places: Sequence[int]) -> list[bool]:
        program = row_filter.program({field.column: field.kind for field in fields}, partial=True)
        values = [self._files[place].partition.values for place in places]
        low, high = _bounds(fields, values)
        found = [True] * len(places)
        buckets = [field for field in fields if field.bucket is not None]
        groups: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for at, each in enumerate(values):
            groups[tuple(each[field.place] for field in buckets)].append(at)
        for numbers, members in groups.items():
            some = pa.array(members)
            known = _in_buckets(program, {f.column: (f, n) for f, n in zip(buckets, numbers, strict=True)})
            for at, may in zip(
                members, Selector.may_pass(known, to_bytes(low.take(some)), to_bytes(high.take(some))), strict=True
            ):
                found[at] = may
        return found


def _fields_of(spec_id: int, schema: "Schema", identity: IdentityPartitions) -> list[_Field]:
    columns = {field.field_id: field for field in schema.fields if field.field_type.is_primitive}
    found = []
    for source, transform, place, then in identity.fields[spec_id]:
        if (column := columns.get(source)) is None or transform == "void":
            continue
        said = str(column.field_type)
        if transform == "identity" and then != said and {then, said} & set(AS_INTEGERS):
            continue  # counted in another unit
        kind = primitive(column.field_type, column.name)
        found.append(_Field(place, column.name, kind, transform, bucket_of(transform, kind)))
    return found


def _bounds(fields: Sequence[_Field], values: Sequence[tuple[Any, ...]]) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The least and the greatest value of each field's column in each file.

    Both are null where all values are, the lower alone where they are not known.
    """
    lows, highs = [], []
    for field in fields:
        known: dict[Any, Any] = {None: (None, None)}
        for value in {each[field.place] for each in values} - {None}:
            found = bounds_of(field.transform, value, field.kind)
            known[value] = (None, _any(field.kind)) if found is None else _held(found, field.kind)
        pairs = [known[each[field.place]] for each in values]
        lows.append(_array([pair[0] for pair in pairs], field.kind))
        highs.append(_array([pair[1] for pair in pairs], field.kind))
    names = [field.column for field in fields]
    return pa.RecordBatch.from_arrays(lows, names=names), pa.RecordBatch.from_arrays(highs, names=names)


def _any(kind: pa.DataType) -> Any:
    """A value of a type."""
    types = pa.types
    if types.is_boolean(kind):
        return False
    if types.is_string(kind) or types.is_binary(kind):
        return "" if types.is_string(kind) else b""
    if types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    return Decimal(0) if types.is_decimal(kind) else 0


def _held(bounds: tuple[Any, Any], kind: pa.DataType) -> tuple[Any, Any]:
    """The bounds as far as a type holds them."""
    if pa.types.is_decimal(kind):
        most = Decimal(10**kind.precision - 1).scaleb(-kind.scale)
    elif isinstance(bounds[0], int) and not isinstance(bounds[0], bool):
        most = 2 ** (kind.bit_width - 1) - 1
    else:
        return bounds
    return max(-most, min(most, bounds[0])), max(-most, min(most, bounds[1]))


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_temporal(kind):
        return pa.array(values, kind)
    return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)


def _in_buckets(program: Program, known: dict[str, tuple[_Field, Any]]) -> Program:
    """The program where columns are in these buckets: what is in another one, no value of a column is equal to."""

    def of(step: Step) -> Step:
        if step.name not in ("equal", "in"):
            return step
        field, number = known.get(program.columns[step.columns[0]], (None, None))
        if field is None or field.bucket is None or number is None:
            return step
        bucket = field.bucket
        values = [value for value in step.values if isinstance(value, float) or bucket(value) == number]
        return step._replace(values=values) if step.name == "in" or values else _NEVER

    return Program(program.columns, [of(step) for step in program.steps])
