"""`shardline bench`: rows and times are counted as they are, readers take turns, and what is said follows."""

import json
import os
import re
from dataclasses import replace
from itertools import pairwise
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns, examples, write_rows
from support.command import as_json, fails, printed

import shardline
from shardline import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError, StructuredDataset, bench
from shardline.benchmark import clock, loader_turn, loop_turn, pages_turn, rounds, run
from shardline.benchmark.client import Server
from shardline.benchmark.page_walk import pages
from shardline.benchmark.readers import readers
from shardline.benchmark.report import BenchReport
from shardline.benchmark.result import Measured
from shardline.benchmark.turn import Failed, Result, Turn

NOT_WRITABLE = "ignore:The given NumPy array is not writable:UserWarning"
FUNCTIONS = """
import os, time

def slow(batch):
    time.sleep(0.02)
    return batch

def raises(batch):
    return batch["label"]

def dies(batch):
    os._exit(3)

def hangs(batch):
    time.sleep(100)

def prints(batch):
    print("no result")
    return batch
"""


@pytest.fixture(scope="module")
def server():
    """The process that makes turns: one for all tests."""
    with Server() as started:
        yield started


@pytest.fixture
def one_server(server, monkeypatch):
    """`bench()` with that process."""

    class Same:
        def __enter__(self):
            return server

        def __exit__(self, *_):
            """It lives on."""

    monkeypatch.setattr(run, "Server", Same)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "steps.py").write_text(FUNCTIONS)
    return lambda name: f"{tmp_path / 'steps.py'}:{name}"


def turn(path, kind="loader", threads=1, batch_size=10, seconds=0.0, **more):
    """A turn over a path; with no seconds it ends at its first batch or row group."""
    arguments = more.pop("arguments", {})
    plan = StructuredDataset(path, **{"output_format": "arrow", **arguments}).plan
    return Turn(kind, plan, arguments, threads, batch_size, seconds=seconds, **more)


@pytest.fixture
def fake(monkeypatch):
    """A clock that only the test moves."""
    now = [100.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


# Pages


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
def test_pages_are_all_that_is_in_a_chunk(tmp_path, version, dictionary, codec):
    rng = np.random.default_rng(0)
    table = pa.table({
        "n": rng.integers(0, 50, 5000),
        "s": [None if i % 7 == 0 else f"text {i % 40}" for i in range(5000)],
        "l": pa.array([list(range(i % 5)) for i in range(5000)], pa.list_(pa.int32())),
    })  # fmt: skip
    how = {"data_page_version": version, "use_dictionary": dictionary, "compression": codec}
    pq.write_table(
        table, tmp_path / "x.parquet", row_group_size=3000, data_page_size=1000, write_page_checksum=True, **how
    )
    data, footer = (tmp_path / "x.parquet").read_bytes(), pq.read_metadata(tmp_path / "x.parquet")
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            chunk = footer.row_group(group).column(number)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            whole = memoryview(data)[start : start + chunk.total_compressed_size]
            found = list(pages(whole))
            headers = found[0].start + sum(b.start - a.end for a, b in pairwise(found))
            assert found[-1].end == len(whole)
            assert headers + sum(page.size + page.levels for page in found) == chunk.total_uncompressed_size
    done = pages_turn.run(turn(tmp_path, "pages", threads=2, seconds=0.05))
    assert done.rows % 1000 == 0
    assert done.page_bytes > 0


def test_what_is_no_page_is_an_error():
    for data in (b"\x00" * 40, bytes([0x15, 0, 0x15, 0x14, 0x15, 0x7F, 0]), b"\xff" * 40):
        with pytest.raises((KeyError, ValueError, IndexError)):
            list(pages(memoryview(data)))


def test_the_limit_reads_the_columns_that_are_read(tmp_path):
    pq.write_table(pa.table({"a": range(9000), "b": [0] * 9000}), tmp_path / "x.parquet", use_dictionary=False)
    a, both = (
        pages_turn.run(turn(tmp_path, "pages", arguments=arguments)).page_bytes
        for arguments in ({"columns": ["a"]}, {})
    )
    assert a == pytest.approx(both)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    for names, chunks in ((["a"], [group.column(0)]), (["a", "b"], [group.column(0), group.column(1)])):
        file = os.open(tmp_path / "x.parquet", os.O_RDONLY)
        size, _ = pages_turn.read_group(file, chunks, pages_turn.Memory())
        assert abs(size - 9000 * 8 * len(names)) < 1000


# Turns


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


# Rounds


class Clockwork:
    """A server whose turns take as long as they are given, by a clock of its own, and some time beside."""

    def __init__(self, monkeypatch, rates, beside=0.0):
        self.now, self.rates, self.beside, self.turns = 50.0, rates, beside, []
        monkeypatch.setattr(rounds.time, "monotonic", lambda: self.now)

    def run(self, turn, limit):
        self.turns.append(turn)
        self.now += turn.seconds + self.beside
        rate = self.rates[turn.kind]
        return rate if isinstance(rate, Failed) else Result(int(rate * turn.seconds), 9, turn.seconds, 0.1, 1 << 20)


RATES = {"loader": 4000, "loop": 1000, "pages": 8000}


def taken(hundred, monkeypatch, seconds, rates=RATES, **more):
    all_ = readers(
        StructuredDataset(hundred).plan, more.pop("arguments", {}), 2, 10, None, 0, more.pop("model_ms", None)
    )
    server, told = Clockwork(monkeypatch, rates, **more), []
    begin = server.now
    found = rounds.take_turns(all_, begin + seconds, server, lambda *numbers: told.append(numbers))
    return found, server, told, server.now - begin


@pytest.mark.parametrize(("seconds", "count"), [(60, 5), (12, 3), (2, 3)])
def test_every_reader_takes_its_turn_in_every_round(hundred, monkeypatch, seconds, count):
    (found, complete, shortest), server, told, took = taken(hundred, monkeypatch, seconds, beside=0.01)
    assert complete == count
    assert took == pytest.approx(seconds, rel=0.05)
    assert all(set(each.rates) == set(range(count)) for each in found.values())
    assert len(server.turns) == count * len(found)
    assert told == [(n + 1, len(server.turns)) for n in range(len(server.turns))]
    assert shortest == pytest.approx(min(each.seconds for each in server.turns))
    firsts = [repr(server.turns[n * len(found)])[:200] for n in range(count)]
    assert len(set(firsts)) > 1
    assert found["asked"].ratios(found["loop"]) == pytest.approx([4] * count, rel=0.2)


def test_turns_that_take_long_do_not_go_beyond_the_time(hundred, monkeypatch):
    (_, complete, _), _, _, took = taken(hundred, monkeypatch, 10, beside=0.7)
    assert complete >= 1
    assert took < 14


def test_what_was_asked_for_must_be_possible(hundred, monkeypatch):
    with pytest.raises(ShardlineRuntimeError, match="failed: no luck"):
        taken(hundred, monkeypatch, 10, {**RATES, "loader": Failed("no luck")})
    (found, _, _), *_ = taken(hundred, monkeypatch, 10, {**RATES, "loop": Failed("no luck")})
    assert (found["loop"].why, found["loop"].rates) == ("no luck", {})


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        ({}, {"order"}),
        ({"shuffle": True, "shuffle_strands": 2}, {"rows"}),
        ({"shuffle": True, "shuffle_buffer_size": 0}, {"splits"}),
        ({"shuffle": True, "shuffle_buffer_size": 50}, {"rows"}),
    ],
)
def test_what_differs_from_what_was_asked_in_one_thing(hundred, arguments, absent):
    plan = StructuredDataset(hundred).plan
    found = {reader.key: reader for reader in readers(plan, arguments, 4, 16, None, 0, 3.0)}
    assert {"order", "splits", "rows"} - set(found) == absent
    assert {key for key in found if key.startswith(("threads", "batch"))} == {
        "threads 1", "threads 2", "batch 4", "batch 64"
    }  # fmt: skip
    assert found["step"].turn.step_seconds == 0.003
    for reader in found.values():
        if reader.turn.kind == "loader":
            shardline.DataLoader(plan=plan, batch_size=reader.turn.batch_size, **reader.turn.arguments)


def test_what_cannot_be_compared_is_said(hundred):
    found = readers(StructuredDataset(hundred).plan, {"filters": [("i", ">", 3)]}, 1, 8, None, 0, None)
    loop = next(reader for reader in found if reader.key == "loop")
    assert (loop.turn, loop.reason) == (None, "it reads all rows, without filters=")


# The report


def measured(key, label, rates, waited=0.0, verdict="", page=0.0):
    found = Measured(key, label, 2, 10)
    for number, rate in enumerate(rates):
        found.add(number, Result(rate, 100, 1.0, 0.02, 5 << 20, 12.0, waited, verdict, page))
    return found


def report(asked=(4000, 4200, 4400), step=None, page=1 << 20, **more):
    given = {
        "asked": measured("asked", "shardline, as asked", asked),
        "batch 40": measured("batch 40", "batches of 40", [5000, 5500, 9000]),
        "threads 1": measured("threads 1", "1 thread", [3000, 6000, 6000]),
        "loop": measured("loop", "hand-written loop", [1000, 1050, 1000]),
        "pages": measured("pages", "pages only, the limit", [8000, 8000, 8000], page=page),
        **({} if step is None else {"step": measured("step", "with a step", [900, 900, 900], *step)}),
        **more,
    }
    return BenchReport("data", 1, 2, 100, 2, 10, "in file order", 0.5, 3, 1.2, 5.0 if step else None, 12.0, given)


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


# All of it


def test_the_command_measures_all_readers(one_server, hundred):
    found = as_json("bench", hundred, "--seconds", 1, "--model-ms", 1, "-b", 8, "--shuffle")
    assert found["rounds"] >= 1
    assert set(found["readers"]) == {
        *("asked", "batch 2", "batch 32", "order", "splits", "step", "loop", "pages"),
        *(key for key in found["readers"] if key.startswith("threads")),
    }
    for reader in found["readers"].values():
        assert reader["rows_per_second"] > 0, reader
        assert reader["lowest"] <= reader["rows_per_second"] <= reader["highest"]
        assert reader["bytes_per_second"] == reader["rows_per_second"] * 12
    assert found["times_loop"] > 0
    assert found["share_of_limit"] > 0
    assert isinstance(found["waits"], bool)


def test_the_command_in_60_columns(one_server, hundred):
    text = printed("bench", hundred, "--seconds", 0.5, "-b", 8, "-f", "i > 5", width=60)
    assert "hand-written loop: not measured: it reads all rows, without filters=" in " ".join(text.split())
    assert "× loop" in text


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"seconds": -1}, ShardlineValueError, "seconds must be between 0"),
        ({"model_ms": 0}, ShardlineValueError, "model_ms must be more than 0"),
        ({"num_ranks": 2, "rank": 0}, ShardlineTypeError, "rank= is not taken"),
        ({"transform": "none.py:f"}, shardline.ShardlineFileNotFoundError, "no such file"),
        ({"num_thread": 2}, ShardlineTypeError, "did you mean num_threads="),
    ],
)
def test_wrong_arguments_are_named(one_server, hundred, options, error, said):
    with pytest.raises(error, match=said):
        bench(hundred, **options)


def test_a_transform_that_fails_is_an_error(one_server, hundred, place):
    said = fails("bench", hundred, "--seconds", 1, "--transform", place("raises"))
    assert "a loader with these arguments failed: KeyError" in said
