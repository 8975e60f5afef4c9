"""Files of row groups, written by pyarrow and brought to the disk."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from shardline.errors import ShardlineOSError
from shardline.rewrite.layout import Layout


class WrittenFile(NamedTuple):
    """A file that is complete. A list in the journal."""

    name: str
    """Relative to OUT."""
    rows: int
    row_groups: int
    bytes: int


def writer_options(layout: Layout, dictionary: bool | list[str]) -> dict[str, Any]:
    """What `pyarrow.parquet.ParquetWriter` is given."""
    return {
        "compression": layout.codec,
        "compression_level": layout.codec_level,
        "use_dictionary": dictionary,
        "write_statistics": layout.statistics,
        "write_page_index": layout.page_index,
        "write_page_checksum": layout.page_checksums,
    }


class FileWriter:
    """One file: rows come in batches of any size, and leave in row groups of `group_rows`; the last may have fewer."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema, group_rows: int, options: dict[str, Any]) -> None:
        self.path, self.name = folder / name, name
        self._group_rows, self._held, self._held_rows = group_rows, list[pa.RecordBatch](), 0
        self._rows = self._groups = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._writer = self._guarded(pq.ParquetWriter, self.path, schema, **options)

    def add(self, batch: pa.RecordBatch) -> None:
        """ShardlineOSError names the file where the disk is full."""
        while batch.num_rows:
            part = batch.slice(0, self._group_rows - self._held_rows)
            self._held.append(part)
            self._held_rows += part.num_rows
            batch = batch.slice(part.num_rows)
            if self._held_rows == self._group_rows:
                self._write_group()

    def close(self) -> WrittenFile:
        """The file is on the disk, when this returns."""
        if self._held_rows:
            self._write_group()
        self._guarded(self._writer.close)
        self._guarded(self._sync)
        return WrittenFile(self.name, self._rows, self._groups, self.path.stat().st_size)

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        self._guarded(self._writer.write_table, table, row_group_size=len(table))
        self._rows, self._groups = self._rows + len(table), self._groups + 1
        self._held, self._held_rows = [], 0

    def _sync(self) -> None:
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _guarded(self, function: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except OSError as error:
            raise cannot_write(self.path, error) from error


def cannot_write(path: Path, error: OSError) -> ShardlineOSError:
    """An error that names the path, and says what to do."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ShardlineOSError(
        error.errno or 0,
        f"{path} cannot be written: {reason}. Make room, and run it again: it goes on where it stopped",
    )
