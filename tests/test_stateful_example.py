"""examples/stateful.py, killed and resumed, with as many workers and with others."""

from pathlib import Path

import pytest
from support import programs, write_rows

SCRIPT = Path(__file__).parent.parent / "examples" / "stateful.py"


def run(data, checkpoint, *arguments):
    return programs.run(SCRIPT, data, checkpoint, *arguments, warn=["ignore"])


@pytest.mark.timeout(120)
def test_killed_and_resumed(tmp_path):
    data = write_rows(tmp_path / "data", [[20, 20], [30]])
    whole = run(data, tmp_path / "whole.pt", "--workers", 2)
    assert whole.returncode == 0, whole.stderr
    checkpoint, lines = tmp_path / "killed.pt", []
    for workers, stop in ((2, 4), (2, 11), (3, 14), (0, None)):
        part = run(data, checkpoint, "--workers", workers, *(["--kill-at", stop] if stop else []))
        assert part.returncode == (-9 if stop else 0), part.stderr
        lines += part.stdout.splitlines()
    assert lines == whole.stdout.splitlines()
    assert len(lines) == 18
