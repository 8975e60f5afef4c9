"""A store that fails: every epoch ends with exactly the right rows, or raises a named error and resumes exactly."""

import os
import random
import re
import signal
import socket
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, write_rows
from support.store import Fault, Store
from support.threads import settled, threads

import shardline
from shardline import DataLoader, FileChangedError, ShardlineError, StructuredDataset

QUICK = {"init_backoff": 0.001, "max_backoff": 0.01}
TRANSIENT = [429, 500, 502, 503, 504, 408, "reset", "cut", "short", "stall", "drip"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("faults") / "data", [[100, 200, 50], [250], [100, 100, 200]])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Of several chunks: 250,000 rows."""
    return write_rows(tmp_path_factory.mktemp("faults") / "data", [[60_000, 40_000], [100_000], [50_000]])


def options(store, timeout=0.3, **retry):
    return {**store.options, "timeout": timeout, "retry": {**QUICK, **retry}}


def after_planning(store, kind, which=lambda n: True):
    """Does `kind` to the requests from here on that `which` picks, counted from 0."""
    start = store.count()
    store.faults = lambda request: Fault(kind) if which(request.number - start) else None


@pytest.mark.parametrize("kind", TRANSIENT)
@pytest.mark.parametrize("shuffle", [False, True])
def test_what_passes_is_survived(data, kind, shuffle):
    wanted = ids(StructuredDataset(data, batch_size=64, shuffle=shuffle))
    with Store(data, stall=3) as store:
        store.faults = lambda request: Fault(kind) if request.number % 4 == 1 else None
        dataset = StructuredDataset(store.url, batch_size=64, shuffle=shuffle, storage_options=options(store))
        assert ids(dataset) == wanted
        assert dataset.get_metrics()["store_retries"] > 0


NAMED = {
    403: (PermissionError, "403"),
    401: (PermissionError, "401"),
    404: (FileChangedError, r"part-\d+.parquet: the object vanished"),
    400: (OSError, "400"),
    416: (FileChangedError, "changed"),
    503: (OSError, "503"),
    "reset": (OSError, "failed 3 time"),
    "stall": (OSError, "gave nothing"),
    "drip": (OSError, "gave nothing"),
    "cut": (OSError, "failed 3 time"),
}


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("shuffle", [False, True])
def test_what_stays_is_named_and_the_run_goes_on_exactly(large, kind, shuffle):
    make = {"batch_size": 2000, "prefetch_bytes": 1, "num_threads": 1}
    if shuffle:  # few strands: the first window must not need all of the data
        make |= {"shuffle": True, "shuffle_buffer_size": 8000, "shuffle_strands": 2}
    wanted = ids(StructuredDataset(large, **make))
    timeout = 0.4 if kind in ("stall", "drip") else 10
    with Store(large, stall=3) as store:
        loader = DataLoader(store.url, storage_options=options(store, timeout, max_retries=2), **make)
        iterator, found = iter(loader), []
        error, words = NAMED[kind]
        with pytest.raises(error, match=words) as caught:
            for batch in iterator:
                found.append(batch["i"].tolist())
                if len(found) == 1:
                    after_planning(store, kind)
        assert isinstance(caught.value, ShardlineError)
        assert "s3://bucket/data" in str(caught.value)
        assert "secret-of" not in str(caught.value)
        assert found == wanted[: len(found)]
        assert 0 < loader.batch_index == len(found) < len(wanted)
        with pytest.raises(error, match=words):  # asked again, it says it again
            next(iterator)
        store.faults = lambda request: None
        resumed = DataLoader(store.url, storage_options=options(store), **make)
        resumed.load_state_dict(loader.state_dict())
        assert found + ids(resumed) == wanted


@pytest.mark.parametrize("kind", [403, 503, "reset", "stall", "cut"])
def test_planning_fails_by_name_and_leaves_nothing(data, kind):
    with Store(data, stall=60) as store:
        before = threads()
        for bad in range(5):  # the listing, or a footer
            after_planning(store, kind, lambda n, bad=bad: n >= bad)
            begin = time.monotonic()
            with pytest.raises(OSError, match="s3://bucket") as caught:
                StructuredDataset(store.url, storage_options=options(store, max_retries=1, timeout=0.1))
            assert isinstance(caught.value, ShardlineError)
            assert time.monotonic() - begin < 30  # not what the store stalls for
            assert settled(before) == before


@pytest.mark.parametrize("how", ["same size", "other size", "vanished", "same size, before the first read"])
def test_an_object_that_changed_gives_no_other_rows(tmp_path, how):
    def body(shift):
        path = tmp_path / "x.parquet"
        values = np.arange(300_000) + shift
        table = pa.table({"i": values})
        # No statistics: the footers are the same, byte for byte.
        pq.write_table(
            table, path, row_group_size=20_000, compression="none", use_dictionary=False, write_statistics=False
        )
        return path.read_bytes()

    with Store() as store:
        store.objects = {"data/0.parquet": body(0), "data/1.parquet": body(300_000)}
        make = {"batch_size": 1000, "prefetch_bytes": 1, "num_threads": 1, "storage_options": options(store)}
        loader = DataLoader(store.url, **make)
        old, new = store.objects["data/1.parquet"], body(10**6)
        assert len(old) == len(new)
        iterator, found = iter(loader), []
        if "before" in how:
            store.objects["data/1.parquet"] = new
        with pytest.raises(FileChangedError, match=r"data/1\.parquet.*(ETag|size|vanished)"):
            for batch in iterator:
                found += batch["i"].tolist()
                if len(found) == 400_000 and how != "vanished":
                    store.objects["data/1.parquet"] = new if how == "same size" else new[:-30]
                elif len(found) == 400_000:
                    del store.objects["data/1.parquet"]
        assert found == list(range(len(found)))
        assert loader.batch_index == len(found) // 1000
        store.objects["data/1.parquet"] = old
        resumed = DataLoader(store.url, **make)
        resumed.load_state_dict(loader.state_dict())
        assert found + sum(ids(resumed), []) == list(range(600_000))


def test_a_flipped_byte_is_found_by_page_checksums(tmp_path):
    values = np.random.default_rng(0).integers(0, 1 << 60, 20_000)
    pq.write_table(pa.table({"i": values}), tmp_path / "a.parquet", use_dictionary=False, write_page_checksum=True)
    with Store(tmp_path) as store:
        loader = DataLoader(store.url, batch_size=100, storage_options=options(store))
        after_planning(store, "flip", lambda n: n == 1)  # the first range after the footer
        found = []
        with pytest.raises(ValueError, match=r"a\.parquet.*(CRC|checksum)"):
            for batch in loader:
                found += batch["i"].tolist()
        assert found == values[: len(found)].tolist()


def test_the_pause_that_a_store_asks_for_is_kept(data):
    with Store(data) as store:
        store.faults = lambda request: Fault(503, retry_after=0.4) if request.number == 0 else None
        begin = time.monotonic()
        StructuredDataset(store.url, storage_options=options(store))
        assert time.monotonic() - begin >= 0.4


def test_a_body_that_broke_off_goes_on_where_it_ended(data):
    with Store(data) as store:
        dataset = StructuredDataset(store.url, storage_options=options(store))
        after_planning(store, "cut", lambda n: n < 3)
        start = store.count()
        assert len(sum(ids(dataset), [])) == 1000
        spans = [request.range for request in store.requests[start:]]
        begun = {}
        for first, last in spans:
            begun.setdefault(last, []).append(first)
        again = [firsts for firsts in begun.values() if len(firsts) > 1]
        assert again
        assert all(later > firsts[0] for firsts in again for later in firsts[1:])


@pytest.mark.parametrize("where", ["planning", "reading"])
def test_ctrl_c_is_answered_while_the_store_is_silent(data, where):
    with Store(data, stall=60) as store:
        given = options(store, timeout=60)
        loader = DataLoader(store.url, storage_options=given)
        asked = threading.Event()

        def stall(request):
            asked.set()
            return Fault("stall")

        def press():
            asked.wait(60)
            time.sleep(0.1)  # it waits for the answer by now
            os.kill(os.getpid(), signal.SIGINT)

        store.faults, thread = stall, threading.Thread(target=press)
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            next(iter(loader)) if where == "reading" else DataLoader(store.url, storage_options=given)
        assert time.monotonic() - begin < 30  # not what the store stalls for
        thread.join()


# Schedules


def schedule(data, seed):
    """One epoch under faults drawn by `seed`, resumed after every error; how many errors there were."""
    draw = random.Random(seed)
    make = {
        "batch_size": draw.choice([7, 50, 300]),
        "shuffle": draw.random() < 0.5,
        "shuffle_buffer_size": draw.choice([None, 0, 64]),
        "shuffle_seed": seed,
        "num_shards": draw.choice([None, 3]),
        "num_threads": draw.choice([1, 2]),
        "prefetch_bytes": draw.choice([1, 2**20, 2**28]),
    }
    wanted = ids(DataLoader(data, **make))
    alone = draw.random() < 0.3
    kinds = [draw.choice(TRANSIENT)] if alone else TRANSIENT
    often = draw.choice([0.02, 0.1, 0.3])
    lasting: list = []
    with Store(data, stall=1, page=draw.choice([1, 2, 1000])) as store:
        good = dict(store.objects)
        given = options(store, timeout=0.1, max_retries=draw.choice([2, 6]))

        def faults(request):
            if lasting and request.key == lasting[1]:
                return Fault(lasting[0])
            found = draw.random()
            if found < 0.01 and not lasting:
                kind = draw.choice([403, 404, 503, "reset", "changed"])
                # What changes before it was listed is no other content than the one that was planned.
                listed = {asked.key for asked in store.requests[begin:] if asked.range}
                key = draw.choice(sorted(good) if kind != "changed" else sorted(listed) or ["nothing"])
                lasting[:] = [kind, key]
                if kind == "changed" and listed:  # same size, another content
                    body = bytearray(store.objects[key])
                    body[len(body) // 3] ^= 1
                    store.objects[key] = bytes(body)
                    lasting[1] = "nothing"
            weights = [0.2 if kind in ("stall", "drip") else 1 for kind in kinds]
            return Fault(draw.choices(kinds, weights)[0]) if found < often else None

        begin, store.faults = 0, faults
        found, state, errors, named = [], None, 0, []
        while True:
            begin = store.count()
            try:
                loader = DataLoader(store.url, storage_options=given, **make)
                if state is not None:
                    loader.load_state_dict(state)
                for batch in loader:
                    found.append(batch["i"].tolist())
                    state = loader.state_dict()
                break
            except ShardlineError as error:
                named.append((error, str(error)))
                errors += 1
                lasting.clear()
                store.objects = dict(good)
                if errors > 20:
                    store.faults = lambda request: None
        assert found == wanted, f"seed {seed}: {make}"
        for error, text in named:
            assert isinstance(error, (OSError, FileChangedError, shardline.CheckpointMismatchError)), text
            assert "s3://bucket" in text or "part-" in text, text
    return errors


@pytest.mark.timeout(240)
def test_random_schedules(data):
    errors = [schedule(data, seed) for seed in range(40)]
    assert 0 < sum(map(bool, errors)) < len(errors), "some end well at once, and some do not"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_random_schedules(data):
    errors = [schedule(data, seed) for seed in range(1000, 1600)]
    assert sum(map(bool, errors)) > 50


@pytest.mark.parametrize("given", [{}, {"retry": {"retry_timeout": 1000, "max_retries": 3}}])
def test_nobody_at_the_address(given):
    """Most often it is wrong: no minutes of trying, unless these were asked for."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # a port that nobody listens at
        url = f"http://127.0.0.1:{held.getsockname()[1]}/a.parquet"
        with pytest.raises(OSError, match="refused") as caught:
            DataLoader(url, storage_options=given)
    tries = int(re.search(r"failed (\d+) time", str(caught.value)).group(1))
    if given:
        assert tries == 4
    else:
        assert 1 < tries < 10
        assert "check the address" in str(caught.value)
