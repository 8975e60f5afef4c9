"""The plan of one version of a table: its files' footers read, its partition values and deleted rows attached."""

import json
import logging
from collections.abc import Sequence
from itertools import islice

import pyarrow as pa

from shardline._core import Plan
from shardline.errors import FileChangedError, ShardlineFileNotFoundError, ShardlineValueError
from shardline.filters.hive import to_bytes
from shardline.settings import Settings
from shardline.sources.opening import open_version
from shardline.sources.table_version import WORDS, TableVersion

log = logging.getLogger("shardline")


def list_table(paths: Sequence[str], settings: Settings) -> Plan:
    """The plan of the version that the settings ask for. No file is listed, and no data are read.

    Files that the filter rules out by their partition values are dropped before any footer is read.
    """
    assert settings.table is not None
    if len(paths) != 1:
        raise ShardlineValueError(f"a table has one directory, and {len(paths)} paths were given: give that one")
    root = paths[0].rstrip("/") or "/"
    version = open_version(root, settings.table, settings.storage)
    plan = plan_of(version, settings)
    deleted, _ = plan.deleted or (0, None)
    behind, word = version.newer, WORDS[version.source["kind"]].version
    log.info(
        "%s: %d files, %d rows, %d of them deleted%s",
        version,
        plan.num_files,
        plan.num_rows,
        deleted,
        f"; {behind} newer {word}{'s' * (behind > 1)}" if behind else "",
    )
    return plan


def plan_of(version: TableVersion, settings: Settings) -> Plan:
    """The plan of a version.

    Raises:
        FileChangedError: A file is gone, or has other rows than the table says.
    """
    words = WORDS[version.source["kind"]]
    names = [file.name for file in version.files]
    row_filter = settings.row_filter
    if version.may_pass is not None and row_filter.filter is not None:
        kept = row_filter.kept_of(version.may_pass(row_filter.filter), "partitions")
    else:
        kept = row_filter.kept_files(names, version.partitions)
    files = [version.files[i] for i in kept]
    try:
        plan = Plan.build_table(
            version.root,
            [(file.name, file.size) for file in files],
            to_bytes(
                pa.RecordBatch.from_arrays([pa.array([], f.type) for f in version.columns], schema=version.columns)
            ),
            num_threads=settings.num_threads,
            storage=settings.storage,
        )
    except ShardlineFileNotFoundError as error:
        raise FileChangedError(
            f"{error}; it is a file of {version}, and was removed ({words.removed_by}) or lost: restore it, or give a "
            f"{words.version} whose files are there"
        ) from error
    found = iter(plan.group_rows)
    for file, groups in zip(files, plan.group_counts, strict=True):
        rows = sum(islice(found, groups))
        if file.rows is not None and file.rows != rows:
            raise FileChangedError(
                f"{version.root}/{file.name}: it has {rows:,} rows, and {version} says {file.rows:,}: the file was "
                "written over; restore it, or repair the table"
            )
    if version.partitions is not None:
        plan = plan.with_partitions(to_bytes(version.partitions.take(pa.array(kept, pa.int64()))))
    places = {file.name: place for place, file in enumerate(files)}
    found_deleted = version.deleted(places)
    deleted = [(places[name], rows) for name, rows in found_deleted.items() if name in places]
    return plan.with_deleted(deleted).with_source(json.dumps(version.source))
