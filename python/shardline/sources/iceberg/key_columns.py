"""The columns of a Parquet file that equality deletes compare, found by field id and read a part at a time."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardline.errors import ShardlineValueError
from shardline.sources.iceberg.columns import initial_default, primitive

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

_ID = b"PARQUET:field_id"
_BATCH = 1 << 18
"""Rows read at a time."""
_NAN = struct.unpack("<q", struct.pack("<d", float("nan")))[0]


@dataclass(frozen=True)
class KeyField:
    """A field that a delete compares."""

    field_id: int
    name: str
    """Dotted, as the newest schema that has it calls it."""
    said: Any
    """Its Iceberg type there: the widest that it has had."""
    type: pa.DataType
    default: Any
    """What a file without it has; None for null."""
    ids: tuple[int, ...]
    """The ids of the fields that it lies in, the outermost first, and its own."""


def key_fields(metadata: "TableMetadata", ids: Sequence[int]) -> list[KeyField]:
    """The fields of these ids, whichever schema of the table has them: a dropped column still counts.

    Raises:
        ShardlineValueError: No schema has one, or its type is not one of single values.
    """
    # A type only ever gets wider; the current schema may be an older one that was set again.
    newest = sorted(metadata.schemas, key=lambda each: (each.schema_id == metadata.current_schema_id, each.schema_id))
    found = []
    for number in ids:
        schema = next((each for each in reversed(newest) if number in each.field_ids), None)
        if schema is None:
            raise ShardlineValueError(
                f"{metadata.location}: rows of the Iceberg table are deleted by the field {number}, which none of its "
                "schemas has: restore its metadata"
            )
        field = schema.find_field(number)
        path = _through_structs(schema.fields, number)
        name = schema.find_column_name(number) or field.name
        if path is None or not field.field_type.is_primitive:
            raise ShardlineValueError(
                f"{metadata.location}: rows of the Iceberg table are deleted by {name!r}, which is {field.field_type} "
                "or lies in a list or map, and only single values can be compared: compact the table"
            )
        default = initial_default(field, name)
        found.append(KeyField(number, name, field.field_type, primitive(field.field_type, name), default, path))
    return found


def _through_structs(fields: Any, number: int) -> tuple[int, ...] | None:
    """The ids of the structs that a field lies in, and its own; None where it lies in anything else."""
    for field in fields:
        if field.field_id == number:
            return (number,)
        if field.field_type.is_struct and (path := _through_structs(field.field_type.fields, number)) is not None:
            return (field.field_id, *path)
    return None


def ids_in(schema: pa.Schema) -> dict[int, tuple[str, ...]]:
    """The path of each field of a file that has an id, through structs, by that id."""
    found: dict[int, tuple[str, ...]] = {}

    def collect(fields: Any, path: tuple[str, ...]) -> None:
        for field in fields:
            here = (*path, field.name)
            if field.metadata is not None and _ID in field.metadata:
                found[int(field.metadata[_ID])] = here
            if pa.types.is_struct(field.type):
                collect(field.type, here)

    collect(schema, ())
    return found


def paths_of(
    schema: pa.Schema, fields: Sequence[KeyField], names: Mapping[int, Sequence[str]] | None
) -> dict[int, tuple[str, ...]] | None:
    """Where a file has the fields; those that it lacks are left out.

    Args:
        schema: The file's.
        fields: Those that are looked for.
        names: The table's name mapping, for files without field ids; None where it has none.

    Returns:
        The paths by field id; None where neither ids nor a mapping say anything.
    """
    by_id = ids_in(schema)
    if by_id:
        return {field.field_id: by_id[field.field_id] for field in fields if field.field_id in by_id}
    if names is None:
        return None
    found = {}
    for field in fields:
        path: list[str] = []
        inner: Any = schema
        for number in field.ids:
            there = [each.name for each in inner] if inner is not None else []
            name = next((name for name in names.get(number, ()) if name in there), None)
            if name is None:
                break
            path.append(name)
            of = inner.field(name).type
            inner = of if pa.types.is_struct(of) else None
        else:
            found[field.field_id] = tuple(path)
    return found


def read_keys(
    file: Any, fields: Sequence[KeyField], paths: Mapping[int, tuple[str, ...]], constants: Mapping[int, Any]
) -> Iterator[dict[int, pa.Array]]:
    """The fields of a file's rows, a part at a time, as values that are compared.

    Args:
        file: A `pyarrow.parquet.ParquetFile`.
        fields: Those that are read.
        paths: Where the file has them.
        constants: By field id: the scalars of those that the file lacks.
    """
    columns = sorted({".".join(paths[field.field_id]) for field in fields if field.field_id in paths})
    if not columns:
        count = file.metadata.num_rows
        yield {field.field_id: _constant(field, constants[field.field_id], count) for field in fields}
        return
    for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
        found = {}
        for field in fields:
            path = paths.get(field.field_id)
            if path is None:
                found[field.field_id] = _constant(field, constants[field.field_id], batch.num_rows)
                continue
            column = batch.column(path[0])
            column = pc.struct_field(column, list(path[1:])) if len(path) > 1 else column
            found[field.field_id] = comparable(column, field.type)
        yield found


def _constant(field: KeyField, value: Any, count: int) -> pa.Array:
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value, field.type)
    return comparable(pa.repeat(scalar, count), field.type)


def comparable(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Values of a column's widest type, floating-point numbers as their bits: equal where Iceberg calls them equal.

    >>> comparable(pa.array([float("nan"), None], pa.float32()), pa.float64()).is_null().to_pylist()
    [False, True]
    """
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    array = array if array.type == wanted else array.cast(wanted)
    if not pa.types.is_floating(wanted):
        return array
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    values = pc.fill_null(array.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    bits = np.where(np.isnan(values), _NAN, values.view(np.int64))
    return pa.array(bits, pa.int64(), mask=is_null)
