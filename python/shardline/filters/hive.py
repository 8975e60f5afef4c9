"""Hive partitions: the `key=value` folders of a file's name as columns.

>>> sorted(folders("year=2024/city=New%20York/a.parquet").items())
[('city', 'New York'), ('year', '2024')]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from shardline._core import Plan
from shardline.errors import ShardlineTypeError, ShardlineValueError

NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class Partitioning:
    """How folders become columns. `types`: given by name; None to infer all of them, as pyarrow does."""

    types: tuple[tuple[str, pa.DataType], ...] | None

    def values(self, names: Sequence[str]) -> pa.RecordBatch | None:
        """The columns, a row a file; None without any. ShardlineValueError names the file where one does not parse."""
        found = [folders(name) for name in names]
        types = dict(self.types) if self.types is not None else _infer(found)
        if self.types is not None:
            unknown = sorted({key for of_file in found for key in of_file} - set(types))
            if unknown:
                raise ShardlineValueError(
                    f"partitioning= gives no type for the folders {', '.join(f'{key}=…' for key in unknown)}: add "
                    "them, or give partitioning='hive' to infer all"
                )
        columns = []
        for key, dtype in types.items():
            texts = [None if (text := of_file.get(key)) in (None, NULL) else text for of_file in found]
            columns.append(_cast(key, dtype, texts, names))
        schema = pa.schema([pa.field(key, dtype) for key, dtype in types.items()])
        return pa.record_batch(columns, schema=schema) if columns else None


def folders(name: str) -> dict[str, str]:
    """The keys and values of a file's folders, URL-decoded; ShardlineValueError where a key comes twice."""
    found: dict[str, str] = {}
    for part in name.split("/")[:-1]:
        key, sign, value = part.partition("=")
        if not sign or not key:
            continue
        key = unquote(key)
        if key in found:
            raise ShardlineValueError(f"{name}: the folder {key}=… comes twice on this path; rename one")
        try:
            found[key] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ShardlineValueError(f"{name}: the folder {part!r}, URL-decoded, is not UTF-8; rename it") from None
    return found


def check_partitioning(value: Any) -> Partitioning | None:
    """None, "hive", a pyarrow schema, a dict of types by name, or pyarrow's own hive partitioning."""
    if value is None:
        return None
    import pyarrow.dataset as ds  # slow to import, and needed here only

    if isinstance(value, ds.HivePartitioning):
        return Partitioning(_fields(value.schema))
    if (isinstance(value, str) and value == "hive") or getattr(value, "type_name", None) == "hive":
        return Partitioning(None)
    if isinstance(value, pa.Schema):
        return Partitioning(_fields(value))
    if isinstance(value, Mapping):
        return Partitioning(_fields(pa.schema([pa.field(name, dtype) for name, dtype in value.items()])))
    raise ShardlineTypeError(
        "partitioning must be 'hive' (types inferred), a pyarrow schema of the folders' columns, or None, "
        f"not {value!r}"
    )


def attach(plan: Plan, partitioning: Partitioning | None) -> Plan:
    """The plan with the folders' columns."""
    if partitioning is None or plan.partition_schema is not None:
        return plan
    values = partitioning.values([name for name, _, _ in plan.files()])
    return plan if values is None else plan.with_partitions(to_bytes(values))


def to_bytes(values: pa.RecordBatch) -> bytes:
    """An Arrow IPC stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, values.schema) as writer:
        writer.write_batch(values)
    return bytes(sink.getvalue())


def _fields(schema: pa.Schema) -> tuple[tuple[str, pa.DataType], ...]:
    types = pa.types
    return tuple((f.name, f.type.value_type if types.is_dictionary(f.type) else f.type) for f in schema)


def _infer(found: Sequence[Mapping[str, str]]) -> dict[str, pa.DataType]:
    """int32 where all values are, else text; in the order in which the keys first come."""
    types: dict[str, pa.DataType] = {}
    for of_file in found:
        for key, text in of_file.items():
            if text == NULL:
                types.setdefault(key, None)
            elif not (_INTEGER.fullmatch(text) and -(2**31) <= int(text) < 2**31):
                types[key] = pa.string()
            elif types.get(key) is None:
                types[key] = pa.int32()
    return {key: pa.string() if dtype is None else dtype for key, dtype in types.items()}


def _cast(key: str, dtype: pa.DataType, texts: Sequence[str | None], names: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.string()).cast(dtype)
    except (pa.ArrowException, ValueError):
        for name, text in zip(names, texts, strict=True):
            try:
                pa.array([text], pa.string()).cast(dtype)
            except (pa.ArrowException, ValueError) as error:
                raise ShardlineValueError(
                    f"{name}: the folder {key}={text} is no {dtype} ({error}); rename it, or give its column another "
                    "type in partitioning="
                ) from error
        raise
