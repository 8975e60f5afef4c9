"""One version of a table, whatever its format."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

STORED_NAME = b"shardline.stored_name"
"""The key, in a field's metadata, of the name that the column has in files."""
FIELD_ID = b"shardline.field_id"
"""The key of the id that the column has in files."""


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
    deleted: dict[str, np.ndarray[Any, Any]]
    """The positions of deleted rows, by file name."""
    newest: int
    """The newest version of the table."""

    def __str__(self) -> str:
        return f"version {self.source['version']} of the {self.source['kind'].capitalize()} table {self.root}"


def marked(field: pa.Field, stored: str, field_id: int | None) -> pa.Field:
    """The field with how it is found in files."""
    metadata = {STORED_NAME: stored.encode()}
    if field_id is not None:
        metadata[FIELD_ID] = str(field_id).encode()
    return field.with_metadata(metadata)


def duplicates(names: Sequence[str]) -> Iterator[str]:
    """Names that come twice, of sorted ones."""
    return (one for one, next_one in pairwise(names) if one == next_one)
