"""`shardline bench`, all of it."""

import pytest
from support.benched import FUNCTIONS
from support.command import as_json, fails, printed

import shardline
from shardline import ShardlineTypeError, ShardlineValueError, bench
from shardline.benchmark import run
from shardline.benchmark.client import Server


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
