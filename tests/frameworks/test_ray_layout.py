"""docs/how-to/cluster-layout.md: Ray Data writes, on two workers, the layout that the page says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import shardline

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster-layout.md").read_text()
DATA, RAY, *_ = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(folder, code):
    """In a process of its own: a cluster of Ray's ends with it."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return sorted((folder / "by-ray").glob("*.parquet"))


@pytest.mark.timeout(900)
def test_ray_data_writes_the_layout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        run(folder, DATA)
    files, again = (run(folder, RAY) for folder in folders)
    assert shardline.row_digest("one/by-ray") == shardline.row_digest("one/events")
    found = shardline.inspect("one/by-ray")
    assert [each.found for each in found.advice if "user is text" not in each.found] == []
    assert {group.rows for group in found.survey.groups} == {25_000}
    assert (len(files), found.survey.with_checksums) == (8, 8)
    for column in found.survey.columns.values():
        assert set(column.codecs) == {"ZSTD"}
        assert column.offset_indexes == column.chunks
        assert (column.dictionaries > 0) == (column.leaf.name in ("user", "label"))
    ids, others = (np.concatenate([pq.read_table(path)["id"].to_numpy() for path in each]) for each in (files, again))
    assert np.array_equal(ids, others)
    means = ids.reshape(-1, 250).mean(1)  # of batches, as those of draws without replacement
    expected = np.sqrt((len(ids) ** 2 - 1) / 12 / 250 * (1 - 249 / (len(ids) - 1)))
    assert abs(means.std() / expected - 1) < 4 / np.sqrt(2 * len(means))
