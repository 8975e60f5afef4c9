"""What stays in memory: each case in a process of its own, which says how much more is resident."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is resident")

MIB = 2**20
PROGRAM = """
import json, sys
from shardline import DataLoader

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

path, epochs, warm, column, options = json.loads(sys.argv[1])
loader = DataLoader(path, num_threads=2, **options)
kept = []
for epoch in range(epochs):
    if epoch == warm:
        before = resident()
    loader.set_epoch(epoch)
    for batch in loader:
        if column:
            kept.append(batch[column])
del batch
print(json.dumps(resident() - before))
"""


def grown(path, *, epochs=1, warm=0, column=None, **options):
    """Bytes that are resident after the last epoch over those before the epoch `warm`."""
    case = json.dumps([str(path), epochs, warm, column, options])
    done = subprocess.run([sys.executable, "-c", PROGRAM, case], check=True, timeout=100, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def test_many_epochs_take_no_more_memory_than_few(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({f"x{i}": rng.standard_normal(10_000, dtype="f4") for i in range(10)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2_500)
    # To leak one batch's tensors an epoch would be 16 MiB.
    shuffled = {"batch_size": 1_024, "shuffle": True}
    assert grown(tmp_path, epochs=500, warm=100, **shuffled) < 6 * MIB


def test_a_column_that_is_kept_does_not_keep_the_others(tmp_path):
    rng = np.random.default_rng(0)
    rows = 1_000_000
    columns = {f"x{i:02}": rng.standard_normal(rows, dtype="f4") for i in range(30)}
    pq.write_table(pa.table({"id": np.arange(rows), **columns}), tmp_path / "a.parquet", row_group_size=100_000)
    # 8 MB of 128 are kept. What was read ahead is used again, or rests: 64 MiB of that at the most.
    options = {"batch_size": 1_024, "prefetch_bytes": "1MiB", "epochs": 2, "warm": 1}
    none = grown(tmp_path, **options)
    assert grown(tmp_path, column="id", **options) - none < 24 * MIB
