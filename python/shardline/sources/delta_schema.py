"""The schema of a Delta table as Arrow's.

>>> text = '{"type": "struct", "fields": [{"name": "x", "type": "long", "nullable": true, "metadata": {}}]}'
>>> arrow_schema(text, "none").field("x").type
DataType(int64)
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from shardline.errors import ShardlineTypeError
from shardline.sources.table_version import marked

_PHYSICAL = "delta.columnMapping.physicalName"
_ID = "delta.columnMapping.id"
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_PRIMITIVE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "short": pa.int16(),
    "byte": pa.int8(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}


def arrow_schema(text: str, mode: str) -> pa.Schema:
    """The columns, with how they are found in files under this mode of column mapping: "none", "name" or "id".

    Raises:
        ShardlineTypeError: A type that is not known.
    """
    return pa.schema([_field(field, mode, field["name"]) for field in json.loads(text)["fields"]])


def _field(field: Mapping[str, Any], mode: str, path: str) -> pa.Field:
    made = pa.field(field["name"], _type(field["type"], mode, path), field["nullable"])
    metadata = field.get("metadata") or {}
    stored = field["name"] if mode == "none" else metadata.get(_PHYSICAL, field["name"])
    return marked(made, [stored], metadata.get(_ID) if mode == "id" else None)


def _type(said: Any, mode: str, path: str) -> pa.DataType:
    if isinstance(said, str):
        if found := _PRIMITIVE.get(said):
            return found
        if parts := _DECIMAL.fullmatch(said):
            return pa.decimal128(int(parts[1]), int(parts[2]))
        raise ShardlineTypeError(
            f"column {path!r} of the Delta table is of the type {said!r}, which shardline does not read: drop the "
            "column from the table, or write it as another type"
        )
    kind = said["type"]
    if kind == "struct":
        return pa.struct([_field(field, mode, f"{path}.{field['name']}") for field in said["fields"]])
    if kind == "array":
        element = _type(said["elementType"], mode, f"{path}.element")
        return pa.list_(pa.field("element", element, said["containsNull"]))
    if kind == "map":
        key, value = (_type(said[f"{part}Type"], mode, f"{path}.{part}") for part in ("key", "value"))
        return pa.map_(key, pa.field("value", value, said["valueContainsNull"]))
    return _type(str(kind), mode, path)
