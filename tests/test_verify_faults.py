"""`shardline verify` names each fault that was planted."""

import pytest

from shardline import verify
from shardline.verification import processes
from shardline.verification.diagnose import Diagnosis
from shardline.verification.job import Job, Outcome, Record
from shardline.verification.stops import draw_course
from shardline.verification.suspects import Suspects

# Processes that import torch, several to a test.
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.timeout(300)]


FAULTS = {
    "own": ("generator", "the global OWN is a generator of its own (Generator)"),
    "unseeded": ("generator", "came to"),
    "seeded_once": ("state", "the global ONCE is a generator of its own"),
    "counts": ("state", "the global CALLS changed between calls"),
    "every_tenth": ("state", "the global CALLS changed"),
    "of_first": ("state", "after the batches before this one"),
    "running": ("state", "its attribute .total changed between calls"),
    "by_worker": ("worker", "in one of 2 worker processes"),
    "in_worker": ("worker", "in the only worker process"),
    "by_rank": ("rank", "on rank 1 of 2"),
    "by_process": ("process", "to another in the next process"),
    "by_threads": ("threads", "with one thread"),
    "raises_in_worker": ("fails", "OSError: no such device"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_named(hundred, planted, name):
    kind, seen = FAULTS[name]
    workers = (0,) if name == "by_rank" else (0, 1, 2)
    report = verify(hundred, transform=planted(name), batch_size=5, stops=3, workers=workers)
    assert not report.proven
    assert report.fault.kind == kind, report
    assert seen in " ".join(report.fault.seen)
    assert report.fault.cure in " ".join(report.text(60).replace("\n", " ").split())
    assert report.stops_tried <= report.stops_drawn == 3


class Answers:
    """Processes that say what a test wants them to."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def run(self, jobs):
        return [self.outcomes.pop(0) for _ in jobs]


def diagnosis(outcomes, wanted, got):
    course = draw_course(20, 100, 1, (1,), (0,), 0)
    job = Job("data", {}, None, 20, 0, 40)
    return Diagnosis(Answers(*outcomes), job, course, course.lives[1], course.lives[1].start, wanted, got)


def test_a_loader_that_gives_other_rows_is_its_own_fault():
    right, wrong = Record({"i": b"1"}, {}), Record({"i": b"2"}, {})
    assert diagnosis([Outcome([right])], right, wrong).read([]).kind == "loader"
    assert diagnosis([Outcome([wrong])], right, wrong).read([]).kind == "data"


def test_what_no_trial_explains_is_said_to_be_unknown():
    right, wrong = Record({}, {"i": b"1"}), Record({}, {"i": b"2"})
    same = Outcome([right] * 8, replayed=[[{"i": b"1"}] * 3] * 8)
    assert diagnosis([same] * 3, right, wrong).transformed().kind == "unknown"


def test_states_that_ranks_disagree_on_are_a_fault(hundred, quick, monkeypatch):
    run = processes.Processes.run

    def disagree(self, jobs):
        found = run(self, jobs)
        if len(found) > 1:
            found[1].state = {**found[1].state, "epoch": 9}
        return found

    monkeypatch.setattr(processes.Processes, "run", disagree)
    report = verify(hundred, batch_size=5, stops=2, workers=(0,))
    assert (report.fault.kind, report.fault.seen) == ("loader", ["the ranks' states differ"])


def test_suspects_are_found_in_functions_that_it_calls_and_around_it():
    counter, helper_calls = [], []

    def helper(batch):
        counter.append(1)
        return batch

    def transform(batch, seen=helper_calls):
        seen.append(1)
        return helper(batch)

    suspects = Suspects(transform)
    transform(1)
    assert suspects.changed() == ["the default of its argument seen changed between calls"]
    suspects = Suspects(helper)
    helper(1)
    assert suspects.changed() == ["the variable counter around it changed between calls"]
    assert Suspects(len).changed() == []
