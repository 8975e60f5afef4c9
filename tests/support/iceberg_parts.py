"""What the hand-written Iceberg tables of tests are made of, and which of their rows are visible: the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

DATA, DELETES = 0, 1
ADDED, EXISTING = 1, 0
POSITIONS = pa.schema(
    [
        pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
    ]
)
CONTENT = {"data": 0, "positions": 1, "vector": 1, "equality": 2}


@dataclass
class File:
    """A data or delete file in a manifest."""

    kind: str
    path: str
    rows: int
    partition: tuple[Any, ...]
    spec: int
    format: str = "PARQUET"
    sequence: int = 0
    ids: list[int] | None = None
    referenced: str | None = None
    offset: int | None = None
    length: int | None = None
    size: int = 0
    key: bytes | None = None
    content: Any = None
    """What the model knows of it: row dicts by field id, positions by path, or keys."""


@dataclass
class Manifest:
    path: str
    kind: int
    spec: int
    sequence: int
    snapshot: int
    files: list[File]


def visible(files: Sequence[File], unpartitioned: Mapping[int, bool]) -> list[dict[int, Any]]:
    """The visible rows of these files, by field id, row by row as the specification has it."""
    deletes = [file for file in files if file.kind != "data"]
    return [
        row
        for file in files
        if file.kind == "data"
        for position, row in enumerate(file.content)
        if not _deleted(file, position, row, deletes, unpartitioned)
    ]


def _deleted(
    file: File, position: int, row: Mapping[int, Any], deletes: Sequence[File], unpartitioned: Mapping[int, bool]
) -> bool:
    def same(delete: File) -> bool:
        return (delete.spec, repr(delete.partition)) == (file.spec, repr(file.partition))

    mine = [each for each in deletes if each.kind == "vector" and each.referenced == file.path]
    if any(position in each.content[file.path] for each in mine):
        return True
    for each in deletes:
        may = each.kind == "positions" and not mine and each.referenced in (None, file.path)
        if may and each.sequence >= file.sequence and same(each) and position in each.content.get(file.path, ()):
            return True
        if each.kind == "equality" and each.sequence > file.sequence:
            is_global = unpartitioned[each.spec]
            if (is_global or same(each)) and any(
                all(_equal(row.get(number), value) for number, value in key.items()) for key in each.content
            ):
                return True
    return False


def _equal(one: Any, other: Any) -> bool:
    """As equality deletes compare: null equals null, NaN equals NaN."""
    return one == other or (one != one and other != other)


def schema_of(number: int, fields: Sequence[tuple[int, str, Any]]) -> dict[str, Any]:
    made = []
    for each in fields:
        more = each[3] if len(each) > 3 else {}
        made.append({"id": each[0], "name": each[1], "type": each[2], "required": False, **more})
    return {"type": "struct", "schema-id": number, "fields": made}


def spec_of(number: int, partitions: Sequence[tuple[int, int, str, str]]) -> dict[str, Any]:
    keys = ("source-id", "field-id", "name", "transform")
    return {"spec-id": number, "fields": [dict(zip(keys, each, strict=True)) for each in partitions]}


def without_ids(schema: pa.Schema) -> pa.Schema:
    return pa.schema([_bare(each) for each in schema])


def _bare(of: pa.Field) -> pa.Field:
    kind = of.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_bare(each) for each in kind])
    elif pa.types.is_large_list(kind):
        kind = pa.large_list(_bare(kind.value_field))
    return pa.field(of.name, kind, of.nullable)
