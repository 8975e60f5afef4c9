"""Iceberg tables for tests, written by hand after the specification: every kind of delete, every version of the format.

pyiceberg writes no deletes but by copy, and nothing of the third version. Manifests are encoded by its Avro writer;
what they say, and the metadata, is written here. `Table.rows` says which rows are visible, row by row as the
specification has it: the model that what is read is compared with.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema

from support.iceberg_manifests import write_list, write_manifest
from support.iceberg_parts import (
    ADDED,
    DATA,
    DELETES,
    EXISTING,
    POSITIONS,
    File,
    Manifest,
    schema_of,
    spec_of,
    visible,
    without_ids,
)
from support.puffin import write_vectors


@dataclass
class Table:
    """A table under a directory."""

    path: Path
    metadata: dict[str, Any]
    manifests: dict[int, list[Manifest]] = field(default_factory=dict)
    """Of each snapshot."""
    version: int = 0
    prefix: str = "file://"
    """How locations begin."""
    clock: int = 1_700_000_000_000

    # What it is

    @classmethod
    def create(
        cls,
        path: Path,
        fields: Sequence[tuple[int, str, Any]] = ((1, "i", "long"), (2, "s", "string")),
        partitions: Sequence[tuple[int, int, str, str]] = (),
        *,
        version: int = 2,
        properties: Mapping[str, str] | None = None,
        prefix: str = "file://",
    ) -> "Table":
        """`fields`: (id, name, type); `partitions`: (source id, field id, name, transform)."""
        (path / "metadata").mkdir(parents=True)
        (path / "data").mkdir()
        table = cls(path, {}, prefix=prefix)
        table.metadata = {
            "format-version": version,
            "table-uuid": str(uuid.uuid4()),
            "location": f"{prefix}{path}",
            "last-sequence-number": 0,
            "last-updated-ms": table.clock,
            "last-column-id": 100,
            "current-schema-id": 0,
            "schemas": [schema_of(0, fields)],
            "default-spec-id": 0,
            "partition-specs": [spec_of(0, partitions)],
            "last-partition-id": 1010,
            "default-sort-order-id": 0,
            "sort-orders": [{"order-id": 0, "fields": []}],
            "properties": dict(properties or {}),
            "current-snapshot-id": None,
            "snapshots": [],
            "snapshot-log": [],
            "metadata-log": [],
            "refs": {},
        }
        if version == 3:
            table.metadata["next-row-id"] = 0
        table.write_metadata()
        return table

    @property
    def schema(self) -> Schema:
        return Schema.model_validate(self.metadata["schemas"][self.metadata["current-schema-id"]])

    def arrow(self) -> pa.Schema:
        """The current schema as Arrow's, with field ids."""
        return schema_to_pyarrow(self.schema)

    @property
    def current(self) -> int:
        return self.metadata["current-snapshot-id"]

    @property
    def data(self) -> list[File]:
        """The data files of the current snapshot, in the order in which they were written."""
        return [file for each in self.manifests.get(self.current, []) for file in each.files if file.kind == "data"]

    @property
    def hint(self) -> Path:
        return self.path / "metadata" / "version-hint.text"

    def metadata_file(self) -> Path:
        return self.path / "metadata" / f"v{self.version}.metadata.json"

    # Changes

    def evolve(self, fields: Sequence[tuple[int, str, Any]]) -> None:
        number = len(self.metadata["schemas"])
        self.metadata["schemas"].append(schema_of(number, fields))
        self.metadata["current-schema-id"] = number
        self.write_metadata()

    def repartition(self, partitions: Sequence[tuple[int, int, str, str]]) -> None:
        number = len(self.metadata["partition-specs"])
        self.metadata["partition-specs"].append(spec_of(number, partitions))
        self.metadata["default-spec-id"] = number
        self.write_metadata()

    def append(self, rows: pa.Table, partition: tuple[Any, ...] = (), **options: Any) -> File:
        """One file of these rows, whose columns are named as in the current schema."""
        file = self.data_file(rows, partition, **options)
        self.commit([file])
        return file

    def data_file(
        self,
        rows: pa.Table,
        partition: tuple[Any, ...] = (),
        *,
        spec: int | None = None,
        ids: bool = True,
        name: str | None = None,
        row_group_size: int = 7,
    ) -> File:
        """Writes a file, which the next `commit` adds. `ids`: whether it has field ids."""
        known = schema_to_pyarrow(self.schema)
        by_id = {each.name: each for each in self.schema.fields}
        wanted = pa.schema([known.field(each) for each in rows.column_names])
        rows = rows.cast(wanted)
        if not ids:
            rows = rows.cast(without_ids(wanted))
        path = self.path / "data" / (name or f"{uuid.uuid4()}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path, row_group_size=row_group_size)
        content = [{by_id[key].field_id: value for key, value in row.items()} for row in rows.to_pylist()]
        spec = self.metadata["default-spec-id"] if spec is None else spec
        return self._sized(File("data", f"{self.prefix}{path}", rows.num_rows, partition, spec, content=content))

    def positions(self, rows: Mapping[str, Iterable[int]], like: File, *, one: bool = False) -> File:
        """A position delete file. `like`: a data file of its partition; `one`: whether it names its one file."""
        pairs = sorted((path, row) for path, some in rows.items() for row in set(some))
        path = self.path / "data" / f"{uuid.uuid4()}-deletes.parquet"
        columns = [pa.array([pair[at] for pair in pairs], POSITIONS.field(at).type) for at in (0, 1)]
        pq.write_table(pa.Table.from_arrays(columns, schema=POSITIONS), path)
        referenced = next(iter(rows)) if one else None
        content = {name: set(some) for name, some in rows.items()}
        made = File("positions", f"{self.prefix}{path}", len(pairs), like.partition, like.spec, content=content)
        return self._sized(replace(made, referenced=referenced))

    def vectors(self, rows: Mapping[str, Iterable[int]], files: Sequence[File] | None = None) -> list[File]:
        """Deletion vectors in one Puffin file."""
        of = {file.path: file for file in (files or self.data)}
        path = self.path / "data" / f"{uuid.uuid4()}.puffin"
        made = []
        for name, (offset, length, positions) in write_vectors(path, rows).items():
            one = File("vector", f"{self.prefix}{path}", len(positions), of[name].partition, of[name].spec, "PUFFIN")
            place = {"referenced": name, "offset": offset, "length": length, "content": {name: positions}}
            made.append(self._sized(replace(one, **place)))
        return made

    def equality(
        self,
        rows: pa.Table,
        ids: Sequence[int],
        partition: tuple[Any, ...] = (),
        spec: int | None = None,
    ) -> File:
        """An equality delete file, by the columns of these ids, which `rows` has by their names in some schema."""
        known: dict[str, pa.Field] = {}
        for each in self.metadata["schemas"]:
            known |= {one.name: one for one in schema_to_pyarrow(Schema.model_validate(each))}
        fields = [known[name] for name in rows.column_names]
        path = self.path / "data" / f"{uuid.uuid4()}-equal.parquet"
        rows = rows.cast(pa.schema([each.with_nullable(True) for each in fields]))
        pq.write_table(rows, path)
        numbers = [int(each.metadata[b"PARQUET:field_id"]) for each in fields]
        content = [
            {number: value for number, value in zip(numbers, row.values(), strict=True) if number in ids}
            for row in rows.to_pylist()
        ]
        spec = self.metadata["default-spec-id"] if spec is None else spec
        made = File("equality", f"{self.prefix}{path}", rows.num_rows, partition, spec, ids=list(ids), content=content)
        return self._sized(made)

    def commit(
        self,
        files: Sequence[File],
        *,
        remove: Sequence[str] = (),
        parent: int | None = None,
        drop: Callable[[File], bool] = lambda _: False,
    ) -> int:
        """The next snapshot: the files of its parent, without those of some paths or that `drop` names, and these."""
        parent = self.current if parent is None else parent
        sequence = self.metadata["last-sequence-number"] + 1
        number = uuid.uuid4().int >> 65
        kept: list[Manifest] = []
        for manifest in self.manifests.get(parent, []):
            left = [file for file in manifest.files if file.path not in remove and not drop(file)]
            if len(left) == len(manifest.files):
                kept.append(manifest)
            elif left:
                kept.append(write_manifest(self, left, manifest.kind, manifest.spec, sequence, number, EXISTING))
        added = [replace(file, sequence=sequence) for file in files]
        for kind in (DATA, DELETES):
            for spec in sorted({file.spec for file in added}):
                some = [file for file in added if file.spec == spec and (file.kind != "data") == bool(kind)]
                if some:
                    kept.append(write_manifest(self, some, kind, spec, sequence, number, ADDED))
        self.manifests[number] = kept
        self.metadata["last-sequence-number"] = sequence
        self.clock += 1000
        snapshot = {
            "snapshot-id": number,
            "sequence-number": sequence,
            "timestamp-ms": self.clock,
            "manifest-list": write_list(self, kept, number, parent, sequence),
            "summary": {"operation": "overwrite"},
            "schema-id": self.metadata["current-schema-id"],
        }
        if parent is not None:
            snapshot["parent-snapshot-id"] = parent
        if self.metadata["format-version"] == 3:
            snapshot |= {"first-row-id": self.metadata["next-row-id"], "added-rows": sum(file.rows for file in added)}
            self.metadata["next-row-id"] += snapshot["added-rows"]
        self.metadata["snapshots"].append(snapshot)
        self.metadata["snapshot-log"].append({"timestamp-ms": self.clock, "snapshot-id": number})
        self.metadata["current-snapshot-id"] = number
        self.metadata["refs"]["main"] = {"snapshot-id": number, "type": "branch"}
        self.write_metadata()
        return number

    def tag(self, name: str, snapshot: int | None = None, kind: str = "tag") -> None:
        self.metadata["refs"][name] = {"snapshot-id": snapshot or self.current, "type": kind}
        self.write_metadata()

    def expire(self, *snapshots: int, files: bool = False) -> None:
        """Drops snapshots from the metadata; `files`: also the files that no other snapshot has."""
        kept = [each for each in self.metadata["snapshots"] if each["snapshot-id"] not in snapshots]
        self.metadata["snapshots"] = kept
        log = self.metadata["snapshot-log"]
        last = max((at for at, entry in enumerate(log) if entry["snapshot-id"] in snapshots), default=-1)
        self.metadata["snapshot-log"] = log[last + 1 :]
        gone = {file.path for number in snapshots for each in self.manifests[number] for file in each.files}
        for each in kept:
            gone -= {file.path for manifest in self.manifests[each["snapshot-id"]] for file in manifest.files}
        for path in gone if files else ():
            Path(path.removeprefix(self.prefix)).unlink(missing_ok=True)
        self.write_metadata()

    def rows(self, snapshot: int | None = None) -> list[dict[int, Any]]:
        """The visible rows of a snapshot, by field id, in no order: as the model has them."""
        files = [file for each in self.manifests[snapshot or self.current] for file in each.files]
        return visible(files, {each["spec-id"]: not each["fields"] for each in self.metadata["partition-specs"]})

    # Files

    def _sized(self, file: File) -> File:
        return replace(file, size=Path(file.path.removeprefix(self.prefix)).stat().st_size)

    def widest(self) -> Schema:
        """All fields that any schema has."""
        fields = {}
        for each in self.metadata["schemas"]:
            fields |= {one.field_id: one for one in Schema.model_validate(each).fields}
        return Schema(*[one.model_copy(update={"name": f"f{number}"}) for number, one in fields.items()])

    def write_metadata(self) -> None:
        """The next metadata file."""
        self.version += 1
        self.metadata["last-updated-ms"] = max(self.clock, int(time.time() * 1000))
        said = self.metadata
        if said["format-version"] == 1:
            said = said | {"schema": said["schemas"][said["current-schema-id"]]}
            said["partition-spec"] = said["partition-specs"][said["default-spec-id"]]["fields"]
        self.metadata_file().write_text(json.dumps(said))
