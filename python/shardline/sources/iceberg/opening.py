"""A snapshot of an Iceberg table as a `TableVersion`."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shardline._core import Storage
from shardline.errors import ShardlineFileNotFoundError, ShardlineValueError
from shardline.sources.iceberg.columns import arrow_schema, columns_in_files, schema_digest, schema_of
from shardline.sources.iceberg.deletes import Deletes
from shardline.sources.iceberg.locations import common_root, normalized
from shardline.sources.iceberg.manifests import DataFile, read_manifests
from shardline.sources.iceberg.metadata import (
    check_pyiceberg,
    choose_snapshot,
    find_metadata,
    is_tag,
    load_metadata,
    newer_snapshots,
)
from shardline.sources.iceberg.partitions import IdentityPartitions, absent_reasons, partition_batch
from shardline.sources.iceberg.pruning import Pruning
from shardline.sources.iceberg.table_files import TableFiles
from shardline.sources.request import TableRequest
from shardline.sources.table_version import TableFile, TableVersion, duplicates

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata


def open_version(root: str, request: TableRequest, storage: Storage | None) -> TableVersion:
    """The snapshot of a table that was asked for.

    Args:
        root: The table's directory, or a metadata file of it; a name, where the request has a catalog.
        request: Which snapshot.
        storage: How the table's store is read.

    Raises:
        ShardlineImportError: pyiceberg is not installed.
        ShardlineFileNotFoundError: There is no table, or it has no file.
        ShardlineValueError: No such snapshot, metadata that cannot be read, or files of a kind that is not read.
    """
    with TableFiles(storage) as files:
        metadata = _metadata(root, request, files)
        snapshot = choose_snapshot(metadata, root, request)
        manifests = read_manifests(snapshot, files)
    if not manifests.data:
        raise ShardlineFileNotFoundError(
            f"snapshot {snapshot.snapshot_id} of the Iceberg table {root} has no file: give another snapshot, or wait "
            "until rows are written"
        )
    schema = schema_of(metadata, snapshot)
    location = normalized(metadata.location)
    places = [normalized(file.location) for file in manifests.data]
    under = common_root(places, location)
    names = [place[len(under.rstrip("/")) + 1 :] for place in places]
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    if twice := next(duplicates([names[i] for i in order]), None):
        raise ShardlineValueError(
            f"{root}: snapshot {snapshot.snapshot_id} of the Iceberg table has the file {twice} twice: repair the table"
        )
    data = [manifests.data[i] for i in order]
    identity = IdentityPartitions(metadata, manifests)
    by_name = {names[i]: manifests.data[i] for i in order}
    pruning = Pruning(data, schema, identity)
    return TableVersion(
        root=under,
        source={
            "kind": "iceberg",
            "table": str(metadata.table_uuid),
            "version": snapshot.snapshot_id,
            "schema": schema_digest(schema),
            "reading": request.reading,
        },
        columns=arrow_schema(metadata, schema, absent_reasons(schema, identity)),
        files=[TableFile(names[i], manifests.data[i].size, manifests.data[i].rows) for i in order],
        partitions=partition_batch(data, schema, identity),
        deleted=lambda some: _deleted(Deletes(manifests.deletes, metadata, identity), by_name, some, storage),
        newer=newer_snapshots(metadata, snapshot),
        may_pass=pruning.may_pass if pruning.knows_any else None,
        columns_without_partitions=lambda digest: columns_in_files(metadata, digest),
    )


def holds_snapshot(root: str, request: TableRequest, storage: Storage | None) -> bool:
    """Whether the request names one snapshot for good: by number, by time or by a tag, not the newest of a branch."""
    if request.ref is None:
        return not request.is_newest
    with TableFiles(storage) as files:
        return is_tag(_metadata(root, request, files), request.ref)


def _metadata(root: str, request: TableRequest, files: TableFiles) -> "TableMetadata":
    check_pyiceberg()
    if request.catalog is not None:
        return request.catalog.metadata()
    return load_metadata(find_metadata(root, files), files)


def _deleted(
    deletes: Deletes, by_name: Mapping[str, DataFile], some: Collection[str], storage: Storage | None
) -> dict[str, np.ndarray[Any, Any]]:
    if not deletes.deletes:
        return {}
    data: Sequence[DataFile] = [by_name[name] for name in some]
    names = {by_name[name].location: name for name in some}
    with TableFiles(storage) as files:
        return {names[location]: rows for location, rows in deletes.find(data, files).items()}
