"""The tools over a Delta table: rewrite, bench, verify, the reports of a state, and the command line."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from support import command, delta

import shardline
from shardline import DataLoader, ShardlineValueError, StructuredDataset


@pytest.fixture
def path(tmp_path):
    """100 rows less those that 7 divides, of two versions the older one whole."""
    path = tmp_path / "table"
    rows = pa.table({"i": pa.array(range(100), pa.int64()), "p": pa.array([n % 3 for n in range(100)], pa.int32())})
    write_deltalake(path, rows, partition_by=["p"])
    gone = {}
    for name in delta.live(path):
        values = pq.read_table(path / name, partitioning=None)["i"].to_pylist()
        gone[name] = [row for row, value in enumerate(values) if value % 7 == 0]
    delta.delete(path, gone)
    return path


LEFT = [i for i in range(100) if i % 7]


def test_rewritten_as_plain_files(path, tmp_path):
    report = shardline.rewrite(path, tmp_path / "out", format="delta", sort_by="i")
    assert report.rows == len(LEFT)
    found = pq.read_table(tmp_path / "out")
    assert found["i"].to_pylist() == LEFT
    assert found["p"].to_pylist() == [i % 3 for i in LEFT]
    shardline.rewrite(path, tmp_path / "out", format="delta", version=0, sort_by="i", overwrite=True)
    assert pq.read_table(tmp_path / "out")["i"].to_pylist() == list(range(100))
    with pytest.raises(ShardlineValueError, match="Delta table"):
        shardline.rewrite(path, tmp_path / "other")
    # Into the directory of another table.
    write_deltalake(tmp_path / "second", pa.table({"x": [1]}))
    shardline.rewrite(path, tmp_path / "second" / "out", format="delta", columns=["i"])
    assert sorted(pq.read_table(tmp_path / "second" / "out")["i"].to_pylist()) == LEFT


def test_benched_and_verified(path):
    report = shardline.bench(path, seconds=1, format="delta", version=1, batch_size=10, shuffle=True)
    assert report.rows == len(LEFT)
    found = shardline.verify(path, stops=1, batches=6, ranks=[1], workers=[0], format="delta", batch_size=10)
    assert found.fault is None
    assert found.rows == len(LEFT)


def test_states_on_the_command_line(path, tmp_path):
    loader = DataLoader(path, format="delta", batch_size=10)
    next(iter(loader))
    (tmp_path / "state.json").write_text(json.dumps(loader.state_dict()))
    said = " ".join(command.printed("state", tmp_path / "state.json", path).split())
    assert "a loader over these data resumes it" in said
    said = command.printed("state", tmp_path / "state.json")
    assert "15 rows deleted" in said
    assert "format" in said
    rows = command.as_json("head", path, "-o", "format='delta'", "-b", 3)
    assert rows
    assert sum(len(batch["i"]) for batch in StructuredDataset(path, format="delta")) == len(LEFT)
