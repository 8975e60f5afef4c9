"""The bench measures nothing where a value is wrong: its first step, with a reader that is made to be wrong."""

from pathlib import Path

import pytest
from support import programs

BENCHES = Path(__file__).resolve().parent.parent / "benches"
PROGRAM = """
import sys
from pathlib import Path
import peers.shardline_, verify
from data import SPECS, Spec, plain, flat
import data

data.HOME = Path(sys.argv[1])
SPECS["D1"] = Spec("small", plain(flat, 20_000, 3_000))
right = peers.shardline_.batches

def batches(*where, **options):
    for number, batch in enumerate(right(*where, **options)):
        {wrong}
        yield batch

peers.shardline_.batches = batches
sys.argv[1:] = {arguments}
sys.exit(verify.main())
"""
VALUE = "if number == 7: batch['x03'][5] += 1"
ROW = "if number == 7: continue"
TWICE = "if number == 7: yield batch"
SWAPPED = "if number == 7: batch = {name: value.flip(0) for name, value in batch.items()}"


def run(tmp_path, wrong, arguments):
    program = PROGRAM.format(wrong=wrong, arguments=arguments)
    return programs.run("-c", program, tmp_path, cwd=BENCHES)


@pytest.mark.parametrize(
    ("wrong", "by"),
    [("pass", ()), (VALUE, "all"), (ROW, "all"), (TWICE, "all"), (SWAPPED, ("shardline",))],
    ids=["right", "a value", "a batch lost", "a batch twice", "rows swapped"],
)
def test_verification_fails_on_what_is_not_in_the_files(tmp_path, wrong, by):
    peers = ("shardline", "shardline-split", "shardline-row")
    done = run(tmp_path, wrong, arguments=["--datasets", "D1", "--peer", ",".join(peers)])
    lines = {line.split()[2]: line for line in done.stdout.splitlines() if line.startswith("verify")}
    assert sorted(lines) == sorted(peers), done.stderr
    for peer in peers:
        assert ("WRONG" in lines[peer]) == (peer in (peers if by == "all" else by)), lines[peer]
    assert done.returncode == (1 if by else 0)
