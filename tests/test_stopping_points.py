"""Every stopping point of an epoch of more than 200 batches, resumed in a process of its own, into the next epoch.

Of local files all of them; of real stores some, and all in `make test-long`.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import servers, stops

BATCHES = 204
COLD = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """2,037 rows in files and row groups of many sizes, none a multiple of the batch."""
    place = tmp_path_factory.mktemp("stops")
    rng = np.random.default_rng(3)
    start = 0
    for number, groups in enumerate([[97, 203, 41], [389], [7, 7, 7, 150, 1], [512, 111], [133, 379]]):
        schema = pa.schema([("i", pa.int64()), ("x", pa.float32()), ("t", pa.list_(pa.int32(), 2)), ("b", pa.bool_())])
        with pq.ParquetWriter(place / f"part-{number}.parquet", schema) as writer:
            for rows in groups:
                lists = [rng.integers(0, 99, 2).tolist() for _ in range(rows)]
                columns = [np.arange(start, start + rows), rng.random(rows, "f4"), lists, rng.random(rows) < 0.5]
                writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))
                start += rows
    assert start == 2037
    return place


def python(*arguments, job):
    """Runs support.stops in an interpreter of its own; what it answered, as it came."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-m", "support.stops", *map(str, arguments)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=1200,  # of a long run; the test has its own
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return json.loads(run.stdout)


def run_stops(folder, place, *, step=1, cold=0):
    """Every `step`-th stop of an epoch of what is at `place`, the files of `folder`: how many, and what was wrong."""
    jobs, wanted = [], []
    for mode in stops.SETTINGS:
        loader, here = (stops.make_loader(str(where), mode) for where in (place, folder))
        states, epochs = [loader.state_dict()], []
        for _ in range(2):
            found = []
            for batch in loader:
                found.append(stops.digest(batch))
                if not epochs:
                    states.append(loader.state_dict())
            if not epochs:
                states.append(loader.state_dict())  # the end was seen
            epochs.append(found)
        if place != folder:
            assert epochs == [[stops.digest(batch) for batch in here] for _ in range(2)]
        assert [len(epoch) for epoch in epochs] == [BATCHES, BATCHES]
        assert len(states) == BATCHES + 2
        assert (epochs[0] != epochs[1]) == (mode != "no shuffle")
        for stop, state in enumerate(states):
            if stop <= BATCHES:
                expected = [epochs[0][stop:], epochs[1]]
            else:  # seen to its end: the next epoch comes first
                expected = [epochs[1]]
            jobs.append((mode, json.dumps(state)))
            wanted.append((mode, stop, epochs[0][: min(stop, BATCHES)], expected))
    jobs, wanted = jobs[::step], wanted[::step]

    answers = python("grid", place, job=jobs)
    lost = repeated = different = 0
    for (mode, stop, before, expected), answer in zip(wanted, answers, strict=True):
        assert answer["exit"] == 0
        assert answer["torch"]
        assert answer["loaded before"] == []
        assert answer["answered before"] == 0, "each in a process of its own"
        found = answer["epochs"][: len(expected)]
        different += found != expected
        rest = [] if stop > BATCHES else found[0]
        rows = [row for _, numbers in [*before, *rest] for row in numbers]
        lost += len(set(range(2037)) - set(rows))
        repeated += len(rows) - len(set(rows))
        assert found == expected, f"{mode}, stopped after {stop} batches"

    numbers = range(0, len(jobs), len(jobs) // cold + 1) if cold else []
    numbers = [*numbers, *range(1, 1 + cold - len(numbers))]
    for number in numbers:
        expected = wanted[number][3]
        assert python("child", place, job=jobs[number])[: len(expected)] == expected
    assert (lost, repeated, different) == (0, 0, 0)
    return len(jobs)


@pytest.mark.timeout(1200)
def test_every_stopping_point_goes_on_exactly_in_a_new_process(folder, say):
    count = run_stops(folder, folder, cold=COLD)
    say(
        f"{count} stopping points ({count // 3} of each: {', '.join(stops.SETTINGS)}) of an epoch of {BATCHES} "
        f"batches, each in a new process and into the next epoch, and {COLD} cold starts: no row lost, none repeated, "
        "none that went on with other batches"
    )


@contextmanager
def published(name, folder, tmp_path):
    """Where a server of this kind has the files of `folder`; processes that begin here know how to reach it."""
    arguments = [tmp_path] if name == "seaweed" else []
    with getattr(servers, name)(*arguments) as server, pytest.MonkeyPatch.context() as patch:
        for key, value in server.environ.items():
            patch.setenv(key, value)
        place = server.publish(folder, "stops")
        yield json.dumps(place) if isinstance(place, list) else place


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["moto", "seaweed", "gcs", "azure", "web"])
def test_stopping_points_over_stores(folder, tmp_path, name):
    with published(name, folder, tmp_path) as place:
        assert run_stops(folder, place, step=59) == 11


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["moto", "seaweed", "gcs", "azure", "web"])
def test_every_stopping_point_over_stores(folder, tmp_path, name):
    with published(name, folder, tmp_path) as place:
        assert run_stops(folder, place, cold=2) == 3 * (BATCHES + 2)
