"""What was written, read again: by its digest it holds the rows that were read."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from shardline.errors import ShardlineRuntimeError
from shardline.rewrite.digest import Digest, digest
from shardline.rewrite.folders import with_folders
from shardline.rewrite.source import read_file
from shardline.rewrite.write import WrittenFile


def digest_of_files(folder: Path, files: Sequence[WrittenFile], schema: pa.Schema) -> Digest:
    """The digest of all rows in files, with the columns of their folders. `schema`: of the input."""
    found = Digest()
    for file in files:
        for batch in read_file(folder / file.name, -(-file.rows // file.row_groups)):
            found += digest(with_folders(batch, file.name, schema))
    return found


def check_same(read: Digest, written: Digest, where: str) -> None:
    """ShardlineRuntimeError where rows were lost, added or changed."""
    if read.rows != written.rows:
        raise ShardlineRuntimeError(f"{where}: {read.rows:,} rows were read, and {written.rows:,} are written")
    if read != written:
        raise ShardlineRuntimeError(
            f"{where}: what is written differs from what was read (digest {written}, not {read}), by a fault of the "
            "disk or the memory, or a bug. OUT was not made; run it again, and report it if it comes again"
        )
