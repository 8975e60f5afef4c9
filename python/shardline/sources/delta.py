"""Delta tables: their log, read by the package deltalake (whose reader is delta_kernel), as a `TableVersion`.

Only metadata come from there: which files a version has, their partition values, and deletion vectors, as positions.
The data are read by shardline, like all Parquet.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from shardline._core import Storage
from shardline.errors import (
    ShardlineError,
    ShardlineFileNotFoundError,
    ShardlineImportError,
    ShardlineOSError,
    ShardlineValueError,
)
from shardline.options.storage import is_remote
from shardline.sources.delta_copy import LogCopy, needs_copy
from shardline.sources.delta_schema import arrow_schema
from shardline.sources.delta_store import deltalake_options
from shardline.sources.request import TableRequest
from shardline.sources.table_version import TableFile, TableVersion, duplicates

if TYPE_CHECKING:
    from deltalake import DeltaTable

_FEATURES = frozenset(
    (
        *("columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview"),
        *("v2Checkpoint", "vacuumProtocolCheck"),
    )
)
"""The reader features that are read as the protocol says."""
_MAPPING_VERSION = 2
_FEATURES_VERSION = 3


def open_version(root: str, request: TableRequest, storage: Storage | None) -> TableVersion:
    """The version of a table that was asked for.

    Raises:
        ShardlineImportError: deltalake is not installed.
        ShardlineFileNotFoundError: There is no table, or it has no file.
        ShardlineValueError: No such version, a log that cannot be read, or a feature that is not known.
    """
    copy = LogCopy(root, storage) if needs_copy(root) and storage is not None else None
    table, newest = _open(root, request, root if copy is None else copy.place)
    version = table.version()
    _check_features(root, table)
    configuration = table.metadata().configuration
    mode = configuration.get("delta.columnMapping.mode", "none")
    schema = table.schema().to_json()
    columns = arrow_schema(schema, mode if table.protocol().min_reader_version >= _MAPPING_VERSION else "none")
    actions = pa.table(table.get_add_actions())
    raw = actions["path"].to_pylist()
    if not raw:
        raise ShardlineFileNotFoundError(
            f"version {version} of the Delta table {root} has no file: give another version, or wait until rows "
            "are written"
        )
    names = [_name(root, path) for path in raw]
    order = sorted(range(len(raw)), key=lambda i: names[i].encode())
    if twice := next(duplicates([names[i] for i in order]), None):
        raise ShardlineValueError(
            f"{root}: version {version} of the Delta table has the file {twice} twice: repair its log"
        )
    sizes, rows = actions["size_bytes"].to_pylist(), actions["num_records"].to_pylist()
    named = dict(zip(raw, names, strict=True))
    return TableVersion(
        root=root,
        source={
            "kind": "delta",
            "table": str(table.metadata().id),
            "version": version,
            "schema": _digest(schema),
            "reading": None,
        },
        columns=columns,
        files=[TableFile(names[i], sizes[i], rows[i]) for i in order],
        partitions=_partitions(table, actions, columns, order),
        deleted=lambda _: _deleted(root, table, named, copy),
        newer=newest - version,
        columns_without_partitions=None
        if table.metadata().partition_columns
        else lambda digest: columns if digest == _digest(schema) else None,
    )


def _open(root: str, request: TableRequest, place: str) -> "tuple[DeltaTable, int]":
    """The table at the version that was asked for, and the newest version. `place`: where its log is read."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError
    except ImportError as error:
        raise ShardlineImportError('Delta tables need deltalake: pip install "shardline[delta]"') from error
    options = deltalake_options(root, request.storage_options) if is_remote(place) else None
    try:
        table = DeltaTable(place, storage_options=options)
        newest = table.version()
        if request.version is not None:
            _load(table, root, request.version, newest)
        elif request.timestamp is not None:
            _load_time(table, root, request)
    except TableNotFoundError as error:
        raise ShardlineFileNotFoundError(
            f"{root}: there is no Delta table here ({_first_line(error)}): give the directory that _delta_log is in"
        ) from error
    except ShardlineError:
        raise
    except (DeltaError, ValueError) as error:
        _raise(root, error)
    except OSError as error:
        raise ShardlineOSError(f"{root}: the Delta table's log cannot be read: {_first_line(error)}") from error
    return table, newest


def _load(table: "DeltaTable", root: str, version: int, newest: int) -> None:
    if version > newest:
        raise ShardlineValueError(f"{root}: the Delta table has no version {version}; its newest is {newest}")
    if version == newest:
        return
    try:
        table.load_as_version(version)
    except Exception as error:
        raise ShardlineValueError(
            f"{root}: version {version} of the Delta table cannot be read any more ({_first_line(error)}): its log was "
            f"cleaned up, or is damaged. The newest is {newest}; the table's property delta.logRetentionDuration says "
            "how long versions are kept"
        ) from error


def _load_time(table: "DeltaTable", root: str, request: TableRequest) -> None:
    assert request.timestamp is not None
    # Asked before another version is loaded: then it counts versions from that one.
    times = {of.get("version"): of.get("timestamp") for of in table.history()}
    table.load_as_version(request.timestamp)
    written = times.get(table.version())
    if written is not None and written > request.timestamp.timestamp() * 1000:
        raise ShardlineValueError(
            f"{root}: no version of the Delta table that its log still has is as old as "
            f"timestamp={request.timestamp.isoformat()!r}; the oldest is version {table.version()}"
        )


def _check_features(root: str, table: "DeltaTable") -> None:
    protocol = table.protocol()
    if protocol.min_reader_version > _FEATURES_VERSION:
        raise ShardlineValueError(
            f"{root}: the Delta table wants readers of version {protocol.min_reader_version}, and shardline reads up "
            f"to {_FEATURES_VERSION}"
        )
    unknown = sorted(set(protocol.reader_features or ()) - _FEATURES)
    if unknown:
        raise ShardlineValueError(
            f"{root}: the Delta table has features that shardline does not read: {', '.join(unknown)}. Drop them from "
            "the table (ALTER TABLE … DROP FEATURE), or read a copy without them"
        )


def _raise(root: str, error: Exception) -> NoReturn:
    raise ShardlineValueError(f"{root}: the Delta table cannot be read: {_first_line(error)}") from error


def _name(root: str, path: str) -> str:
    """The name of a file, of its path in the log, which is percent-encoded."""
    name = unquote(path)
    if "://" in path or name.startswith("/") or ".." in name.split("/"):
        raise ShardlineValueError(
            f"{root}: the Delta table has files outside of its directory ({path}), as a shallow clone has: shardline "
            "reads tables whose files lie under their root; make a deep clone"
        )
    return name


def _partitions(table: "DeltaTable", actions: pa.Table, columns: pa.Schema, order: list[int]) -> pa.RecordBatch | None:
    names = table.metadata().partition_columns
    if not names:
        return None
    values = actions["partition"].combine_chunks()
    fields = [pa.field(name, columns.field(name).type) for name in names]
    arrays = [values.field(field.name).take(pa.array(order)).cast(field.type) for field in fields]
    return pa.record_batch(arrays, schema=pa.schema(fields))


def _deleted(
    root: str, table: "DeltaTable", named: Mapping[str, str], copy: LogCopy | None
) -> dict[str, np.ndarray[Any, Any]]:
    """The positions of deleted rows, by file name.

    Args:
        root: The table.
        table: Its version.
        named: The name of each file, by its path in the log.
        copy: What holds the files of vectors until they are read; None where these are the table's own.
    """
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    from deltalake.exceptions import DeltaError

    found: dict[str, np.ndarray[Any, Any]] = {}
    prefix = f"{table.table_uri.rstrip('/')}/"
    try:
        for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
            kept = batch["selection_vector"]
            for row, path in enumerate(batch["filepath"].to_pylist()):
                name = named.get(path.removeprefix(prefix))
                if name is None:
                    raise ShardlineValueError(
                        f"{root}: rows of {path} are deleted, which is no file of version {table.version()} of the "
                        "Delta table: repair its log"
                    )
                positions = np.flatnonzero(~kept[row].values.to_numpy(zero_copy_only=False))
                if len(positions):
                    found[name] = positions
    except ShardlineError:
        raise
    except (DeltaError, OSError, ValueError) as error:
        raise ShardlineValueError(
            f"{root}: a deletion vector of version {table.version()} of the Delta table cannot be read "
            f"({_first_line(error)}): restore its file, or give another version"
        ) from error
    return found


def _digest(schema: str) -> str:
    """Of a schema: the same however its JSON is written."""
    canonical = json.dumps(json.loads(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
