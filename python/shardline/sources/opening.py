"""A version of a table, whatever its format."""

from shardline._core import Storage
from shardline.sources import delta
from shardline.sources.request import TableRequest
from shardline.sources.table_version import TableVersion


def open_version(root: str, request: TableRequest, storage: Storage | None) -> TableVersion:
    """The version of the table at `root` that was asked for.

    Raises:
        ShardlineImportError: The package that reads such tables is not installed.
        ShardlineFileNotFoundError: There is no table, or it has no file.
        ShardlineValueError: No such version, or one that cannot be read.
    """
    if request.format == "iceberg":
        from shardline.sources.iceberg import opening as iceberg  # what it needs is slow to import

        return iceberg.open_version(root, request, storage)
    return delta.open_version(root, request, storage)


def holds_version(root: str, request: TableRequest, storage: Storage | None) -> bool:
    """Whether the request names one version for good, not the newest of the table or of a branch."""
    if request.format == "iceberg":
        from shardline.sources.iceberg import opening as iceberg

        return iceberg.holds_snapshot(root, request, storage)
    return not request.is_newest
