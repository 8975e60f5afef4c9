"""Files to read, and the few moves that most tests make."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.register_profile("long", settings.get_profile("ci"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def write_rows(folder: Path, groups: list[list[int]], start: int = 0) -> Path:
    """Writes one file a list of row-group sizes; `i` counts the rows through, `x` is i / 2. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, sizes in enumerate(groups):
        schema = pa.schema([("i", pa.int64()), ("x", pa.float32())])
        with pq.ParquetWriter(folder / f"part-{number:04}.parquet", schema) as writer:
            for size in sizes:
                values = np.arange(start, start + size)
                writer.write_table(
                    pa.table({"i": values, "x": (values / 2).astype("f4")}, schema=schema), row_group_size=max(1, size)
                )
                start += size
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Path]:
    """`rows([[10, 10], [5]])`: a folder of two files with these row groups."""
    count = iter(range(1000))

    def write(groups: list[list[int]], start: int = 0) -> Path:
        return write_rows(tmp_path / f"data-{next(count)}", groups, start)

    return write


@pytest.fixture
def hundred(rows: Callable[..., Path]) -> Path:
    """100 rows, 0 to 99, in 3 files and 7 row groups."""
    return rows([[10, 20, 5], [25], [10, 10, 20]])
