"""Tables to filter, and what is left of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support import ids


def epoch(dataset):
    return [row for batch in ids(dataset) for row in batch]


def wide(path, rows=20_000, group=5_000, **options):
    rng = np.random.default_rng(3)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=4 * rows), pa.float32()), 4)
    ragged = pa.array([list(range(n % 5)) for n in range(rows)], pa.list_(pa.int32()))
    maybe = pa.array(rng.integers(0, 9, rows), mask=rng.random(rows) < 0.3)
    table = pa.table({"i": np.arange(rows), "u": rng.random(rows), "l": lists, "r": ragged, "n": maybe})
    table = table.append_column("s", pa.array([f"text {n}" for n in range(rows)]))
    pq.write_table(table, path, row_group_size=group, **options)
    return table


def broken(path, *columns):
    """Writes over the pages of these columns, so that nobody can read them."""
    meta, data = pq.read_metadata(path), bytearray(path.read_bytes())
    for group in range(meta.num_row_groups):
        for place in range(meta.num_columns):
            column = meta.row_group(group).column(place)
            if column.path_in_schema.split(".")[0] in columns:
                start = column.dictionary_page_offset or column.data_page_offset
                data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)
