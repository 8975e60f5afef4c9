"""The manifests of the hand-written Iceberg tables of tests, encoded by pyiceberg."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyiceberg.avro.file import AvroOutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    MANIFEST_LIST_FILE_SCHEMAS,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from support.iceberg_parts import ADDED, CONTENT, DATA, File, Manifest


def write_manifest(
    table: Any, files: list[File], kind: int, spec: int, sequence: int, snapshot: int, status: int
) -> Manifest:
    """Writes files of one kind and spec as a manifest."""
    version = table.metadata["format-version"]
    given = PartitionSpec.model_validate(table.metadata["partition-specs"][spec])
    partition = given.partition_type(table.widest())
    of_file = data_file_with_partition(partition, version)
    schema = manifest_entry_schema_with_data_file(version, of_file)
    path = f"{table.prefix}{table.path}/metadata/{uuid.uuid4()}-m.avro"
    meta = {
        "schema": table.schema.model_dump_json(),
        "partition-spec": json.dumps(table.metadata["partition-specs"][spec]["fields"]),
        "partition-spec-id": str(spec),
        "format-version": str(version),
        "content": ("data", "deletes")[kind],
    }
    with AvroOutputFile(
        PyArrowFileIO().new_output(path.removeprefix(table.prefix)), schema, "manifest_entry", metadata=meta
    ) as writer:
        writer.write_block([_entry(file, status, snapshot, schema, of_file) for file in files])
    return Manifest(path, kind, spec, sequence, snapshot, files)


def _entry(file: File, status: int, snapshot: int, schema: Schema, of_file: Any) -> Record:
    said = {
        "content": CONTENT[file.kind],
        "file_path": file.path,
        "file_format": file.format,
        "partition": Record(*file.partition),
        "record_count": file.rows,
        "file_size_in_bytes": file.size,
        "block_size_in_bytes": 1,
        "equality_ids": file.ids,
        "referenced_data_file": file.referenced,
        "content_offset": file.offset,
        "content_size_in_bytes": file.length,
        "key_metadata": file.key,
    }
    number = None if status == ADDED else file.sequence
    entry = {
        "status": status,
        "snapshot_id": snapshot,
        "sequence_number": number,
        "file_sequence_number": number,
        "data_file": Record(*[said.get(each.name) for each in of_file.fields]),
    }
    return Record(*[entry[each.name] for each in schema.fields])


def write_list(table: Any, manifests: Sequence[Manifest], snapshot: int, parent: int | None, sequence: int) -> str:
    """Writes the list of a snapshot's manifests; where it is."""
    version = table.metadata["format-version"]
    schema = MANIFEST_LIST_FILE_SCHEMAS[version]
    path = f"{table.prefix}{table.path}/metadata/snap-{snapshot}.avro"
    records = []
    for each in manifests:
        count, rows = len(each.files), sum(file.rows for file in each.files)
        said = {
            "manifest_path": each.path,
            "manifest_length": Path(each.path.removeprefix(table.prefix)).stat().st_size,
            "partition_spec_id": each.spec,
            "content": each.kind,
            "sequence_number": each.sequence,
            "min_sequence_number": min(file.sequence for file in each.files),
            "added_snapshot_id": each.snapshot,
            "added_files_count": count,
            "existing_files_count": 0,
            "deleted_files_count": 0,
            "added_rows_count": rows,
            "existing_rows_count": 0,
            "deleted_rows_count": 0,
            "first_row_id": 0 if each.kind == DATA else None,
        }
        records.append(Record(*[said.get(one.name) for one in schema.fields]))
    meta = {"snapshot-id": str(snapshot), "parent-snapshot-id": str(parent), "sequence-number": str(sequence)}
    meta |= {"format-version": str(version)}
    with AvroOutputFile(
        PyArrowFileIO().new_output(path.removeprefix(table.prefix)), schema, "manifest_file", metadata=meta
    ) as writer:
        writer.write_block(records)
    return path
