"""A mixture by torchrun: weights changed at 50 %, killed on two ranks, resumed at 60 % on one, and then on four."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import programs
from support.mixtures import Model

SCRIPT = Path(__file__).parent / "support/mixed_ranks.py"
WEIGHTS, AFTER, SIZES = {"web": 0.75, "code": 0.25}, {"web": 0.2, "code": 0.8}, [110, 37]
BATCHES, SIZE = 80, 4


def launch(folder, ranks, *, name, at, stop, change=None, **options):
    """(What the ranks said first, the job's batches.)"""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--max-restarts=0"]
    asked = {"name": name, "at": at, "stop": stop, "change": change, "after": AFTER, "weights": WEIGHTS}
    given = json.dumps({**asked, "batches": BATCHES, "options": {"batch_size": SIZE, **options}})
    done = programs.run(*command, SCRIPT, folder, given, timeout=200, warn=["ignore"])
    assert (done.returncode == 0) == (stop is None), done.stdout + done.stderr
    lines = [(folder / f"{name}-{rank}.jsonl").read_text().splitlines() for rank in range(ranks)]
    read = [[json.loads(line) for line in of_rank] for of_rank in lines]
    assert len({str(said[0]) for said in read}) == 1, "ranks agree on length and place"
    steps = [said[1:] for said in read]
    assert len(set(map(len, steps))) == 1, "steps equal on all ranks"
    return read[0][0], [list(zip(*batch, strict=True)) for step in zip(*steps, strict=True) for batch in step]


@pytest.mark.timeout(600)  # torchrun's ranks import torch, three times
@pytest.mark.parametrize("shards", [4, None], ids=["in four shards", "in a new leg"])
def test_two_ranks_then_one_then_four(tmp_path, shards):
    """0 rows lost or repeated: the batches are those of the model, which has each row of a round once."""
    for name, rows in zip(WEIGHTS, SIZES, strict=True):
        table = pa.table({"i": pa.array(range(rows), pa.int64())})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=20)
    options = {"num_shards": shards} if shards else {}
    model = Model(list(WEIGHTS), SIZES, [(0, [*WEIGHTS.values()]), (40 * SIZE, [*AFTER.values()])], seed=42)
    said, two = launch(tmp_path, 2, name="two", at=0, stop=24, change=20, **options)
    assert said == [40, 40]
    said, one = launch(tmp_path, 1, name="one", at=24, stop=8, **options)
    assert said == [80, 32]
    said, four = launch(tmp_path, 4, name="four", at=32, stop=None, **options)
    assert said == [20, 6]
    expected = []
    for lanes, batches in [(4, 80)] if shards else [(2, 56), (4, 24)]:
        model.begin(lanes, SIZE)
        expected += model.deliver(batches)
        model.stop_leg()
    expected = [[(source, position % SIZES[source]) for source, position in batch] for batch in expected]
    assert two + one + four == expected
