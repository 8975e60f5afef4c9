"""Position delete files: which rows of which data files."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardline.sources.iceberg.delete_table import opened
from shardline.sources.iceberg.deletion_vectors import damaged
from shardline.sources.iceberg.key_columns import ids_in
from shardline.sources.iceberg.manifests import DeleteFile
from shardline.sources.iceberg.table_files import TableFiles

_PATH, _POSITION = 2147483546, 2147483545
_NAMES = {_PATH: "file_path", _POSITION: "pos"}


def read_positions(delete: DeleteFile, files: TableFiles) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The data files' locations, each with positions in it, in any order.

    Raises:
        FileChangedError: The delete file is gone.
        ShardlineValueError: It is damaged.
    """
    with opened(delete, files) as file:
        by_id = ids_in(file.schema_arrow)
        names = [by_id.get(number, (name,))[0] for number, name in _NAMES.items()]
        if any(name not in file.schema_arrow.names for name in names):
            raise damaged(delete, f"it lacks the columns {' and '.join(_NAMES.values())}")
        for batch in file.iter_batches(columns=names):
            paths, positions = (batch.column(name) for name in names)
            if paths.null_count or positions.null_count:
                raise damaged(delete, "a path or a position in it is null")
            paths = paths if pa.types.is_dictionary(paths.type) else pc.dictionary_encode(paths)
            rows = positions.cast(pa.int64()).to_numpy()
            if len(rows) and rows.min() < 0:
                raise damaged(delete, "a position in it is negative")
            codes = paths.indices.to_numpy()
            order = np.argsort(codes, kind="stable")
            codes, rows = codes[order], rows[order]
            starts = np.flatnonzero(np.diff(codes, prepend=-1))
            texts = paths.dictionary
            for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
                yield texts[int(codes[start])].as_py(), rows[start:end]
