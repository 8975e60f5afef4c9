"""examples/lineitem.py and examples/raw_flights.py: tables as they come, trained on from end to end."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support import programs

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(script, *arguments):
    done = programs.run(EXAMPLES / script, *arguments, warn=["ignore"])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_lineitem(tmp_path):
    make = [Path(sys.executable).parent / "tpchgen-cli", "parquet", "--scale-factor", "0.01", "--tables", "lineitem"]
    subprocess.run([*map(str, make), "--output-dir", str(tmp_path)], check=True, timeout=60)
    said = run("lineitem.py", tmp_path / "lineitem.parquet", "--batch-size", 500)
    steps, first, last = re.search(r"(\d+) steps: loss (\S+) at first, (\S+) at last", said).groups()
    assert int(steps) == -(-pq.read_metadata(tmp_path / "lineitem.parquet").num_rows // 500)
    assert float(last) < 0.7 * float(first)


@pytest.mark.timeout(120)
def test_flights(tmp_path):
    said = run("raw_flights.py", tmp_path / "flights", "--batch-size", 4096)
    assert re.search(r"time_hour counts (s|ms|us|ns); 105 destinations", said), said
    steps, first, last = re.search(r"(\d+) steps: off by (\S+) minutes at first, (\S+) at last", said).groups()
    assert int(steps) == -(-336_776 // 4096)
    assert float(last) < 0.7 * float(first)
