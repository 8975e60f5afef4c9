"""The schema of an Iceberg table as Arrow's, with how its columns are found in files."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from shardline.errors import ShardlineTypeError
from shardline.sources.table_version import marked, with_default

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.types import IcebergType, NestedField

_PRIMITIVE: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp_ns": pa.timestamp("ns"),
    "timestamptz_ns": pa.timestamp("ns", "UTC"),
    "string": pa.string(),
    "binary": pa.binary(),
    "uuid": pa.binary(16),
}

NO_NAME = ""
"""The name in files of a column that is found by its id only."""


def schema_of(metadata: "TableMetadata", snapshot: "Snapshot") -> "Schema":
    """The schema of a snapshot: the one that it was written with."""
    found = None if snapshot.schema_id is None else metadata.schema_by_id(snapshot.schema_id)
    return found or metadata.schema()


def schema_digest(schema: "Schema") -> str:
    """Of a schema: equal where ids, names, types and defaults are."""
    return hashlib.sha256("\n".join(map(repr, schema.fields)).encode()).hexdigest()[:32]


def arrow_schema(metadata: "TableMetadata", schema: "Schema", absent: Mapping[int, str]) -> pa.Schema:
    """The columns of a schema.

    Args:
        metadata: The table's; its name mapping says what columns are called in files without field ids.
        schema: A snapshot's.
        absent: By field id: why a file that lacks the field cannot be read.

    Raises:
        ShardlineTypeError: A type that is not read.
    """
    names = mapped_names(metadata) or {}
    found = []
    for field in schema.fields:
        made = _field(field, field.name, names, absent)
        default = None if field.field_id in absent else initial_default(field, field.name)
        found.append(made if default is None else with_default(made, default))
    return pa.schema(found)


def columns_in_files(metadata: "TableMetadata", digest: str) -> pa.Schema | None:
    """The columns of the schema of a digest, none of them by partitions; None where the table has no such schema."""
    schema = next((each for each in metadata.schemas if schema_digest(each) == digest), None)
    if schema is None:
        return None
    fields = [field for spec in metadata.partition_specs for field in spec.fields if str(field.transform) == "identity"]
    why = "its value is that of the file's partition, which only the snapshot says"
    return arrow_schema(metadata, schema, {field.source_id: why for field in fields} | nested_defaults(schema))


def nested_defaults(schema: "Schema") -> dict[int, str]:
    """By field id: why a file that lacks the field cannot be read, of those with a default that is not carried."""
    whole = {field.field_id for field in schema.fields if field.field_type.is_primitive}
    others = [schema.find_field(number) for number in schema.field_ids if number not in whole]
    return {
        field.field_id: f"its value would be its initial default, {field.initial_default!r}, as a field in a column"
        for field in others
        if field.initial_default is not None
    }


def initial_default(field: "NestedField", name: str) -> pa.Scalar | None:
    """The value of a field of single values in files that are older than it; None for null.

    Raises:
        ShardlineTypeError: It is no value of the field's type.
    """
    value = field.initial_default
    if value is None or not field.field_type.is_primitive:
        return None
    kind = primitive(field.field_type, name)
    try:
        return pa.scalar(value.bytes if isinstance(value, UUID) else value, kind)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ShardlineTypeError(
            f"column {name!r} of the Iceberg table has an initial default that is no {field.field_type}: {value!r}; "
            "repair the table's metadata"
        ) from error


def mapped_names(metadata: "TableMetadata") -> dict[int, list[str]] | None:
    """What fields are called in files without field ids, by id; None where the table does not say."""
    mapping = metadata.name_mapping()
    if mapping is None:
        return None
    names: dict[int, list[str]] = {}
    _collect(mapping.root, names)
    return names


def _collect(fields: Any, names: dict[int, list[str]]) -> None:
    for field in fields:
        if field.field_id is not None:
            names.setdefault(field.field_id, []).extend(field.names)
        _collect(field.fields, names)


def _field(field: "NestedField", path: str, names: Mapping[int, list[str]], absent: Mapping[int, str]) -> pa.Field:
    made = pa.field(field.name, _type(field.field_type, path, names, absent), not field.required)
    return marked(made, names.get(field.field_id, [NO_NAME]), field.field_id, absent.get(field.field_id))


def _type(said: "IcebergType", path: str, names: Mapping[int, list[str]], absent: Mapping[int, str]) -> pa.DataType:
    def inner(field: "NestedField", name: str) -> pa.Field:
        return _field(field, f"{path}.{name}", names, absent)

    if said.is_struct:
        return pa.struct([inner(field, field.name) for field in said.fields])
    if hasattr(said, "element_field"):
        return pa.list_(
            pa.field("element", _type(said.element_type, f"{path}.element", names, absent), not said.element_required)
        )
    if hasattr(said, "key_field"):
        key = _type(said.key_type, f"{path}.key", names, absent)
        value = _type(said.value_type, f"{path}.value", names, absent)
        return pa.map_(key, pa.field("value", value, not said.value_required))
    return primitive(said, path)


def primitive(said: "IcebergType", path: str) -> pa.DataType:
    """The Arrow type of a primitive one."""
    from pyiceberg.types import DecimalType, FixedType

    if isinstance(said, DecimalType):
        return pa.decimal128(said.precision, said.scale)
    if isinstance(said, FixedType):
        return pa.binary(len(said))
    if (found := _PRIMITIVE.get(str(said))) is not None:
        return found
    raise ShardlineTypeError(
        f"column {path!r} of the Iceberg table is of the type {said}, which shardline does not read: drop the column "
        "from the table, or write it as another type"
    )
