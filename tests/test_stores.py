"""Files in a store: named, listed and read as local ones are; options, credentials, secrets, metrics."""

import contextlib
import copy
import json
import logging
import pickle
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, take, write_rows
from support.store import BUCKET, Fault, Store

import shardline
from shardline import DataLoader, Plan, StructuredDataset

SECRET = "secret-of-the-tests"


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture
def store(data):
    with Store(data) as server:
        yield server


def open_store(store, path=None, **arguments):
    arguments = {"batch_size": 7, "storage_options": store.options, **arguments}
    return StructuredDataset(store.url if path is None else path, **arguments)


@pytest.mark.parametrize(
    "shuffle", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 0, "num_shards": 3}]
)
def test_the_batches_are_those_of_the_same_files_here(store, data, shuffle):
    here, there = StructuredDataset(data, batch_size=7, **shuffle), open_store(store, **shuffle)
    assert there.plan == here.plan
    assert there.schema == here.schema
    for _ in range(2):
        assert ids(there) == ids(here)
    state = there.state_dict()
    assert state == here.state_dict(), "a state does not say where the files are"
    metrics = there.get_metrics()
    assert metrics["store_requests"] > 0
    assert metrics["store_bytes"] > 0
    assert metrics["store_wait_seconds"] >= 0


@pytest.mark.parametrize("prefetch", [1, 300_000, "64MiB"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_columns_and_groups_of_many_parts(tmp_path, prefetch, shuffle):
    """Column chunks of several parts, some left out, read with any memory."""
    rng = np.random.default_rng(1)
    rows = 30_000
    table = pa.table(
        {
            "a": rng.random(rows),
            "skipped": rng.random(rows),
            "t": pa.array([row.tolist() for row in rng.integers(0, 9, (rows, 3))], pa.list_(pa.int64())),
            "s": pa.array([str(n) * 5 for n in range(rows)]),
            "i": np.arange(rows),
        }
    )
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        part = table.slice(number * 15_000, 15_000)
        pq.write_table(
            part, folder / f"{number}.parquet", row_group_size=9_000, compression="none", use_dictionary=["s"]
        )
    arguments = {"columns": ["i", "t", "a", "s"], "output_format": "arrow", "batch_size": 1000, "shuffle": shuffle}
    wanted = pa.Table.from_batches(list(StructuredDataset(folder, **arguments)))
    with Store(folder) as store:
        found = open_store(store, prefetch_bytes=prefetch, **arguments)
        assert pa.Table.from_batches(list(found)).equals(wanted)
        size = sum(map(len, store.objects.values()))
        assert found.get_metrics()["store_bytes"] < 3 * size


def test_what_is_read_ahead_is_bounded_and_read_once(tmp_path):
    write_rows(tmp_path, [[200_000] * 4])
    with Store(tmp_path) as store:
        dataset = open_store(store, batch_size=1000, prefetch_bytes="1MiB", num_threads=1)
        before = store.count()
        iterator = iter(dataset)
        next(iterator)
        time.sleep(0.3)
        size = len(store.objects["data/part-0000.parquet"])
        ahead = sum(request.range[1] - request.range[0] for request in store.requests[before:] if request.range)
        assert ahead < size / 2, f"{ahead} of {size} bytes were fetched for the first batch of a 1 MiB budget"
        list(iterator)
        everything = sum(r.range[1] - r.range[0] for r in store.requests[before:] if r.range)
        assert everything < 1.2 * size, "nothing is fetched twice"


def test_roots_globs_and_lists(store):
    for key in (
        "data/x/_hidden/a.parquet",
        "data/x/deep/b.parquet",
        "data/notes.txt",
        "data/.c.parquet",
        "data/_SUCCESS",
    ):
        store.objects[key] = store.objects["data/part-0001.parquet"]

    def names(path):
        return [name for name, _, _ in open_store(store, path).plan.files()]

    base = f"s3://{BUCKET}"
    assert names(f"{base}/data") == names(f"{base}/data/") == names(f"s3a://{BUCKET}/data")
    assert names(f"{base}/data") == ["part-0000.parquet", "part-0001.parquet", "part-0002.parquet", "x/deep/b.parquet"]
    assert names(f"{base}/data/part-0001.parquet") == ["part-0001.parquet"]
    assert names(f"{base}/data/part-*2.parquet") == ["part-0002.parquet"]
    assert names(f"{base}/*/**/b.parquet") == ["data/x/deep/b.parquet"]
    assert names(f"{base}/data/part-000[01].parquet") == ["part-0000.parquet", "part-0001.parquet"]
    assert names([f"{base}/data/x", f"{base}/data/part-0001.parquet"]) == ["part-0001.parquet", "x/deep/b.parquet"]
    assert names(base)[0] == "data/part-0000.parquet"
    for path, error, words in (
        (f"{base}/nowhere", FileNotFoundError, "nowhere"),
        (f"{base}/data/*.csv", FileNotFoundError, "csv"),
        ([f"{base}/data", f"{base}/data/part-0001.parquet"], ValueError, "twice"),
        ([f"{base}/data", "s3://other/data"], ValueError, "two stores"),
        ([f"{base}/data", "/data"], ValueError, "this machine"),
        (f"{base}/data/notes.txt/", FileNotFoundError, "notes"),
        ("s3://", ValueError, "bucket"),
    ):
        with pytest.raises(error, match=words) as caught:
            open_store(store, path)
        assert isinstance(caught.value, shardline.ShardlineError)


@pytest.mark.parametrize("name", ["with space", "per%20cent", "ha#sh", "ünï", "qu'ote\"", "a+b&c=d", "a*b", "x=1"])
def test_odd_names(store, name):
    store.objects = {f"data/{name}/{name}.parquet": store.objects["data/part-0001.parquet"]}
    assert [found for found, _, _ in open_store(store).plan.files()] == [f"{name}/{name}.parquet"]
    assert sum(ids(open_store(store)), []) == list(range(35, 60))


def test_objects_that_stand_for_folders_are_none(store):
    store.objects["data/part.parquet"] = b""
    store.objects["data/part.parquet/0.parquet"] = store.objects.pop("data/part-0000.parquet")
    assert open_store(store).plan.files()[0][0] == "part-0001.parquet"
    assert open_store(store).num_rows == 100
    assert open_store(store, f"s3://{BUCKET}/data/part.parquet").num_rows == 35


def test_listings_of_many_pages_and_prefixes(store):
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/day={day}/{n:03}.parquet": body for day in range(20) for n in range(23)}
    store.page = 7
    plan = open_store(store).plan
    assert [name for name, _, _ in plan.files()] == sorted(
        f"day={day}/{n:03}.parquet" for day in range(20) for n in range(23)
    )


def test_footers_come_in_one_request_each_many_at_once(store):
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/{n:03}.parquet": body for n in range(200)}
    store.latency = 0.05
    begin = time.monotonic()
    dataset = open_store(store)
    took = time.monotonic() - begin
    assert dataset.plan.num_files == 200
    assert sum(request.range is not None for request in store.requests) == 200
    assert took < 200 * 0.05 / 8, f"{took} s for 200 footers at 50 ms"


def test_a_footer_larger_than_guessed(tmp_path):
    (tmp_path / "d").mkdir()
    pq.write_table(pa.table({"i": [1]}), tmp_path / "d/0.parquet")
    wide = pa.table({"i": [2], **{f"column-{n}" * 20: [n] for n in range(900)}})
    pq.write_table(wide, tmp_path / "d/1.parquet")
    with Store(tmp_path / "d") as store:
        assert ids(open_store(store)) == [[1, 2]]


def test_files_that_are_none_are_named(store):
    good = store.objects["data/part-0001.parquet"]
    for body, words in (
        (b"", "empty"),
        (b"abc", "only 3 bytes"),
        (b"x" * 100, "not a Parquet"),
        (good[:-20], "truncated"),
    ):
        store.objects["data/part-0001.parquet"] = body
        with pytest.raises(ValueError, match=f"s3://{BUCKET}/data/part-0001.parquet.*{words}"):
            open_store(store)


def test_plans_go_along_and_are_checked(store, data):
    dataset = open_store(store)
    plan = Plan.from_bytes(dataset.plan.to_bytes())
    requests = store.count()
    again = StructuredDataset(plan=plan, batch_size=7, storage_options=store.options)
    assert store.count() == requests
    assert ids(again) == ids(dataset)
    part = dataset.plan.select([0, 2])
    assert len(sum(ids(StructuredDataset(plan=part, batch_size=7, storage_options=store.options)), [])) == 75


# The web


def test_a_web_server_with_ranges(store, data):
    wanted = ids(StructuredDataset(data, batch_size=7))
    assert ids(StructuredDataset(store.http_urls, batch_size=7)) == wanted
    assert ids(StructuredDataset(store.http_urls[1], batch_size=100)) == [list(range(35, 60))]
    store.objects["data/a b%.parquet"] = store.objects["data/part-0001.parquet"]
    url = f"{store.endpoint}/{BUCKET}/data/a%20b%25.parquet"
    assert ids(StructuredDataset(url, batch_size=100)) == [list(range(35, 60))]
    with pytest.raises(FileNotFoundError, match="list"):
        StructuredDataset(f"{store.endpoint}/{BUCKET}/data/", batch_size=7)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        StructuredDataset(f"{store.endpoint}/{BUCKET}/nowhere.parquet", batch_size=7)
    store.no_ranges = True
    with pytest.raises(OSError, match="range"):
        StructuredDataset(store.http_urls, batch_size=7)


def test_headers_for_a_web_server(store):
    options = {"headers": {"Authorization": "Bearer " + SECRET}}
    list(StructuredDataset(store.http_urls, batch_size=7, storage_options=options))
    assert all({k.lower(): v for k, v in h.items()}["authorization"] == "Bearer " + SECRET for h in store.headers)
    with pytest.raises(ValueError, match="user or password"):
        StructuredDataset(store.http_urls[0].replace("://", f"://user:{SECRET}@"), batch_size=7)
    with pytest.raises(ValueError, match="query") as caught:
        StructuredDataset(f"{store.http_urls[0]}?sig={SECRET}", batch_size=7)
    assert SECRET not in str(caught.value)


# Options and credentials


def test_unknown_options_suggest_the_near_one(store):
    for name, near in (("endpont_url", "endpoint_url"), ("acess_key_id", "access_key_id"), ("secrt", "secret")):
        with pytest.raises(ValueError, match=f'"{name}".*"{near}"'):
            open_store(store, storage_options={name: SECRET})
    with pytest.raises(ValueError, match="max_retries"):
        open_store(store, storage_options={"retry": {"max_retry": 1}})
    with pytest.raises(TypeError, match="dict"):
        open_store(store, storage_options="anon")
    with pytest.raises(TypeError, match="'?retry"):
        open_store(store, storage_options={"retry": 3})
    with pytest.raises(TypeError, match="key") as caught:
        open_store(store, storage_options={"key": [SECRET]})
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="timeout"):
        open_store(store, storage_options={"timeout": 0})


def test_options_of_a_local_path_are_an_error(data):
    with pytest.raises(ValueError, match="local"):
        StructuredDataset(data, storage_options={"key": "x"})


def authorization(store):
    return [{k.lower(): v for k, v in headers.items()}.get("authorization", "") for headers in store.headers]


def test_credentials_from_options_environment_or_none(store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    open_store(store)
    assert all("AKIDTEST" in found for found in authorization(store))
    store.headers.clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    StructuredDataset(store.url)
    assert all("AKIDENV" in found for found in authorization(store))
    store.headers.clear()
    StructuredDataset(store.url, storage_options={"anon": True})
    assert set(authorization(store)) == {""}


def test_keys_of_a_provider_are_asked_for_again_before_they_expire(store):
    calls = []

    def provider():
        calls.append(threading.get_ident())
        return {"access_key_id": f"AKID{len(calls)}", "secret_access_key": SECRET, "expires_at": time.time() + 60.2}

    options = {"endpoint_url": store.endpoint, "credential_provider": provider}
    dataset = StructuredDataset(store.url, batch_size=7, storage_options=options)
    assert len(calls) == 1
    time.sleep(0.3)
    list(dataset)
    assert len(calls) >= 2
    assert f"AKID{len(calls)}/" in authorization(store)[-1]

    def broken():
        raise RuntimeError("the vault is closed")

    with pytest.raises(PermissionError, match="the vault is closed"):
        StructuredDataset(store.url, storage_options={**options, "credential_provider": broken})
    with pytest.raises(PermissionError, match="secret_access_key"):
        StructuredDataset(store.url, storage_options={**options, "credential_provider": dict})


@pytest.mark.parametrize("status", [401, 403])
def test_who_was_denied_what_and_no_secret(store, status):
    store.faults = lambda request: Fault(status)
    with pytest.raises(PermissionError, match=rf'{status}.*AKIDTEST.*"{BUCKET}"') as caught:
        open_store(store)
    assert SECRET not in str(caught.value)
    assert store.count() == 1, "what is denied is not asked again"
    options = {"endpoint_url": store.endpoint, "anon": True}
    with pytest.raises(PermissionError, match="anonymous"):
        open_store(store, storage_options=options)


# Secrets


def test_secrets_are_nowhere_but_in_the_pickle(store, caplog):
    caplog.set_level(logging.DEBUG)
    dataset = open_store(store)
    loader = DataLoader(dataset)
    store.faults = lambda request: Fault(503) if request.number % 3 == 0 else None
    list(loader)
    shown = [repr(dataset), repr(loader), str(dataset), repr(vars(dataset)), repr(dataset._settings), caplog.text]
    shown += [
        json.dumps(loader.state_dict()),
        json.dumps(loader.get_metrics()),
        repr(dataset.plan),
        repr(dataset._settings.storage),
    ]
    assert "tried again" in caplog.text
    assert not [text for text in shown if SECRET in text]
    assert SECRET.encode() not in dataset.plan.to_bytes()
    pickled = pickle.dumps(dataset)
    assert SECRET.encode() in pickled, "workers need it"
    store.faults = lambda request: None
    dataset.set_epoch(0)
    assert ids(pickle.loads(pickled)) == ids(copy.deepcopy(dataset)) == ids(dataset)


def test_secrets_of_the_environment_stay_out_of_the_pickle(store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    dataset = StructuredDataset(store.url, storage_options={"endpoint_url": store.endpoint})
    assert SECRET.encode() not in pickle.dumps(dataset)
    assert len(list(dataset)) == 1


# The log


def test_slow_requests_and_retries_are_logged(store, caplog):
    caplog.set_level(logging.INFO, "shardline")
    options = {**store.options, "slow_request": 0.01}
    store.latency = 0.02
    store.faults = lambda request: Fault(500) if request.number == 1 else None
    open_store(store, storage_options=options)
    slow = [record for record in caplog.records if " took " in record.getMessage()]
    assert slow
    assert slow[0].levelname == "WARNING"
    assert "s3://bucket/data" in slow[0].getMessage()
    assert [
        record for record in caplog.records if "tried again" in record.getMessage() and "500" in record.getMessage()
    ]


def test_peeking_costs_little_and_two_readers_share_a_runtime(store):
    one, two = open_store(store), open_store(store, shuffle=True)
    first, second = iter(one), iter(two)
    found = [take(first, 2), take(second, 2)]
    assert sorted(sum(found[1] + ids(second), [])) == list(range(100))
    assert found[0] + ids(first) == ids(open_store(store))


# The cache


def test_a_cache_serves_later_epochs_and_processes(store, tmp_path):
    cache = tmp_path / "cache"
    given = {"storage_options": {**store.options, "cache_dir": cache}, "shuffle": True}
    dataset = open_store(store, **given)
    wanted = [ids(dataset), ids(dataset)]
    deadline = time.monotonic() + 5
    while True:  # nobody waits for the disk
        before = store.count()
        again = open_store(store, **given)
        found = [ids(again)]
        metrics = again.get_metrics()
        if metrics["store_requests"] == 0 or time.monotonic() > deadline:
            break
    assert [*found, ids(again)] == wanted
    assert metrics["store_cache_hits"] > 0
    assert all(request.range is None for request in store.requests[before:]), "a listing, and no footer"
    # Another content under the same name is not what is kept.
    name = "data/part-0001.parquet"
    store.objects[name] = store.objects[name].replace(b"ARROW:schema", b"ARROW:schemA")
    changed = open_store(store, **given)
    assert sorted(sum(ids(changed), [])) == list(range(100))
    assert changed.get_metrics()["store_requests"] > 0


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def bytes_in(folder):
    """Of the files that are there while others come and go."""
    total = 0
    for path in files_in(folder):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_a_cache_keeps_to_its_limit_and_a_damaged_or_refusing_disk_is_no_fault(tmp_path, caplog):
    write_rows(tmp_path / "data", [[20_000]] * 3)
    cache = tmp_path / "cache"
    with Store(tmp_path / "data") as store:
        given = {
            "batch_size": 1000,
            "storage_options": {**store.options, "cache_dir": str(cache), "cache_bytes": 500_000},
        }
        wanted = ids(StructuredDataset(tmp_path / "data", batch_size=1000))
        dataset = open_store(store, **given)
        for _ in range(2):
            assert ids(dataset) == wanted
            time.sleep(0.1)
            assert bytes_in(cache) <= 500_000
        for path in files_in(cache):
            with contextlib.suppress(FileNotFoundError):
                path.write_bytes(path.read_bytes()[:-3] + b"xyz")
        assert ids(open_store(store, **given)) == wanted
        (tmp_path / "file").write_bytes(b"")
        given["storage_options"]["cache_dir"] = str(tmp_path / "file")
        dataset = open_store(store, **given)
        for _ in range(2):
            assert ids(dataset) == wanted
        warned = [record for record in caplog.records if "left alone" in record.getMessage()]
        assert warned
        assert all(record.levelname == "WARNING" for record in warned)


# Filters and partitions


def test_filters_samples_and_partitions(tmp_path):
    for year in (2023, 2024):
        write_rows(tmp_path / "data" / f"year={year}", [[30, 20], [40]], start=1000 * year)
    with Store(tmp_path / "data") as store:
        for given in (
            {"filters": [("x", ">", 1_011_510.0)]},
            {"filters": [("x", "<", 1_011_510.0)], "columns": ["i"], "shuffle": True},
            {"partitioning": "hive"},
            {"partitioning": "hive", "filters": [("year", "=", 2024), ("i", "<", 2_024_033)]},
            {"sample": 0.4, "shuffle": True, "columns": ["i"]},
        ):
            wanted = ids(StructuredDataset(tmp_path / "data", batch_size=7, **given))
            loader = DataLoader(open_store(store, **given))
            found = take(loader, 2)
            state = loader.state_dict()
            assert found == wanted[:2]
            resumed = open_store(store, **given)
            resumed.load_state_dict(state)
            assert ids(resumed) == wanted[2:]
