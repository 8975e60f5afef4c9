"""Which columns get a dictionary: asked of pyarrow's own writer, with some rows."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardline.rewrite.layout import Layout
from shardline.rewrite.source import Source
from shardline.rewrite.types import conform

_TRIED_ROWS, _TRIED_BYTES = 65_536, 8 * 2**20  # rows that are encoded to see whether a dictionary pays
_WORTH = 0.9  # a dictionary pays where a column takes at most this share of its plain size


def dictionary_columns(source: Source, schema: pa.Schema, layout: Layout) -> bool | list[str]:
    """What pyarrow's `use_dictionary` is: of "auto", the columns that a dictionary makes smaller, by trying it."""
    if isinstance(layout.dictionary, bool):
        return layout.dictionary
    paths = _parquet_paths(schema)
    if layout.dictionary != "auto":
        return [path for path, name in paths if name in layout.dictionary]
    rows = max(1, min(_TRIED_ROWS, int(_TRIED_BYTES / source.row_bytes[1])))
    middle = source.num_rows // rows // 2
    pays: set[str] = set()
    for batch in source.batches(middle, 1, rows):
        table = pa.Table.from_batches([conform(batch, schema)])
        sizes = [_column_sizes(table, layout, use) for use in (True, False)]
        pays = {path for path, _ in paths if sizes[0][path] < _WORTH * sizes[1][path]}
    return sorted(pays)


def _column_sizes(table: pa.Table, layout: Layout, use_dictionary: bool) -> dict[str, int]:
    sink = io.BytesIO()
    options: dict[str, Any] = {"compression": layout.codec, "compression_level": layout.codec_level}
    pq.write_table(table, sink, row_group_size=max(1, len(table)), use_dictionary=use_dictionary, **options)
    group = pq.ParquetFile(sink).metadata.row_group(0)
    return {
        column.path_in_schema: column.total_compressed_size for column in map(group.column, range(group.num_columns))
    }


def _parquet_paths(schema: pa.Schema) -> list[tuple[str, str]]:
    """Of each leaf: its path, and the column's name."""
    found = []
    for column in schema:
        sink = io.BytesIO()
        pq.write_table(pa.schema([column]).empty_table(), sink)
        leaves = pq.ParquetFile(sink).schema
        found += [(leaves.column(i).path, column.name) for i in range(len(leaves))]
    return found
