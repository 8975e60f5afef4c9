"""Where an epoch's time went: the verdict names what was slow, and the counters add up."""

import logging
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.store import Store

from shardline import DataLoader
from shardline.iteration import timing
from shardline.iteration.report import epoch_report
from shardline.reading import batch_source


@pytest.fixture
def path(tmp_path):
    pq.write_table(pa.table({"x": range(1000), "y": range(1000)}), tmp_path / "x.parquet")
    return tmp_path


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves: what takes no time of it takes none."""
    now = [100.0]
    for module in (timing, batch_source):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    return now


def test_a_slow_training(path, clock):
    loader = DataLoader(path, batch_size=100)
    for _ in loader:
        clock[0] += 2
    report = loader.report()
    assert (report.batches, report.rows, report.seconds, report.training_seconds) == (10, 1000, 20, 20)
    assert report.verdict == "the training is the bottleneck: it waited for data 0% of its time"
    assert str(report).startswith("10 batches in 20.0 s, 50 rows/s, ")


def test_a_slow_transform(path, clock):
    def slow(batch):
        clock[0] += 3
        return batch

    loader = DataLoader(path, batch_size=100, transform=slow)
    for _ in loader:
        clock[0] += 1
    report = loader.report()
    assert (report.seconds, report.training_seconds, report.transform_seconds, report.waited) == (40, 10, 30, 0.75)
    assert report.verdict.startswith("transform is the bottleneck: the loop waited for it 75% of its time; ")
    assert "num_workers=2" in report.verdict


def test_a_slow_transform_in_workers(path):
    loader = DataLoader(path, batch_size=100, transform=_wait, num_workers=1, multiprocessing_context="fork")
    rows = sum(len(batch["x"]) for batch in loader)
    report = loader.report()
    assert (rows, report.batches, report.workers) == (1000, 10, 1)
    assert report.transform_seconds > 0.5 * report.seconds
    assert "num_workers=1 now" in report.verdict


def _wait(batch):
    time.sleep(0.03)  # a worker has no clock that this process could move
    return batch


def test_a_slow_store(path):
    with Store(path, latency=0.15) as store:
        loader = DataLoader(store.url, storage_options=store.options, batch_size=100)
        for _ in loader:
            pass
    report = loader.report()
    assert report.verdict.startswith("the store is the bottleneck")


def test_slow_decoding_and_delivery():
    def verdict(**counters):
        return epoch_report({"batches": 1, "loop_seconds": 10, **counters}, 10).verdict

    assert verdict(next_seconds=8, wait_seconds=6, decode_seconds=12).startswith("decoding is the bottleneck")
    assert verdict(next_seconds=8, wait_seconds=1).startswith("making tensors is the bottleneck")
    assert verdict(next_seconds=0.9, wait_seconds=0.9).startswith("the training is the bottleneck")


def test_before_the_first_batch(path):
    assert DataLoader(path).report().verdict == "nothing was delivered yet"


def test_an_epochs_end_is_logged(path, caplog):
    loader = DataLoader(path, batch_size=100)
    with caplog.at_level(logging.INFO, "shardline"):
        for _ in loader:
            pass
    [line] = [record.getMessage() for record in caplog.records if "ended" in record.getMessage()]
    assert line.startswith("epoch 0 ended: 10 batches in ")
    assert "bottleneck" in line


def test_the_counters_of_a_part_and_of_the_next_epoch(path):
    loader = DataLoader(path, batch_size=100)
    iterator = iter(loader)
    next(iterator)
    next(iterator)
    assert loader.report().batches == 2
    assert len(list(iterator)) == 8
    next(iter(loader))
    metrics = loader.get_metrics()
    assert metrics["batches"] == 1
    assert metrics["next_seconds"] <= metrics["loop_seconds"]


def test_torchs_profiler_shows_the_waiting(path):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        assert len(list(DataLoader(path, batch_size=100))) == 10
    [found] = [event for event in profile.key_averages() if event.key == "shardline.next"]
    assert found.count == 11  # the end is asked for, too
