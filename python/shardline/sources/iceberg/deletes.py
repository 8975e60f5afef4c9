"""The deleted rows of a snapshot's data files, by all kinds of deletes."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shardline.errors import FileChangedError, ShardlineFileNotFoundError, ShardlineValueError
from shardline.sources.iceberg.columns import mapped_names
from shardline.sources.iceberg.delete_table import there
from shardline.sources.iceberg.deletion_vectors import read_vector
from shardline.sources.iceberg.equality_deletes import EqualityKeys
from shardline.sources.iceberg.key_columns import KeyField, key_fields, paths_of, read_keys
from shardline.sources.iceberg.manifests import DataFile, DeleteFile
from shardline.sources.iceberg.metadata import first_line
from shardline.sources.iceberg.partitions import IdentityPartitions
from shardline.sources.iceberg.position_deletes import read_positions
from shardline.sources.iceberg.scope import Oldest, positions_apply, scope_of
from shardline.sources.iceberg.table_files import TableFiles

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

log = logging.getLogger("shardline")

_Rows = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Deletes:
    """Finds the deleted rows of data files."""

    deletes: Sequence[DeleteFile]
    metadata: "TableMetadata"
    identity: IdentityPartitions

    def find(self, data: Sequence[DataFile], files: TableFiles) -> dict[str, _Rows]:
        """The positions of deleted rows, ascending, by the locations of those of the files that have any.

        Delete files are read, those only that may apply to a file; of data files their key columns, where there are
        equality deletes that may apply to them.

        Raises:
            FileChangedError: A delete file is gone.
            ShardlineValueError: One is damaged.
        """
        oldest, unpartitioned = Oldest(data), self._unpartitioned()
        near = [delete for delete in self.deletes if oldest.may_apply(delete, unpartitioned)]
        found: defaultdict[str, list[_Rows]] = defaultdict(list)
        self._add_positions(near, {file.location: file for file in data}, files, found)
        self._add_equal(near, unpartitioned, data, files, found)
        return {location: np.unique(np.concatenate(rows)) for location, rows in found.items()}

    def _unpartitioned(self) -> dict[int, bool]:
        specs = self.metadata.specs().items()
        return {number: all(str(field.transform) == "void" for field in spec.fields) for number, spec in specs}

    def _add_positions(
        self,
        near: Sequence[DeleteFile],
        data: Mapping[str, DataFile],
        files: TableFiles,
        found: defaultdict[str, list[_Rows]],
    ) -> None:
        vectors: dict[str, DeleteFile] = {}
        for delete in near:
            location = delete.referenced
            if delete.kind != "vector" or location is None or location not in data:
                continue
            if positions_apply(delete, data[location]):
                if location in vectors:
                    raise ShardlineValueError(
                        f"{location}: this file of the Iceberg table has two deletion vectors "
                        f"({vectors[location].location}, {delete.location}), and one is the most that there "
                        "may be: repair the table"
                    )
                vectors[location] = delete
        for location, delete in vectors.items():
            with there(delete):
                found[location].append(read_vector(delete, files))
        for delete in near:
            if delete.kind != "positions" or (delete.referenced is not None and delete.referenced not in data):
                continue
            for location, rows in read_positions(delete, files):
                # A deletion vector has taken in all earlier position deletes of its file.
                if location in data and location not in vectors and positions_apply(delete, data[location]):
                    found[location].append(rows)

    def _add_equal(
        self,
        near: Sequence[DeleteFile],
        unpartitioned: Mapping[int, bool],
        data: Sequence[DataFile],
        files: TableFiles,
        found: defaultdict[str, list[_Rows]],
    ) -> None:
        by_ids: defaultdict[tuple[int, ...], list[DeleteFile]] = defaultdict(list)
        for delete in near:
            if delete.kind == "equality":
                by_ids[delete.equality_ids].append(delete)
        if not by_ids:
            return
        if () in by_ids:
            raise ShardlineValueError(
                f"{by_ids[()][0].location}: this delete file of the Iceberg table says of no column that it deletes by "
                "it: compact the table, or give another snapshot"
            )
        keys = [
            EqualityKeys(key_fields(self.metadata, ids), deletes, unpartitioned, files)
            for ids, deletes in sorted(by_ids.items())
        ]
        reading = [
            (file, [key for key in keys if key.apply_to(scope_of(file.partition), file.sequence)]) for file in data
        ]
        reading = [(file, some) for file, some in reading if some]
        log.info("equality deletes: reading key columns of %d of %d data files", len(reading), len(data))
        for file, some in reading:
            rows = self._equal_rows(file, some, files)
            if len(rows):
                found[file.location].append(rows)

    def _equal_rows(self, file: DataFile, keys: Sequence[EqualityKeys], files: TableFiles) -> _Rows:
        fields = list({field.field_id: field for key in keys for field in key.fields}.values())
        scope, start = scope_of(file.partition), 0
        parts = []
        try:
            with files.open(file.location, file.size) as source, pq.ParquetFile(source, pre_buffer=True) as parquet:
                paths = paths_of(parquet.schema_arrow, fields, mapped_names(self.metadata))
                if paths is None:
                    raise ShardlineValueError(
                        f"{file.location}: this file of the Iceberg table has no field ids, and the table has no name "
                        "mapping (schema.name-mapping.default): set it"
                    )
                constants = {each.field_id: self._constant(file, each) for each in fields if each.field_id not in paths}
                for part in read_keys(parquet, fields, paths, constants):
                    count = len(next(iter(part.values())))
                    deleted = np.zeros(count, bool)
                    for key in keys:
                        deleted |= key.deleted(part, scope, file.sequence)
                    parts.append(np.flatnonzero(deleted) + start)
                    start += count
        except ShardlineFileNotFoundError as error:
            raise FileChangedError(f"{error}; it is a data file of the Iceberg table: restore it") from error
        except (pa.ArrowException, OSError) as error:
            raise ShardlineValueError(
                f"{file.location}: the key columns of this file cannot be read, by which rows of the Iceberg table are "
                f"deleted: {first_line(error)}"
            ) from error
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _constant(self, file: DataFile, field: KeyField) -> Any:
        """The value of a field that the file lacks."""
        if field.field_id in self.identity.places[file.partition.spec_id]:
            return self.identity.array([file], field.field_id, field.said, field.name)[0]
        return field.default
