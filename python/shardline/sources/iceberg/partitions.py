"""What partitions are by, and the values of identity columns: all rows of a file have that of its partition."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pyarrow as pa

from shardline.errors import ShardlineValueError
from shardline.sources.iceberg.columns import nested_defaults, primitive
from shardline.sources.iceberg.manifests import DataFile, Manifests

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

AS_INTEGERS = {"date": pa.int32(), "time": pa.int64(), "timestamp": pa.int64(), "timestamptz": pa.int64()}
AS_INTEGERS |= {"timestamp_ns": pa.int64(), "timestamptz_ns": pa.int64()}
"""Types of which a manifest holds the count of units."""


class PartitionField(NamedTuple):
    """A field of a partition."""

    source: int
    """The id of its column."""
    transform: str
    place: int
    """Of its value among the partition's."""
    type: str
    """Of its values, as manifests have them."""


class IdentityPartitions:
    """Which partition value is which column's, of all specs that the files of a snapshot have."""

    def __init__(self, metadata: "TableMetadata", manifests: Manifests) -> None:
        specs = metadata.specs()
        self._where = metadata.location
        self._types = manifests.partition_types
        self.places: dict[int, dict[int, int]] = {}
        """By spec, and by the id of the column: the place of its value."""
        self.fields: dict[int, list[PartitionField]] = {}
        """Of each spec."""
        for spec_id in sorted({file.partition.spec_id for file in manifests.data}):
            if (spec := specs.get(spec_id)) is None:
                raise ShardlineValueError(
                    f"{metadata.location}: the Iceberg table has files of the partition spec {spec_id}, which its "
                    "metadata do not have: restore them"
                )
            source = {field.field_id: field for field in spec.fields}
            listed = zip(manifests.partition_fields[spec_id], manifests.partition_types[spec_id], strict=True)
            self.fields[spec_id] = [
                PartitionField(source[number].source_id, str(source[number].transform), place, kind)
                for place, (number, kind) in enumerate(listed)
                if number in source
            ]
            self.places[spec_id] = {
                field.source: field.place for field in self.fields[spec_id] if field.transform == "identity"
            }

    @property
    def everywhere(self) -> set[int]:
        """The columns of which every file has a value."""
        return set.intersection(*(set(each) for each in self.places.values())) if self.places else set()

    @property
    def somewhere(self) -> set[int]:
        """The columns of which some files have a value."""
        return {column for each in self.places.values() for column in each}

    def value(self, file: DataFile, column: int) -> Any:
        """The value of a column in a file's partition.

        Raises:
            KeyError: It has none.
        """
        return file.partition.values[self.places[file.partition.spec_id][column]]

    def array(self, files: Sequence[DataFile], column: int, said: Any, name: str) -> pa.Array:
        """The values of a column, one a file. `said`: its Iceberg type now; `name`: for messages."""
        for spec_id in {file.partition.spec_id for file in files}:
            then = self._types[spec_id][self.places[spec_id][column]]
            if then != str(said) and {then, str(said)} & set(AS_INTEGERS):
                raise ShardlineValueError(
                    f"{self._where}: the column {name!r} of the Iceberg table was {then} when files were partitioned "
                    f"by it, and is {said} now, which shardline does not read: rewrite these files"
                )
        values = [self.value(file, column) for file in files]
        values = [value.bytes if isinstance(value, UUID) else value for value in values]
        target = primitive(said, name)
        between = AS_INTEGERS.get(str(said))
        return pa.array(values, target if between is None else between).cast(target)


def partition_batch(files: Sequence[DataFile], schema: "Schema", identity: IdentityPartitions) -> pa.RecordBatch | None:
    """The columns that every file has a partition value of, a row a file."""
    fields = [field for field in schema.fields if field.field_id in identity.everywhere]
    if not fields:
        return None
    arrays = [identity.array(files, field.field_id, field.field_type, field.name) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


def absent_reasons(schema: "Schema", identity: IdentityPartitions) -> Mapping[int, str]:
    """By field id: why a file that lacks the field cannot be read, where its value would not be null."""
    found = nested_defaults(schema)
    for number in identity.somewhere - (identity.everywhere & {field.field_id for field in schema.fields}):
        found[number] = "its value is that of the file's partition, and other files have no partition by it"
    return found
