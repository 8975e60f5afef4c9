"""Delete files in Parquet, opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardline.errors import FileChangedError, ShardlineFileNotFoundError
from shardline.sources.iceberg.deletion_vectors import damaged
from shardline.sources.iceberg.manifests import DeleteFile
from shardline.sources.iceberg.metadata import first_line
from shardline.sources.iceberg.table_files import TableFiles


@contextmanager
def there(delete: DeleteFile) -> Iterator[None]:
    """A delete file must be there."""
    try:
        yield
    except ShardlineFileNotFoundError as error:
        raise FileChangedError(
            f"{error}; it is a delete file of the Iceberg table, without which rows that were deleted would come back: "
            "restore it, or give a snapshot whose files are there"
        ) from error


@contextmanager
def opened(delete: DeleteFile, files: TableFiles) -> Iterator[Any]:
    """A delete file as `pyarrow.parquet.ParquetFile`; of as many rows as the table says.

    Raises:
        FileChangedError: It is gone.
        ShardlineValueError: It is damaged.
    """
    with there(delete):
        data = files.read(delete.location)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            if file.metadata.num_rows != delete.rows:
                raise damaged(delete, f"it has {file.metadata.num_rows:,} rows, and its manifest says {delete.rows:,}")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise damaged(delete, first_line(error)) from error
