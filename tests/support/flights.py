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


def write_page_flights(folder: Path) -> None:
    """14,000 flights in two files: 14 steps of 1,024 rows an epoch, as the pages say."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for i in range(2):
        columns = {"dep_delay": random.integers(-20, 200, 7000), "distance": random.integers(80, 3000, 7000)}
        columns["arr_delay"] = columns["dep_delay"] + random.integers(-20, 20, 7000)
        pq.write_table(pa.table(columns), folder / f"{i}.parquet", row_group_size=1_000)
