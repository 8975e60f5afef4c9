"""`shardline verify`: it proves what is so, and names each fault that was planted."""

import os
from math import lcm
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns, examples, functions, write_rows
from support.command import as_json, call, fails, printed
from support.quick import Quick

import shardline
from shardline import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError, verify
from shardline.verification import processes
from shardline.verification.diagnose import Diagnosis
from shardline.verification.digest import digest, digests
from shardline.verification.job import Job, Outcome, Record
from shardline.verification.stops import draw_course
from shardline.verification.suspects import Suspects

pytestmark = pytest.mark.timeout(300)  # processes that import torch, several to a test

TRANSFORMS = """
import os, random, signal
import numpy as np
import torch
from torch.utils.data import get_worker_info

OWN = np.random.default_rng()
ONCE = np.random.default_rng(7)
CALLS = 0
FIRST = None


def augment(batch):
    noise = torch.rand(len(batch["i"])) + random.random() + np.random.rand()
    noise += float(np.random.default_rng(torch.initial_seed()).random())
    return {**batch, "x": batch["x"] * noise}


def own(batch):
    return {**batch, "x": batch["x"] + float(OWN.random())}


def unseeded(batch):
    return {**batch, "x": batch["x"] + float(np.random.default_rng().random())}


def seeded_once(batch):
    return {**batch, "x": batch["x"] + float(ONCE.random())}


def counts(batch):
    global CALLS
    CALLS += 1
    return {**batch, "x": batch["x"] + CALLS}


def every_tenth(batch):
    global CALLS
    CALLS += 1
    return {**batch, "x": batch["x"] + (CALLS % 10 == 0)}


def of_first(batch):
    global FIRST
    FIRST = batch["x"].mean() if FIRST is None else FIRST
    return {**batch, "x": batch["x"] - FIRST}


class Running:
    def __init__(self):
        self.total = 0.0

    def __call__(self, batch):
        self.total += float(batch["x"].sum())
        return {**batch, "x": batch["x"] + self.total}


running = Running()


def by_worker(batch):
    info = get_worker_info()
    return {**batch, "x": batch["x"] + (info.id if info else 0)}


def in_worker(batch):
    return {**batch, "x": batch["x"] + (get_worker_info() is not None)}


def by_rank(batch):
    return {**batch, "x": batch["x"] + int(os.environ.get("RANK", 0))}


def by_process(batch):
    return {**batch, "x": batch["x"] + os.getpid() % 1000}


def by_threads(batch):
    return {**batch, "x": batch["x"] + torch.get_num_threads()}


def raises_in_worker(batch):
    if get_worker_info() is not None:
        raise OSError("no such device")
    return batch


def raises(batch):
    return batch["label"]


def nothing(batch):
    print(batch)


def dies(batch):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """`place("own")`: that function's place. Processes start quickly."""
    monkeypatch.setattr(processes, "start", Quick)
    monkeypatch.chdir(tmp_path)
    Path("planted.py").write_text("import torch\ntorch.set_num_threads(2)\n" + TRANSFORMS)
    return lambda name: f"planted.py:{name}"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(processes, "start", Quick)


# Where it stops


@given(
    shards=st.integers(1, 6),
    steps=st.integers(1, 40),
    most=st.integers(2, 300),
    stops=st.integers(1, 12),
    ranks=st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
    workers=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 99),
)
def test_lives_follow_one_another_and_stop_where_all_ranks_can(shards, steps, most, stops, ranks, workers, seed):
    step = lcm(*ranks)
    epoch = shards * step * steps
    course = draw_course(epoch, most, stops, ranks, workers, seed)
    lives = course.lives
    assert [a.stop for a in lives[:-1]] == [b.start for b in lives[1:]]
    assert all(life.start < life.stop and life.start % step == life.stop % step == 0 for life in lives)
    assert 0 <= course.start < course.stop <= 2 * epoch
    assert course.stop - course.start <= max(most, 2 * step)
    assert course.stops == min(stops, (course.stop - course.start) // step - 1)
    if len(lives) >= len(ranks):
        assert {life.num_ranks for life in lives} == set(ranks)
    if len(lives) >= len(workers):
        assert {life.num_workers for life in lives} == set(workers)
    assert course == draw_course(epoch, most, stops, ranks, workers, seed)


def test_seeds_stop_elsewhere():
    courses = {draw_course(1000, 2000, 5, (1, 2), (0, 1), seed) for seed in range(20)}
    assert len({tuple(life.start for life in course.lives) for course in courses}) == 20


# What is the same


@pytest.mark.parametrize("type_", columns.ALL, ids=str)
def test_arrow_values_are_the_same_wherever_they_lie(type_):
    array = columns.random_array(np.random.default_rng(0), type_, 30, 0.3)
    moved = pa.concat_arrays([array[:3], array[3:20], array[20:]])
    assert digest(array[5:25]) == digest(moved[5:25])
    assert digest(array[5:25]) != digest(array[6:26])
    assert digest(array) != digest(pa.concat_arrays([array[:29], pa.nulls(1, type_), array[29:]]))


def test_every_kind_of_value_has_a_digest_that_its_copy_has_too():
    torch.manual_seed(0)
    one = functions.zoo({"i": torch.arange(9)})
    torch.manual_seed(0)
    same = functions.zoo({"i": torch.arange(9)})
    assert digests(one) == digests(same)
    other = functions.zoo({"i": torch.arange(1, 10)})
    differing = {key for key, value in digests(other).items() if value != digests(one)[key]}
    assert {"thing", "nested", "scalar", "bfloat16", "complex", "strided", "array", "5", "jagged"} <= differing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.int32)),
        (torch.tensor([[1, 2]]), torch.tensor([[1], [2]])),
        (torch.tensor([1.0]), np.array([1.0], "f4")),
        (["a", "bc"], ["ab", "c"]),
        ([1], (1,)),
        ([1], [True]),
        ([None], [0]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"a", "a"),
    ],
    ids=str,
)
def test_what_is_not_the_same(one, other):
    assert digest(one) != digest(other)


@examples(50)
@given(values=st.binary(min_size=8, max_size=64), bit=st.integers(0, 63))
def test_every_bit_counts(values, bit):
    array = np.frombuffer(values[: len(values) // 8 * 8], np.uint8).copy()
    tensor = torch.from_numpy(array).view(torch.float64)
    before = digest(tensor)
    array[bit // 8] ^= 1 << bit % 8
    assert digest(tensor) != before


# What is proven


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


# What is not

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
def test_planted_faults_are_named(hundred, place, name):
    kind, seen = FAULTS[name]
    workers = (0,) if name == "by_rank" else (0, 1, 2)
    report = verify(hundred, transform=place(name), batch_size=5, stops=3, workers=workers)
    assert not report.proven
    assert report.fault.kind == kind, report
    assert seen in " ".join(report.fault.seen)
    assert report.fault.cure in " ".join(report.text(60).replace("\n", " ").split())
    assert report.stops_tried <= report.stops_drawn == 3


def other_rows(folder):
    write_rows(folder, [[10, 20, 5], [24], [10, 10, 20]])


def other_bytes(folder):
    """Values of the last file change, and its footer does not: pages are neither compressed nor checked."""
    path = folder / "part-0002.parquet"
    whole, before = bytearray(path.read_bytes()), pq.read_table(path)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    whole[chunk.data_page_offset + chunk.total_compressed_size - 8] ^= 1
    path.write_bytes(whole)
    assert (pq.read_table(path)["i"].to_numpy() != before["i"].to_numpy()).sum() == 1


def gone(folder):
    (folder / "part-0001.parquet").unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [(other_rows, "part-0001.parquet"), (other_bytes, "part-0002.parquet"), (gone, "part-0001.parquet")],
)
def test_data_that_changed_between_runs_are_named(tmp_path, quick, change, named):
    folder = tmp_path / "d"
    folder.mkdir()
    for number, rows in enumerate(([0, 35], [35, 60], [60, 100])):
        table = pa.table({"i": pa.array(range(*rows), pa.int64())})
        path = folder / f"part-{number:04}.parquet"
        pq.write_table(table, path, row_group_size=20, compression="none", use_dictionary=False)

    def progress(done, of):
        if done == 2:
            change(folder)

    report = verify(folder, batch_size=5, stops=3, progress=progress)
    assert report.fault.kind == "data", report
    assert named in " ".join(report.fault.seen)
    assert report.stops_tried >= 1


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


# Nothing was found out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "KeyError: 'label'"),
        ("nothing", "it returned None"),
        ("dies", "ended by SIGKILL"),
        ("augmnt", "did you mean 'augment'"),
        ("OWN", "OWN is not a function"),
    ],
)
def test_a_transform_that_does_not_work_at_all(hundred, place, name, said):
    with pytest.raises(ShardlineRuntimeError) as error:
        verify(hundred, transform=place(name), batch_size=5)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"transform": "none.py:f"}, shardline.ShardlineFileNotFoundError, "no such file: none.py"),
        ({"transform": "augment"}, ShardlineValueError, 'write "file.py:function"'),
        ({"transform": 3}, ShardlineTypeError, "transform must be a function or its place"),
        ({"transform": lambda batch: batch}, ShardlineTypeError, "cannot be sent to a new process"),
        ({"ranks": (1, 3), "num_shards": 4}, ShardlineValueError, "3 does not divide num_shards=4"),
        ({"ranks": 2}, ShardlineTypeError, "ranks must be a list of numbers"),
        ({"workers": (-1,)}, ShardlineValueError, "workers must be between 0"),
        ({"num_workers": 2}, ShardlineTypeError, "num_workers= is not taken"),
        ({"batchsize": 2}, ShardlineTypeError, "did you mean batch_size="),
        ({"ranks": (64,)}, ShardlineValueError, "fewer than the 64 shards"),
    ],
)
def test_wrong_arguments_are_named(rows, quick, options, error, said):
    with pytest.raises(error, match=said.replace("(", r"\(")):
        verify(rows([[40]]), **{"batch_size": 5, **options})


def test_a_process_that_hangs_is_given_up(hundred, tmp_path, quick):
    os.mkfifo(tmp_path / "never")
    (tmp_path / "waits.py").write_text(f"def wait(batch):\n    open({str(tmp_path / 'never')!r})\n    return batch\n")
    with pytest.raises(ShardlineRuntimeError, match="not done after 2 s"):
        verify(hundred, transform=f"{tmp_path / 'waits.py'}:wait", timeout=2)


# On the command line


def test_the_command_prints_the_report_and_exits_with_1_where_a_fault_is(hundred, place):
    arguments = ("verify", hundred, "-b", 5, "--stops", 2, "--shuffle", "--shuffle-seed", 3)
    found = as_json(*arguments, "--transform", place("augment"))
    assert (found["proven"], found["fault"], found["stops_tried"], len(found["runs"])) == (True, None, 2, 3)
    text = printed(*arguments, "--transform", place("counts"), "--workers", 0, "--ranks", 1, code=1, width=60)
    assert "Not proven: a resumed run differs. 1 of 2 stops tried (seed 0)." in " ".join(text.split())


def test_wrong_use_of_the_command(hundred):
    assert "write numbers" in " ".join(fails("verify", hundred, "--ranks", "a", code=2).split())
    assert call("verify", hundred, "--stops", 0).exit_code == 2
    assert "--transform" in fails("verify", hundred, "-o", "transform=f", code=2)
