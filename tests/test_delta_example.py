"""examples/delta.py on a table that is written to and vacuumed, killed and resumed: the same losses as undisturbed."""

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable
from support import programs

SCRIPT = Path(__file__).parent.parent / "examples" / "delta.py"


@pytest.mark.timeout(240)
def test_killed_and_resumed_while_others_write(tmp_path):
    def run(table, checkpoint, *arguments):
        return programs.run(SCRIPT, tmp_path / table, tmp_path / checkpoint, *arguments, warn=["ignore"])

    begun = run("table", "whole.pt", "--kill-at", 1)
    assert begun.returncode == -9, begun.stderr
    shutil.copytree(tmp_path / "table", tmp_path / "copy")
    shutil.copy(tmp_path / "whole.pt", tmp_path / "killed.pt")
    whole = run("copy", "whole.pt")
    assert whole.returncode == 0, whole.stderr
    lines, said = [], ""
    for stop in (9, 25, None):
        part = run("table", "killed.pt", "--write-every", 4, *(["--kill-at", stop] if stop else []))
        assert part.returncode == (-9 if stop else 0), part.stderr
        lines += part.stdout.splitlines()
        said += part.stderr
    assert lines == whole.stdout.splitlines()
    assert len(lines) == 37
    assert "newer versions" in said
    table = DeltaTable(tmp_path / "table")
    assert table.version() > 20
    assert 1000 in table.to_pyarrow_table()["i"].to_pylist()

    # Were they not kept, the run would say which file is gone.
    run("table", "late.pt", "--kill-at", 2)
    assert run("table", "late.pt", "--write-every", 1, "--kill-at", 3).returncode == -9
    table.update_incremental()
    assert table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    late = run("table", "late.pt")
    assert late.returncode == 1
    assert "FileChangedError" in late.stderr
    assert "VACUUM" in late.stderr
