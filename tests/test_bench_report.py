"""What `shardline bench` says follows from its figures."""

import json
import re
from dataclasses import replace
from statistics import median

import pytest
from support.benched import report

from shardline.benchmark.result import Measured


def test_ratios_are_those_of_the_same_round():
    found = report()
    assert found.times_loop == median([4000 / 1000, 4200 / 1050, 4400 / 1000])
    assert found.share_of_limit == 4200 / 8000
    said = " ".join(found.sentences)
    assert "4.0 times as fast as the hand-written loop (4.0 to 4.4 in the rounds)" in said
    assert "at 52% of the limit (50% to 55%)" in said
    assert "Faster in every round: batches of 40 (1.3 times)." in said
    assert "far apart" not in said
    assert "Pages have" not in said


@pytest.mark.parametrize(
    ("step", "waits", "said"),
    [
        ((0.001, "x"), False, "A step of 5 ms does not wait for data"),
        ((0.05, "x"), True, "A step of 5 ms hardly waits for data"),
        ((0.5, "decoding is the bottleneck"), True, "In such a loop decoding is the bottleneck."),
    ],
)
def test_whether_a_step_waits(step, waits, said):
    found = report(step=step)
    assert found.waits is waits
    assert said in " ".join(found.sentences)
    assert found.to_dict()["waited_seconds"] == step[0] / 100


def test_what_the_figures_do_not_say():
    said = " ".join(report(asked=(4000, 6000, 9000), page=900).sentences)
    assert "The rounds lie far apart (4.00 k to 9.00 k rows/s)" in said
    assert "Pages have 900 bytes on average" in said
    assert "more than 1 round was complete" in " ".join(replace(report(), rounds=1).sentences)
    loop = Measured("loop", "hand-written loop", why="it reads all rows")
    found = report(loop=loop)
    assert found.times_loop is None
    assert "hand-written loop: not measured: it reads all rows" in found.sentences


@pytest.mark.parametrize("width", [60, 80, 96, 120])
def test_the_report_fits_its_width(width):
    found = report(step=(0.5, "decoding is the bottleneck: read fewer columns"))
    text = found.text(width)
    assert max(map(len, text.splitlines())) <= width
    for label in ("shardline, as asked", "hand-written loop"):
        assert label in re.sub(r"\s+", " ", text)
    json.dumps(found.to_dict(), allow_nan=False)
