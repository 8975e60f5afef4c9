"""What every piece of a run has to know: input, sizes, output, and the names of files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from shardline.rewrite.digest import Digest
from shardline.rewrite.layout import Layout
from shardline.rewrite.sizes import Sizes
from shardline.rewrite.source import Source
from shardline.rewrite.types import conform, stored_schema
from shardline.rewrite.write import FileWriter, WrittenFile


class Rows(NamedTuple):
    """Told by a piece: so many more rows are done."""

    rows: int


class Piece(NamedTuple):
    """Told by a piece: it is complete."""

    name: str
    digest: Digest
    files: tuple[WrittenFile, ...]


@dataclass(frozen=True)
class Job:
    """Made when the output's types are known."""

    source: Source
    layout: Layout
    sizes: Sizes
    folder: Path
    """Where the files are written."""
    chunk_folder: Path
    """Where those of pass one are."""
    output: pa.Schema
    """Of the files."""
    options: dict[str, Any]
    """Of pyarrow's writer."""

    @cached_property
    def stored(self) -> pa.Schema:
        """Of pass one's files."""
        return stored_schema(self.source.schema)

    def conformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """With the output's types."""
        return conform(batch, self.output)

    def new_file(self, name: str, group_rows: int) -> FileWriter:
        """A file of the output; `name` is relative to OUT."""
        return FileWriter(self.folder, name, self.output, group_rows, self.options)

    def file_name(self, file: int) -> str:
        """In the order of names, files are in the order of their numbers."""
        return f"part-{file:0{max(5, len(str(self.sizes.files - 1)))}}.parquet"

    def chunk_path(self, chunk: int) -> Path:
        """A file of pass one."""
        return self.chunk_folder / str(chunk)
