"""Files that change while they are read: other rows never come, and the file is named."""

import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, take

from shardline import DataLoader, FileChangedError

SMALL = {"batch_size": 10, "prefetch_bytes": 1, "num_threads": 1}


def write(path, values, *, group=1000, **options):
    values = np.asarray(values)
    pq.write_table(pa.table({"i": values, "x": (values % 7).astype("f4")}), path, row_group_size=group, **options)


def shifted(path, by, **options):
    """Writes a file of the same rows, sizes and layout again, its values shifted: only the statistics differ."""
    write(path, np.arange(40) + by, use_dictionary=False, compression="none", **options)


CHANGES = {
    "same size, other footer": lambda path: shifted(path, 1000),
    "other size": lambda path: shifted(path, 0, store_schema=False),
    "other row groups": lambda path: shifted(path, 0, group=5),
    "fewer rows": lambda path: write(path, range(60, 70)),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "vanished": lambda path: path.unlink(),
    "a directory now": lambda path: (path.unlink(), path.mkdir()),
    "text now": lambda path: path.write_bytes(b"x" * path.stat().st_size),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_file_that_changed_since_planning_is_named(tmp_path, change, shuffle):
    for number in range(3):
        shifted(tmp_path / f"{number}.parquet", 40 * number)
    size = (tmp_path / "2.parquet").stat().st_size
    make = lambda: DataLoader(tmp_path, shuffle=shuffle, shuffle_buffer_size=0, **SMALL)  # noqa: E731
    loader, whole = make(), ids(make())
    change(tmp_path / "2.parquet")
    if change is CHANGES["same size, other footer"]:
        assert (tmp_path / "2.parquet").stat().st_size == size
    found = []
    iterator = iter(loader)
    with pytest.raises(FileChangedError, match=r"2\.parquet.*(plan|try again)"):
        for batch in iterator:
            found.append(batch["i"].tolist())
    assert found == whole[: len(found)]
    assert len(found) < 12
    assert loader.batch_index == loader.state_dict()["legs"][0][3] == len(found)
    with pytest.raises(FileChangedError, match=r"2\.parquet"):  # asked again, it says it again
        next(iterator)
    assert loader.batch_index == len(found)
    # Put back, the run goes on from the state that it was left with.
    path = tmp_path / "2.parquet"
    if path.is_dir():
        path.rmdir()
    shifted(path, 80)
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    assert found + ids(resumed) == whole


@pytest.mark.parametrize("how", ["over", "truncated", "renamed"])
def test_a_file_written_over_while_it_is_open_gives_no_other_rows(tmp_path, how):
    path = tmp_path / "a.parquet"
    options = {"group": 50_000, "compression": "none", "use_dictionary": False}
    write(path, np.arange(500_000), **options)
    loader = DataLoader(path, batch_size=100, prefetch_bytes=1, num_threads=1)
    iterator, found = iter(loader), 0
    for _ in range(150):
        next(iterator)
        found += 1
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    if how == "over":
        write(path, np.arange(500_000) + 10**6, **options)
    elif how == "truncated":
        os.truncate(path, 1_500_000)
    else:  # the old file is still there for those who have it open: its rows are the planned ones
        write(tmp_path / "new", np.arange(500_000) + 10**6, **options)
        (tmp_path / "new").replace(path)
        for batch in iterator:
            assert batch["i"].tolist() == list(range(100 * found, 100 * found + 100))
            found += 1
        assert found == 5000
        found = 0
        iterator = iter(loader)
    with pytest.raises(FileChangedError, match=r"a\.parquet"):
        for batch in iterator:
            assert batch["i"].tolist() == list(range(100 * found, 100 * found + 100))
            found += 1
    if how != "renamed":
        assert loader.batch_index == found


def test_a_file_touched_or_linked_while_it_is_open_is_the_same_file(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, np.arange(20_000), group=1000)
    loader = DataLoader(path, batch_size=100, prefetch_bytes=1)
    iterator = iter(loader)
    found = take(iterator, 3)
    time.sleep(0.02)
    path.touch()
    (tmp_path / "b").hardlink_to(path)
    assert sum(found + ids(iterator), []) == list(range(20_000))
