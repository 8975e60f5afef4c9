"""The data and delete files of a snapshot, as its manifests list them.

They are decoded by pyiceberg's Avro reader, of which only the fields that are needed are asked for: those of the third
version of the format too, which pyiceberg itself leaves out.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shardline.errors import ShardlineValueError
from shardline.sources.iceberg.avro import records
from shardline.sources.iceberg.table_files import TableFiles

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table.snapshots import Snapshot

_AHEAD = 8
"""Manifests fetched at a time."""
_ADDED, _DELETED = 1, 2
_DATA_FILE = 2
_PARTITION = 102
_ENTRY_FIELDS = (0, 3, 2)
_LIST_FIELDS = (500, 502, 515, 519, 504, 505)
_FILE_FIELDS = (134, 100, 101, 102, 103, 104, 131, 135, 143, 144, 145)

Kind = Literal["positions", "vector", "equality"]


class Spec(NamedTuple):
    """The partition of a file: its spec, and its values in the order of the spec's fields."""

    spec_id: int
    values: tuple[Any, ...]


class DataFile(NamedTuple):
    """A data file of a snapshot."""

    location: str
    size: int
    rows: int
    partition: Spec
    sequence: int


class DeleteFile(NamedTuple):
    """A file of deletes, or one of the vectors in a file of these."""

    kind: Kind
    location: str
    size: int
    rows: int
    partition: Spec
    sequence: int
    equality_ids: tuple[int, ...]
    referenced: str | None
    """The one data file that it is of; None where it may be of many."""
    offset: int | None
    length: int | None
    """Where a vector stands in its file."""


@dataclass(frozen=True)
class Manifests:
    """What the manifests of a snapshot list."""

    data: list[DataFile]
    deletes: list[DeleteFile]
    partition_fields: dict[int, list[int]]
    """The ids of the partition fields of each spec, in the order of the values."""
    partition_types: dict[int, list[str]]
    """Their types, as the manifests have them."""


class _Place(NamedTuple):
    """A manifest, as the list of manifests has it."""

    location: str
    spec_id: int
    sequence: int
    files: int | None
    """How many files of the snapshot it lists; None where that is not said."""


def read_manifests(snapshot: "Snapshot", files: TableFiles) -> Manifests:
    """The files of a snapshot.

    Raises:
        ShardlineFileNotFoundError: A manifest is gone.
        ShardlineValueError: One is damaged, or a file is of a kind that is not read.
    """
    found = Manifests([], [], {}, {})
    places = _places(snapshot, files)
    with ThreadPoolExecutor(_AHEAD) as pool:
        for place, data in zip(places, pool.map(lambda each: files.read(each.location), places), strict=True):
            _read_manifest(place, data, found)
    return found


def _places(snapshot: "Snapshot", files: TableFiles) -> list[_Place]:
    location = snapshot.manifest_list
    found = []
    for path, spec_id, sequence, key, added, existing in records(location, files.read(location), _LIST_FIELDS):
        if key is not None:
            raise _encrypted(path)
        count = None if added is None or existing is None else added + existing
        found.append(_Place(path, spec_id, sequence or 0, count))
    return found


def _read_manifest(place: _Place, data: bytes, found: Manifests) -> None:
    def see(schema: "Schema") -> None:
        fields = schema.find_field(_PARTITION).field_type.fields
        found.partition_fields[place.spec_id] = [field.field_id for field in fields]
        found.partition_types.setdefault(place.spec_id, [str(field.field_type) for field in fields])

    count = 0
    for status, sequence, file in records(place.location, data, _ENTRY_FIELDS, {_DATA_FILE: _FILE_FIELDS}, see):
        if status == _DELETED:
            continue
        if sequence is None:
            # Only a file that was added with its manifest inherits the number; in the first version of the format there
            # are none, and all are 0.
            if status != _ADDED and place.sequence != 0:
                raise _damaged(place, "an entry that was there before has no sequence number")
            sequence = place.sequence
        _add(place.spec_id, sequence, file, found)
        count += 1
    if place.files not in (None, count):
        raise _damaged(place, f"it has {count:,} files, and its snapshot says {place.files:,}")


def _add(spec_id: int, sequence: int, file: Any, found: Manifests) -> None:
    content, location, form, partition, rows, size, key, ids, referenced, offset, length = file
    if key is not None:
        raise _encrypted(location)
    spec = Spec(spec_id, tuple(partition))
    form = form.upper()
    if not content:  # in the first version of the format there is none
        if form != "PARQUET":
            raise ShardlineValueError(
                f"{location}: this data file of the Iceberg table is {form}, and shardline reads Parquet: rewrite it "
                "(rewrite_data_files with write.format.default=parquet)"
            )
        found.data.append(DataFile(location, size, rows, spec, sequence))
        return
    if form not in ("PARQUET", "PUFFIN") or (form == "PUFFIN" and content != 1):
        raise ShardlineValueError(
            f"{location}: this delete file of the Iceberg table is {form}, and shardline reads Parquet and deletion "
            "vectors: compact the table (rewrite_data_files, rewrite_position_delete_files)"
        )
    kind: Kind = "equality" if content == 2 else "vector" if form == "PUFFIN" else "positions"
    equality = tuple(sorted(ids or ()))
    found.deletes.append(DeleteFile(kind, location, size, rows, spec, sequence, equality, referenced, offset, length))


def _damaged(place: _Place, why: str) -> ShardlineValueError:
    return ShardlineValueError(
        f"{place.location}: this manifest of the Iceberg table is damaged: {why}; restore it, or give another snapshot"
    )


def _encrypted(location: str) -> ShardlineValueError:
    return ShardlineValueError(
        f"{location}: this file of the Iceberg table is encrypted, which shardline does not read: write its rows into "
        "a table without encryption"
    )
