"""Turns of `shardline bench`: rows and times are counted as they are."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns, examples, write_rows
from support.benched import FUNCTIONS, turn

import shardline
from shardline import ShardlineTypeError
from shardline.benchmark import clock, loader_turn, loop_turn
from shardline.benchmark.client import Server
from shardline.benchmark.turn import Failed, Result

NOT_WRITABLE = "ignore:The given NumPy array is not writable:UserWarning"


@pytest.fixture(scope="module")
def server():
    """The process that makes turns: one for all tests."""
    with Server() as started:
        yield started


@pytest.fixture
def place(tmp_path):
    (tmp_path / "steps.py").write_text(FUNCTIONS)
    return lambda name: f"{tmp_path / 'steps.py'}:{name}"


@pytest.fixture
def fake(monkeypatch):
    """A clock that only the test moves."""
    now = [100.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.mark.filterwarnings(NOT_WRITABLE)
@examples(25)
@given(
    groups=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=4),
    size=st.integers(1, 25),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
)
def test_rows_are_counted_as_they_come(tmp_path_factory, groups, size, drop_last, shuffle):
    total = sum(map(sum, groups))
    if drop_last and total < size:
        return
    folder = write_rows(tmp_path_factory.mktemp("d"), groups)
    options = {"drop_last": drop_last, "shuffle": shuffle, "batch_size": size}
    loader = shardline.DataLoader(folder, **options)
    assert list(loader_turn._sizes(loader)) == [len(batch["i"]) for batch in shardline.DataLoader(folder, **options)]
    assert sum(loop_turn._sizes(turn(folder, "loop", batch_size=size), None)) == total


def test_the_first_batch_is_not_in_the_rate(fake):
    turn = clock.Clock(seconds=20)

    def batches():
        for _ in range(100):
            fake[0] += 3
            yield 10

    assert turn.through(batches()) is False
    assert turn.times() | {"peak_bytes": 0} == {
        "rows": 60, "batches": 6, "seconds": 18, "first_seconds": 3, "peak_bytes": 0
    }  # fmt: skip
    assert turn.waited == 18


def test_a_step_of_the_model_is_no_waiting(fake):
    turn = clock.Clock(seconds=40, step_seconds=5)

    def batches():
        for _ in range(100):
            fake[0] += 3
            yield 10

    assert turn.through(batches()) is False
    assert (turn.batches, turn.waited, turn.times()["seconds"]) == (4, 12, 37)


@pytest.mark.filterwarnings(NOT_WRITABLE)
@pytest.mark.parametrize("type_", columns.ALL, ids=str)
def test_the_hand_written_loop_takes_every_type(tmp_path, type_):
    array = columns.random_array(np.random.default_rng(0), type_, 30, 0)
    pq.write_table(pa.table({"c": array}), tmp_path / "x.parquet")
    assert sum(loop_turn._sizes(turn(tmp_path, "loop", batch_size=7), None)) == 30


@pytest.mark.filterwarnings(NOT_WRITABLE)
def test_the_hand_written_loop_makes_tensors():
    wanted = {
        "int": (pa.array([1, 2]), torch.tensor([1, 2])),
        "list": (pa.array([[1.5], []], pa.list_(pa.float32())), (torch.tensor([1.5]), torch.tensor([0, 1, 1]).int())),
        "fixed": (pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)), torch.tensor([[1, 2], [3, 4]])),
        "time": (pa.array([5], pa.timestamp("us")), torch.tensor([5])),
    }
    assert loop_turn.column(pa.array(["a", None])) == ["a", None]
    for array, value in wanted.values():
        torch.testing.assert_close(loop_turn.column(array), value)


def test_turns_in_processes_of_their_own(server, hundred, place):
    found = server.run(turn(hundred, seconds=0.05), 30)
    assert isinstance(found, Result)
    assert (found.rows > 0, found.row_bytes) == (True, 12.0)
    found = server.run(turn(hundred, seconds=0.05, transform=place("prints")), 30)
    assert isinstance(found, Result)
    assert "KeyError: 'label'" in server.run(turn(hundred, transform=place("raises")), 30).why
    assert "its process died" in server.run(turn(hundred, transform=place("dies")), 30).why
    assert server.run(turn(hundred, transform=place("hangs")), 0.2) == Failed("no two batches within 0.2 s")
    assert isinstance(server.run(turn(hundred, seconds=0.05), 30), Result)
    with pytest.raises(ShardlineTypeError, match="cannot be sent to a new process"):
        server.run(turn(hundred, transform=lambda batch: batch), 30)


def test_a_slow_loader_lets_the_model_wait(server, hundred, place):
    found = server.run(turn(hundred, seconds=0.3, transform=place("slow"), step_seconds=0.001), 30)
    assert found.waited_seconds > 0.5 * found.seconds
    assert found.verdict.startswith("transform is the bottleneck")
