"""Rounds of `shardline bench`: readers take turns, and differ in one thing."""

import pytest

import shardline
from shardline import ShardlineRuntimeError, StructuredDataset
from shardline.benchmark import rounds
from shardline.benchmark.readers import readers
from shardline.benchmark.turn import Failed, Result


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
