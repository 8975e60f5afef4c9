"""One version of a table, whatever its format."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shardline.filters.compile import Filter
from shardline.filters.hive import to_bytes

STORED_NAME = b"shardline.stored_name"
"""The key, in a field's metadata, of the name that the column has in files; of several, a zero byte stands between."""
FIELD_ID = b"shardline.field_id"
"""The key of the id that the column has in files."""
ABSENT = b"shardline.absent"
"""The key of why a file that lacks the column cannot be read."""
DEFAULT = b"shardline.default"
"""The key of its value in files that lack it, where that is not null: Arrow's stream of one row, in hexadecimal."""


class TableFile(NamedTuple):
    """A data file of a table."""

    name: str
    """Its path relative to the table's root, decoded."""
    size: int
    rows: int | None
    """As the table says; None where it does not."""


@dataclass(frozen=True)
class TableVersion:
    """What a table says of one of its versions. Files are in the order of their names, as UTF-8 bytes."""

    root: str
    """A path or a URL."""
    source: dict[str, Any]
    """kind, table, version, schema and reading: what a state says of it."""
    columns: pa.Schema
    """By the table's names, with what they are called in files as metadata."""
    files: Sequence[TableFile]
    partitions: pa.RecordBatch | None
    """The partition columns, a row a file."""
    deleted: Callable[[Collection[str]], Mapping[str, np.ndarray[Any, Any]]]
    """Finds the positions of deleted rows, by file name, in the files of these names."""
    newer: int
    """How many versions of the table are newer."""
    columns_without_partitions: Callable[[str], pa.Schema | None] | None = None
    """Finds the columns of the schema of a digest, as they are in files, where the table still has that schema and no
    column is known by partitions only."""
    may_pass: Callable[[Filter], Sequence[bool]] | None = None
    """Finds of each file whether rows of it may pass a filter, where partitions tell more than `partitions` has."""

    def __str__(self) -> str:
        words = WORDS[self.source["kind"]]
        return f"{words.version} {self.source['version']} of the {self.source['kind'].capitalize()} table {self.root}"


class Words(NamedTuple):
    """What a kind of table calls things, for messages."""

    version: str
    removed_by: str
    keeps: str
    """What keeps a version for later runs."""


WORDS = {
    "delta": Words("version", "VACUUM", "keep versions for longer: the table's property delta.logRetentionDuration"),
    "iceberg": Words("snapshot", "expire_snapshots", "keep the snapshot by a tag or a branch of the run's own"),
}


def marked(field: pa.Field, stored: Sequence[str], field_id: int | None, absent: str | None = None) -> pa.Field:
    """The field with how it is found in files.

    Args:
        field: A column, or a field in one.
        stored: The names that it has in files without ids.
        field_id: Its id in files that have ids.
        absent: Why a file without it cannot be read; None where its rows have nulls.
    """
    metadata = {STORED_NAME: "\0".join(stored).encode()}
    if field_id is not None:
        metadata[FIELD_ID] = str(field_id).encode()
    if absent is not None:
        metadata[ABSENT] = absent.encode()
    return field.with_metadata(metadata)


def with_default(field: pa.Field, value: pa.Scalar) -> pa.Field:
    """The field with its value in files that lack it."""
    row = pa.RecordBatch.from_arrays([pa.array([value], field.type)], names=[field.name])
    return field.with_metadata({**(field.metadata or {}), DEFAULT: to_bytes(row).hex().encode()})


def duplicates(names: Sequence[str]) -> Iterator[str]:
    """Names that come twice, of sorted ones."""
    return (one for one, next_one in pairwise(names) if one == next_one)
