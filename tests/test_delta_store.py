"""Delta tables in stores: on real servers, read, resumed and refused as on a disk; and what is asked of a store."""

import json

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta, ids, servers
from support.store import Fault, Store

from shardline import Plan, ShardlineError, ShardlineValueError, StructuredDataset

MAKE = {"batch_size": 4, "columns": ["i"], "shuffle": True, "shuffle_buffer_size": 9}


def table(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


@pytest.fixture
def path(tmp_path):
    """Two files of 20 and 10 rows, of which 3 are deleted by a vector in the log and 5 by one in a file."""
    path = tmp_path / "a table"
    write_deltalake(path, table(0, 20))
    write_deltalake(path, table(20, 30), mode="append")
    first, second = sorted(delta.live(path))
    delta.delete(path, {first: [0, 1, 2]})
    delta.delete(path, {second: range(5)}, inline=False)
    return path


@pytest.fixture(scope="module", params=["moto", "seaweed", "gcs", "azure"])
def server(request, tmp_path_factory):
    folder = [tmp_path_factory.mktemp("seaweed")] if request.param == "seaweed" else []
    with getattr(servers, request.param)(*folder) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environ.items():
            patch.setenv(name, value)
        yield running


def test_read_and_resumed_as_on_a_disk(server, path, tmp_path, caplog):
    here = StructuredDataset(path, format="delta", **MAKE)
    wanted = [ids(here), ids(here)]
    url = server.publish(path, "delta/events")
    dataset = StructuredDataset(url, format="delta", **MAKE)
    iterator = iter(dataset)
    found = [next(iterator)["i"].tolist() for _ in range(2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    assert state["rows"] == {**here.state_dict()["rows"], "order": state["rows"]["order"]}
    assert len({row for batch in wanted[0] for row in batch}) == 22
    for options in ({"version": 1}, {"version": 2}):
        there, disk = (StructuredDataset(of, format="delta", batch_size=40, **options) for of in (url, path))
        assert ids(there) == ids(disk)
    # Rows are added and files compacted meanwhile.
    write_deltalake(path, table(30, 60), mode="append")
    (newest,) = set(delta.live(path)) - {name for name, _, _ in here.plan.files()}
    delta.delete(path, {newest: range(3)}, inline=False)
    server.publish(path, "delta/events")
    caplog.set_level("INFO", "shardline")
    resumed = StructuredDataset(url, format="delta", **MAKE)
    resumed.load_state_dict(state)
    assert "2 newer versions" in caplog.text
    assert found + ids(resumed) == wanted[0]
    assert ids(resumed) == wanted[1]
    with pytest.raises(ShardlineValueError, match="Delta table"):
        StructuredDataset(url, **MAKE)


def test_vectors_under_a_path_that_is_encoded(path):
    """deltalake does not find their files there: the log and they are copied."""
    with Store() as store:
        store.put_folder(path, "a table")
        make = {"format": "delta", "storage_options": store.options, **MAKE}
        for version in (None, 2, 1):
            dataset = StructuredDataset("s3://bucket/a table", version=version, **make)
            assert ids(dataset) == ids(StructuredDataset(path, format="delta", version=version, **MAKE))
        data = {key for key in store.objects if key.endswith(".parquet")}
        store.requests.clear()
        dataset = StructuredDataset("s3://bucket/a table", **make)
        assert all(request.range for request in store.requests if request.key in data), "data are not copied"
        vector = next(key for key in store.objects if key.endswith(".bin"))
        del store.objects[vector]
        with pytest.raises(ShardlineValueError, match="a deletion vector of version 3 .*cannot be read"):
            StructuredDataset("s3://bucket/a table", **make)
        with pytest.raises(ShardlineError, match="s3://bucket/no table: there is no Delta table here"):
            StructuredDataset("s3://bucket/no table", **make)


def authorized(store, key):
    given = [{name.lower(): value for name, value in headers.items()} for headers in store.headers]
    return {key in headers.get("authorization", "") for headers in given}


def keys():
    return {"access_key_id": "AKIDPROVIDED", "secret_access_key": "s", "expires_at": 4e9}


def test_credentials_are_storage_options(path, monkeypatch):
    wanted = ids(StructuredDataset(path, format="delta", **MAKE))
    with Store(path) as store:
        dataset = StructuredDataset(store.url, format="delta", storage_options=store.options, **MAKE)
        assert ids(dataset) == wanted
        assert authorized(store, "AKIDTEST") == {True}
        store.headers.clear()
        provided = {name: value for name, value in store.options.items() if name not in ("key", "secret")}
        provided["credential_provider"] = keys
        dataset = StructuredDataset(store.url, format="delta", storage_options=provided, **MAKE)
        assert ids(dataset) == wanted
        assert authorized(store, "AKIDPROVIDED") == {True}
        assert "secret" not in repr(dataset)


def test_planning_reads_no_data_and_a_plan_no_log(path):
    """And a run opens no delete file."""
    big = path.parent / "big"
    write_deltalake(big, table(0, 200_000))
    (file,) = delta.live(big)
    delta.delete(big, {file: range(0, 200_000, 3)}, inline=False)
    with Store(big) as store:
        options = {"storage_options": store.options, "batch_size": 10_000, "columns": ["i"]}
        plan = StructuredDataset(store.url, format="delta", **options).plan
        size = len(store.objects[f"data/{file}"])
        asked = [request.range for request in store.requests if request.key.endswith(".parquet") and request.range]
        assert asked
        assert all(stop == size for _, stop in asked), "footers only"
        assert sum(stop - start for start, stop in asked) < size / 10
        store.requests.clear()
        again = StructuredDataset(plan=Plan.from_bytes(plan.to_bytes()), **options)
        assert sum(ids(again), []) == [i for i in range(200_000) if i % 3]
        assert {request.key for request in store.requests} == {f"data/{file}"}


def test_faults_of_a_store(path):
    with Store(path) as store:
        make = {"format": "delta", "storage_options": store.options, **MAKE}
        store.faults = lambda request: Fault(403)
        with pytest.raises(ShardlineError, match="Delta table") as caught:
            StructuredDataset(store.url, **make)
        assert "secret-of-the-tests" not in str(caught.value)
        store.faults = lambda request: Fault(404) if request.key.endswith(".bin") else None
        with pytest.raises(ShardlineValueError, match="a deletion vector of version 3"):
            StructuredDataset(store.url, **make)
        store.faults = lambda request: None
        with pytest.raises(ShardlineError, match="no Delta table here"):
            StructuredDataset(f"{store.url}/nowhere", **make)
        with pytest.raises(ShardlineValueError, match="a web server lists nothing"):
            StructuredDataset(f"{store.endpoint}/bucket/data", format="delta", **MAKE)


def test_a_file_that_was_vacuumed_is_named(path):
    with Store(path) as store:
        gone = f"data/{sorted(delta.live(path))[0]}"
        del store.objects[gone]
        with pytest.raises(ShardlineError, match=rf"{gone}.* version 3 of the Delta table .*VACUUM"):
            StructuredDataset(store.url, format="delta", storage_options=store.options, **MAKE)
    assert DeltaTable(path).version() == 3
