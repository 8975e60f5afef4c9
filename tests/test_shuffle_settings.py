"""The shuffle's settings: what they come to, what they must not be, and what is said about their cost."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, write_rows

import shardline
from shardline import DataLoader
from shardline.iteration import context

MANY = [[1000], [1], [1, 1, 1], [3]]


@pytest.mark.parametrize("files", [[[1]], [[100]], [[], [], [40], []], [[10] * 20], MANY], ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle_strands": 2**16},
        {"shuffle_buffer_bytes": 1},  # less than one value
        {"shuffle_buffer_bytes": "100B", "shuffle_strands": 64},
        {"shuffle_buffer_size": 1, "shuffle_strands": 50},  # fewer rows than strands, and than a batch
        {"shuffle_buffer_size": 0},
        {"shuffle_buffer_bytes": 300, "split_rows": 1, "shuffle_strands": 7},
        {},
    ],
    ids=str,
)
def test_no_setting_loses_a_row(tmp_path, files, settings):
    write_rows(tmp_path, files)
    loader = DataLoader(tmp_path, batch_size=9, shuffle=True, columns=["i"], **settings)
    total = sum(map(sum, files))
    assert sorted(sum(ids(loader), [])) == list(range(total))
    order = loader.state_dict()["rows"]["order"]
    assert 1 <= order["strands"] <= total
    assert order["windows"] <= total


@pytest.mark.parametrize(
    "filters", [[("i", "<", 100)], [("i", ">=", 1001)], [("i", "in", [0, 999, 1005])]], ids=["begin", "end", "few"]
)
def test_a_filter_may_leave_most_of_the_data_without_a_row(tmp_path, filters):
    write_rows(tmp_path, MANY)
    make = lambda **more: DataLoader(tmp_path, batch_size=9, columns=["i"], filters=filters, **more)  # noqa: E731
    wanted = sum(ids(make()), [])
    for settings in ({"shuffle_buffer_size": 10}, {"shuffle_buffer_bytes": 200}, {"shuffle_buffer_size": 0}, {}):
        assert sorted(sum(ids(make(shuffle=True, shuffle_strands=8, **settings)), [])) == wanted


def test_a_window_mixes_rows_of_all_parts_of_the_data(tmp_path):
    write_rows(tmp_path, [[50] * 4] * 8)
    loader = DataLoader(tmp_path, batch_size=160, shuffle=True, shuffle_buffer_size=160, shuffle_strands=16)
    for batch in loader:
        assert len({row // 100 for row in batch["i"].tolist()}) == 16


def test_the_buffer_may_be_given_in_units(hundred):
    order = DataLoader(hundred, shuffle=True, shuffle_buffer_bytes="2KiB").state_dict()["rows"]["order"]
    assert order["buffer_bytes"] == 2048
    order = DataLoader(hundred, shuffle=True).state_dict()["rows"]["order"]
    assert (order["buffer_bytes"], order["buffer_rows"], order["asked_strands"]) == (128 << 20, None, None)
    with pytest.raises(shardline.ShardlineValueError, match="give one of them"):
        DataLoader(hundred, shuffle=True, shuffle_buffer_bytes=10, shuffle_buffer_size=10)


def test_the_repr_says_what_was_resolved(hundred):
    def said(**settings):
        return repr(DataLoader(hundred, batch_size=10, **settings))

    assert "not shuffled" in said()
    assert "shuffled uniformly with seed 42 (1 strand, 1 window)" in said(shuffle=True)
    rows = said(shuffle=True, shuffle_buffer_size=20, shuffle_strands=4)
    assert "shuffled with seed 42 (4 strands, 5 windows of 20 rows; splits of at most 134,217,728 bytes)" in rows
    assert "shuffled by splits with seed 42" in said(shuffle=True, shuffle_buffer_size=0)


def test_the_cost_is_said_once_before_the_first_read(tmp_path, monkeypatch, caplog):
    pq.write_table(pa.table({"i": np.arange(800)}), tmp_path / "x.parquet", row_group_size=100)
    monkeypatch.setattr(context, "_COSTLY_BYTES", 0)

    def said(**settings):
        caplog.clear()
        loader = DataLoader(tmp_path, batch_size=50, shuffle=True, **settings)
        with caplog.at_level(logging.INFO, "shardline"):
            list(loader)
            list(loader)
        (record,) = [record for record in caplog.records if "times the data" in record.getMessage()]
        return record.levelname, record.getMessage()

    # Each shard but the first opens all 8 row groups again; each strand begins and ends in its own.
    level, text = said(shuffle_buffer_size=100, shuffle_strands=8, num_shards=8)
    assert (level, "reads at most about 8.0 times the data (8 shards x 8 strands over 8 row groups)" in text) == (
        "WARNING",
        True,
    )
    # Strands of two row groups each come back to the first.
    level, text = said(shuffle_buffer_size=100, shuffle_strands=4)
    assert (level, "about 1.5 times" in text) == ("INFO", True)
    assert said(shuffle_buffer_size=100, shuffle_strands=8)[0] == "INFO"
    assert said(num_shards=8)[0] == "INFO"


def test_a_shuffle_that_mixes_badly_is_said_once(tmp_path, monkeypatch, caplog):
    pq.write_table(pa.table({"i": np.arange(8000)}), tmp_path / "x.parquet", row_group_size=1000)
    monkeypatch.setattr(context, "_MANY_ROWS", 8000)

    def said(**settings):
        caplog.clear()
        loader = DataLoader(tmp_path, batch_size=100, **settings)
        with caplog.at_level(logging.WARNING, "shardline"):
            list(loader)
            list(loader)
        return [record.getMessage() for record in caplog.records]

    (text,) = said(shuffle=True, shuffle_buffer_size=800, shuffle_strands=4)
    assert "about 4 places" in text
    assert "a batch of 100 rows is worth about 4 of a uniform shuffle. Give shuffle_strands=8 or more" in text
    (text,) = said(shuffle=True, shuffle_buffer_size=0)
    assert "about 1 places" in text
    assert "Leave out shuffle_buffer_size=0" in text
    for settings in (
        {},
        {"shuffle": True},
        {"shuffle": True, "shuffle_buffer_size": 800},
        {"shuffle": True, "shuffle_buffer_size": 800, "shuffle_strands": 8},
    ):
        assert said(**settings) == []
    # Splits so small that a batch, or a window, has many of them.
    many = write_rows(tmp_path / "many", [[10] * 800])
    assert said_of(many, caplog, shuffle_buffer_size=0) == said_of(many, caplog, shuffle_buffer_size=800) == []


def said_of(path, caplog, **settings):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "shardline"):
        list(DataLoader(path, batch_size=200, shuffle=True, split_rows=10, shuffle_strands=2, **settings))
    return [record.getMessage() for record in caplog.records]
