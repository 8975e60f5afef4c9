"""`shardline verify` over data that change between runs."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_rows

from shardline import verify

# Processes that import torch, several to a test.
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.timeout(300)]


def other_rows(folder):
    write_rows(folder, [[10, 20, 5], [24], [10, 10, 20]])


def other_bytes(folder):
    """Values of the last file change, and its footer does not: pages are neither compressed nor checked."""
    path = folder / "part-0002.parquet"
    whole, before = bytearray(path.read_bytes()), pq.read_table(path)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    whole[chunk.data_page_offset + chunk.total_compressed_size - 8] ^= 1
    path.write_bytes(whole)
    assert (pq.read_table(path)["i"].to_numpy() != before["i"].to_numpy()).sum() == 1


def gone(folder):
    (folder / "part-0001.parquet").unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [(other_rows, "part-0001.parquet"), (other_bytes, "part-0002.parquet"), (gone, "part-0001.parquet")],
)
def test_data_that_changed_between_runs_are_named(tmp_path, quick, change, named):
    folder = tmp_path / "d"
    folder.mkdir()
    for number, rows in enumerate(([0, 35], [35, 60], [60, 100])):
        table = pa.table({"i": pa.array(range(*rows), pa.int64())})
        path = folder / f"part-{number:04}.parquet"
        pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)

    def progress(done, of):
        if done == 2:
            change(folder)

    report = verify(folder, batch_size=5, stops=3, progress=progress)
    assert report.fault.kind == "data", report
    assert named in " ".join(report.fault.seen)
    assert report.stops_tried >= 1
