"""Every stopping point of an epoch of more than 200 batches, resumed in a process of its own, into the next epoch.

Of local files all of them; of real stores some, and all in `make test-long`. There, too, each is in a process that
has not imported shardline before.
"""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import programs, servers, stops

BATCHES = 204


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


def start(start_program, what, place, tmp_path, jobs):
    """Runs support.stops in a process of its own; what it answered."""
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    asked.write_text(json.dumps(jobs))
    answered.unlink(missing_ok=True)
    run = start_program(stops.__file__, what, str(place), str(asked), str(answered))
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return json.loads(answered.read_text())


def fork(*arguments):
    """In a process that has imported torch."""
    return programs.run(*arguments, timeout=3600)  # the test has its own


def cold(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100, check=False)


def some(items, count):
    """So many of them, at equal distances."""
    return [items[number * len(items) // count] for number in range(count)]


def run_stops(folder, place, tmp_path, *, modes=tuple(stops.SETTINGS), step=1, fresh=1, cold_starts=0):
    """Every `step`-th stop of an epoch of what is at `place`, the files of `folder`: how many.

    `fresh`: how many are tried in a process that imports shardline too, and `cold_starts`: torch as well.
    """
    jobs, wanted = [], []
    for mode in modes:
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
            jobs.append((mode, state))
            wanted.append((mode, stop, epochs[0][: min(stop, BATCHES)], expected))
    jobs, wanted = jobs[::step], wanted[::step]

    answers = start(fork, "forks", place, tmp_path, jobs)
    for (mode, stop, before, expected), answer in zip(wanted, answers, strict=True):
        found = answer[: len(expected)]
        assert found == expected, f"{mode}, stopped after {stop} batches"
        rows = [row for _, numbers in [*before, *([] if stop > BATCHES else found[0])] for row in numbers]
        assert sorted(rows) == list(range(2037))
    for start_program, count in ((fork, fresh), (cold, cold_starts)):
        for number in some(range(len(jobs)), count):
            [answer] = start(start_program, "child", place, tmp_path, [jobs[number]])
            assert answer[: len(wanted[number][3])] == wanted[number][3]
    return len(jobs)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", stops.SETTINGS)
def test_every_stopping_point_goes_on_exactly_in_a_new_process(folder, tmp_path, mode, say):
    count = run_stops(folder, folder, tmp_path, modes=[mode], fresh=10, cold_starts=1)
    say(
        f"{mode}: {count} stopping points of an epoch of {BATCHES} batches, each in a process of its own and into the "
        "next epoch, 10 of them again in one that imports shardline, and 1 cold start: no row lost, none repeated, "
        "none that went on with other batches"
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", stops.SETTINGS)
def test_every_stopping_point_goes_on_exactly_where_shardline_is_imported_anew(folder, tmp_path, mode):
    run_stops(folder, folder, tmp_path, modes=[mode], fresh=BATCHES + 2, cold_starts=4)


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
        assert run_stops(folder, place, tmp_path, step=59) == 11


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["moto", "seaweed", "gcs", "azure", "web"])
def test_every_stopping_point_over_stores(folder, tmp_path, name):
    with published(name, folder, tmp_path) as place:
        assert run_stops(folder, place, tmp_path, fresh=6, cold_starts=2) == 3 * (BATCHES + 2)
