"""The memory of a rewrite does not grow with its input."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import programs

PROGRAM = """
import json, sys
from pathlib import Path
import shardline, pyarrow.parquet, pyarrow.compute

def status(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024

shardline.rewrite(sys.argv[1] + "/0.parquet", sys.argv[2] + "-one", **json.loads(sys.argv[3]))
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
shardline.rewrite(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
print(status("VmHWM") - before)
"""


def write(folder, files):
    """Files of 20 MiB decoded, in one row group, which a dictionary makes small: rows of 1 KiB."""
    rows, rng = 20_000, np.random.default_rng(0)
    texts = pa.array([f"{i:>1024}" for i in range(50)])
    for number in range(files):
        codes = pa.array(rng.integers(0, 50, rows).astype(np.int32))
        table = pa.table({"text": texts.take(codes), "i": np.arange(rows) + number * rows})
        pq.write_table(table, folder / f"{number}.parquet")


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"sort_by": "i"}], ids=str)
def test_an_input_of_five_times_the_memory(tmp_path, options, say):
    check(tmp_path, 8, "32MiB", options, say, 1.5)


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"sort_by": "i"}], ids=str)
def test_an_input_of_five_times_the_default(tmp_path, options, say):
    check(tmp_path, 128, "512MiB", options, say, 1)


def check(folder, files, memory, options, say, most):
    (folder / "in").mkdir()
    write(folder / "in", files)
    given = json.dumps({"memory": memory, **options})
    done = programs.run("-c", PROGRAM, folder / "in", folder / "out", given)
    assert done.stdout, done.stderr
    peak, limit = int(done.stdout), int(memory.removesuffix("MiB"))
    say(f"rewrite {options}: {peak / 2**20:.0f} MiB beyond its start, of {files * 20} MiB with memory={memory}")
    assert peak < most * limit * 2**20
