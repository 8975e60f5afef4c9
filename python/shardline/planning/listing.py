"""The files that paths stand for, listed by the core or by a table's log, without those that folders rule out."""

from collections.abc import Sequence

import pyarrow as pa

from shardline._core import Plan
from shardline.filters.hive import to_bytes
from shardline.planning.table import list_table
from shardline.settings import Settings


def _folders_above(paths: Sequence[str], names: Sequence[str]) -> str:
    """What stands before the names in the paths, where these are the files themselves: their folders count too."""
    if len(paths) != len(names):
        return ""
    above = {path.removesuffix(name) for path, name in zip(sorted(paths), sorted(names), strict=True)}
    whole = all(path.endswith(name) for path, name in zip(sorted(paths), sorted(names), strict=True))
    return above.pop() if whole and len(above) == 1 else ""


def list_files(paths: Sequence[str], settings: Settings) -> Plan:
    """The plan of the files that `paths` stand for.

    Files that the filter rules out by their folders are dropped before any footer is read.
    """
    if settings.table is not None:
        return list_table(paths, settings)
    row_filter = settings.row_filter
    partitioning = row_filter.partitioning
    of_folders: list[pa.RecordBatch] = []

    def keep(names: list[str]) -> list[int]:
        assert partitioning is not None
        above = _folders_above(paths, names)
        values = partitioning.values([above + name for name in names])
        kept = row_filter.kept_files(names, values)
        if values is not None:
            of_folders.append(values.take(pa.array(kept, pa.int64())))
        return kept

    plan = Plan.build(
        list(paths),
        num_threads=settings.num_threads,
        columns_of_all=settings.columns_from == "all",
        missing_as_null=settings.missing_columns == "null",
        widen_types=settings.widen_types,
        storage=settings.storage,
        keep=None if partitioning is None else keep,
        guards_tables=settings.format is None,
    )
    return plan.with_partitions(to_bytes(of_folders[0])) if of_folders else plan
