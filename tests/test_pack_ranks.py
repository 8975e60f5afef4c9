"""Packed sequences by torchrun: killed on two ranks, resumed on one, killed, and resumed on four."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import programs
from support.packed import numbered

from shardline import Pack, StructuredDataset

SCRIPT = Path(__file__).parent / "support/packed_ranks.py"


def launch(folder, ranks, *, name, at, stop, **asked):
    """(What each rank said first, its sequences step by step.)"""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "--max-restarts=0"]
    given = json.dumps({"name": name, "at": at, "stop": stop, **asked})
    done = programs.run(*command, SCRIPT, folder, given, timeout=200, warn=["ignore"])
    assert (done.returncode == 0) == (stop is None), done.stdout + done.stderr
    lines = [(folder / f"{name}-{rank}.jsonl").read_text().splitlines() for rank in range(ranks)]
    read = [[json.loads(line) for line in of_rank] for of_rank in lines]
    assert len({str(said[0]) for said in read}) == 1, "ranks agree on length, place and counts"
    return read[0][0], [said[1:] for said in read]


@pytest.mark.timeout(600)  # torchrun's ranks import torch, three times
@pytest.mark.parametrize(
    ("cut", "mode"),
    [(False, "wrap"), (True, "wrap"), (False, "fit")],
    ids=["in four shards", "cut anew", "whole documents"],
)
def test_two_ranks_then_one_then_four(tmp_path, cut, mode):
    """Shuffled, with tokens counted from lists; and in file order under a filter, with as many shards as ranks."""
    rng = np.random.default_rng(4)
    (tmp_path / "data").mkdir()
    sizes = [[rng.integers(0, 60, 20).tolist() for _ in range(3)] for _ in range(3)]
    path, total = numbered(tmp_path / "data", sizes)
    pack, n = Pack("ids", seq_len=16, mode=mode), 4
    count = StructuredDataset(path, pack=pack).num_rows
    assert count == -(-total // 16) or mode == "fit"
    if cut:
        asked = {"options": {"filters": [["row", ">=", 0]], "batch_size": n}, "count": "footers", "mode": mode}
        left = [count, count - 2 * 12 * n, count - 40 * n]
        foreseen = [batches(left[0] // 2, n), batches(left[1], n), batches(left[2] // 4, n)]
    else:
        options = {"shuffle": True, "shuffle_seed": 3, "num_shards": 4, "batch_size": n}
        asked, all_ = {"options": options, "count": "lists", "mode": mode}, 4 * batches(count // 4, n)
        foreseen = [all_ // 2, all_ - 24, (all_ - 40) // 4]
    (length, remaining, digest), two = launch(tmp_path, 2, name="two", at=0, stop=12, **asked)
    assert remaining == length == foreseen[0]
    (_, remaining, again), one = launch(tmp_path, 1, name="one", at=12, stop=16, **asked)
    assert (remaining, again) == (foreseen[1], digest)
    (_, remaining, again), four = launch(tmp_path, 4, name="four", at=28, stop=None, **asked)
    assert (remaining, again) == (foreseen[2], digest)
    assert {len(steps) for steps in four} == {remaining}, "steps equal on all ranks, and as many as foreseen"
    assert {len(steps) for steps in two} == {12}
    assert len(one[0]) == 16
    delivered = [token for run in (two, one, four) for steps in run for step in steps for row in step for token in row]
    assert sorted(delivered) == list(range(total)), "0 tokens lost or repeated"


def batches(sequences, size):
    return -(-sequences // size)
