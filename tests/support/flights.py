"""A small data set with the columns that the loops of the pages read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_flights(folder: Path, files: int = 4, rows: int = 3_000) -> Path:
    """`files` files of `rows` rows and a few more; `flight` numbers the rows."""
    folder.mkdir(parents=True)
    rng, start = np.random.default_rng(1), 0
    for number in range(files):
        n = rows + number
        columns = {"flight": np.arange(start, start + n), "dep_delay": rng.integers(-20, 200, n)}
        columns["distance"] = rng.integers(80, 3000, n)
        columns["arr_delay"] = columns["dep_delay"] + rng.integers(-20, 20, n)
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=400)
        start += n
    return folder
