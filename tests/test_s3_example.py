"""examples/s3.py on a local server, killed and resumed: the same rows, and the same losses to the last digit."""

from pathlib import Path

import pytest
from support import programs, servers, write_rows

SCRIPT = Path(__file__).parent.parent / "examples" / "s3.py"


@pytest.mark.timeout(180)
def test_killed_and_resumed(tmp_path, monkeypatch):
    with servers.moto() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        data = server.publish(write_rows(tmp_path / "data", [[200, 100], [300]]), "training")

        def run(checkpoint, *arguments):
            return programs.run(SCRIPT, data, tmp_path / checkpoint, *arguments, warn=["ignore"])

        whole = run("whole.pt")
        assert whole.returncode == 0, whole.stderr
        lines = []
        for stop in (7, 25, None):
            part = run("killed.pt", *(["--kill-at", stop] if stop else []))
            assert part.returncode == (-9 if stop else 0), part.stderr
            lines += part.stdout.splitlines()
    assert lines == whole.stdout.splitlines()
    assert len(lines) == 38
