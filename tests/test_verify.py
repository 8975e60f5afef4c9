"""`shardline verify` proves what is so, and says what it tried."""

import pytest
from support.command import as_json, printed
from support.planted import plant
from support.quick import Quick

from shardline import verify
from shardline.verification import processes

pytestmark = pytest.mark.timeout(300)  # processes that import torch, several to a test


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Processes start quickly."""
    monkeypatch.setattr(processes, "start", Quick)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """`place("own")`: that function's place."""
    monkeypatch.chdir(tmp_path)
    plant(tmp_path)
    return lambda name: f"planted.py:{name}"


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True, "batch_size": 5},
        {"shuffle": True, "shuffle_seed": None, "batch_size": 7, "num_shards": 4, "drop_last": True},
        {"batch_size": 6, "filters": [("i", ">=", 20)], "output_format": "arrow", "transform": None},
    ],
    ids=["shuffled", "drawn seed, shards", "filtered, arrow"],
)
def test_what_resumes_is_proven(hundred, place, options):
    told = []
    report = verify(
        hundred,
        **{"transform": place("augment"), **options},
        stops=3,
        progress=lambda *numbers: told.append(numbers),
    )
    assert report.proven, report
    assert (report.stops_tried, report.stops_drawn, report.stops_asked) == (3, 3, 3)
    assert report.batches == 2 * report.epoch_batches == sum(run.life.stop - run.life.start for run in report.runs)
    assert report.processes == 1 + sum(run.life.num_ranks for run in report.runs)
    assert {run.life.num_ranks for run in report.runs} == {1, 2}
    assert {run.life.num_workers for run in report.runs} == {0, 1, 2}
    assert told == [(n, 5) for n in range(1, 6)]
    assert "3 of 3 stops tried" in str(report)


def test_a_part_of_a_long_epoch(hundred, place):
    report = verify(hundred, transform=place("augment"), batch_size=1, batches=12, stops=50, seed=3)
    assert report.proven
    assert (report.start > 0, report.batches) == (True, 12)
    assert (report.stops_tried, report.stops_drawn, report.stops_asked) == (5, 5, 50)
    assert "50 were asked for, and there are no more batches to stop at" in " ".join(str(report).split())


def test_the_command_prints_the_report_and_exits_with_1_where_a_fault_is(hundred, place):
    arguments = ("verify", hundred, "-b", 5, "--stops", 2, "--shuffle", "--shuffle-seed", 3)
    found = as_json(*arguments, "--transform", place("augment"))
    assert (found["proven"], found["fault"], found["stops_tried"], len(found["runs"])) == (True, None, 2, 3)
    text = printed(*arguments, "--transform", place("counts"), "--workers", 0, "--ranks", 1, code=1, width=60)
    assert "Not proven: a resumed run differs. 1 of 2 stops tried (seed 0)." in " ".join(text.split())
