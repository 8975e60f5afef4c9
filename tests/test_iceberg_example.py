"""examples/iceberg.py at a tag, while rows are written and snapshots expire, killed and resumed: as undisturbed."""

import shutil
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog
from support import programs

SCRIPT = Path(__file__).parent.parent / "examples" / "iceberg.py"


@pytest.mark.timeout(240)
def test_killed_and_resumed_at_a_tag(tmp_path):
    def run(checkpoint, *arguments):
        return programs.run(SCRIPT, tmp_path / "lake", tmp_path / checkpoint, *arguments, warn=["ignore"])

    begun = run("whole.pt", "--kill-at", 1)
    assert begun.returncode == -9, begun.stderr
    shutil.copy(tmp_path / "whole.pt", tmp_path / "killed.pt")
    whole = run("whole.pt")  # before anybody writes: metadata name the table's place, so that no copy can be read
    assert whole.returncode == 0, whole.stderr
    lines = []
    for stop in (9, 25, None):
        part = run("killed.pt", "--write-every", 8, *(["--kill-at", stop] if stop else []))
        assert part.returncode == (-9 if stop else 0), part.stderr
        lines += part.stdout.splitlines()
    assert lines == whole.stdout.splitlines()
    assert len(lines) == 37
    table = load_catalog(type="sql", uri=f"sqlite:///{tmp_path}/lake/catalog.db").load_table("train.events")
    values = table.scan().to_arrow()["i"].to_pylist()
    assert 0 not in values
    assert max(values) > 1000
    kept = {snapshot.snapshot_id for snapshot in table.snapshots()}
    assert table.refs()["run-1"].snapshot_id in kept
    assert len(kept) < 4  # the others have expired
