"""Iceberg tables in a store: read with the store's options, retries and credentials, and nothing else asked for."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from support import ids, servers
from support.iceberg import Table
from support.store import Fault, Store

from shardline import FileChangedError, ShardlineFileNotFoundError, StructuredDataset

ROWS = 3000


def rows(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n}" for n in range(start, stop)]})


@pytest.fixture
def table(tmp_path):
    """Two files, with deletes of each kind, as `s3://bucket/…` has them."""
    table = Table.create(tmp_path / "a table", version=3, prefix="s3://bucket")
    first = table.append(rows(0, ROWS), row_group_size=500)
    second = table.append(rows(ROWS, 2 * ROWS))
    table.commit([table.positions({first.path: range(100)}, first)])
    table.commit(table.vectors({second.path: range(0, ROWS, 3)}))
    table.commit([table.equality(pa.table({"i": pa.array(range(200, 300), pa.int64())}), [1])])
    return table


@pytest.fixture
def store(table):
    with Store() as store:
        upload(store, table)
        yield store


def upload(store, table):
    for path in table.path.rglob("*"):
        if path.is_file():
            store.objects[str(path).lstrip("/")] = path.read_bytes()


def open_table(store, table, path=None, **options):
    options = {"batch_size": 100, "columns": ["i"], "storage_options": store.options, **options}
    return StructuredDataset(path or f"s3://bucket{table.path}", format="iceberg", **options)


def test_a_table_in_a_store_is_that_on_a_disk(store, table):
    dataset = open_table(store, table, shuffle=True)
    wanted = sorted(row[1] for row in table.rows())
    assert sorted(row for batch in ids(dataset) for row in batch) == wanted
    assert dataset.plan.root == f"s3://bucket{table.path}"
    assert str(table.path) not in json.dumps(dataset.state_dict()["rows"])
    by_file = open_table(store, table, f"s3a://bucket{table.metadata_file()}")
    assert sorted(row for batch in ids(by_file) for row in batch) == wanted
    for first in (1, 2):
        number = table.metadata["snapshots"][first]["snapshot-id"]
        found = [row for batch in ids(open_table(store, table, snapshot=number)) for row in batch]
        assert sorted(found) == sorted(row[1] for row in table.rows(number))


def test_faults_are_tried_again(store, table):
    wanted = ids(open_table(store, table))
    kinds = [503, "cut", "reset", 429]
    store.faults = lambda request: Fault(kinds[request.number % 4]) if request.number % 3 == 0 else None
    assert ids(open_table(store, table)) == wanted


def test_what_is_gone_is_named(store, table):
    gone = next(key for key in store.objects if key.endswith(".puffin"))
    kept = store.objects.pop(gone)
    with pytest.raises(FileChangedError, match=f"s3://bucket/{gone}.*delete file"):
        open_table(store, table)
    store.objects[gone] = kept
    manifest = next(key for key in store.objects if key.endswith("-m.avro"))
    del store.objects[manifest]
    with pytest.raises(ShardlineFileNotFoundError, match=Path(manifest).name):
        open_table(store, table)
    with pytest.raises(ShardlineFileNotFoundError, match="no Iceberg table here"):
        open_table(store, table, "s3://bucket/nowhere")


def test_planning_reads_no_data_but_the_keys_of_equality_deletes(store, table):
    of_data = {file.path.removeprefix("s3://bucket/"): file.size for file in table.data}
    footers = 64 << 10

    def read_of(snapshot):
        before = len(store.requests)
        open_table(store, table, snapshot=snapshot)
        asked = store.requests[before:]
        return {
            key: sum(end - start for start, end in (each.range for each in asked if each.key == key)) for key in of_data
        }

    without = table.metadata["snapshots"][3]["snapshot-id"]
    for key, count in read_of(without).items():
        assert count < footers or count <= of_data[key], "footers only"
    footer = read_of(without)
    found = read_of(table.current)
    assert found.keys() == footer.keys()
    assert all(found[key] > footer[key] for key in found)


def test_resume_in_a_store(store, table):
    dataset = open_table(store, table, shuffle=True, shuffle_buffer_size=200)
    iterator = iter(dataset)
    next(iterator)
    state = json.loads(json.dumps(dataset.state_dict()))
    rest = [batch["i"].tolist() for batch in iterator]
    table.append(rows(10_000, 10_010))
    upload(store, table)
    again = open_table(store, table, shuffle=True, shuffle_buffer_size=200)
    again.load_state_dict(state)
    assert ids(again) == rest


@pytest.fixture(scope="module", params=["moto", "seaweed", "gcs", "azure"])
def server(request, tmp_path_factory):
    folder = [tmp_path_factory.mktemp("seaweed")] if request.param == "seaweed" else []
    with getattr(servers, request.param)(*folder) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environ.items():
            patch.setenv(name, value)
        yield running


def test_read_and_resumed_on_real_servers(server, tmp_path):
    (tmp_path / "empty").mkdir()
    bucket = server.publish(tmp_path / "empty", "x").removesuffix("/x")
    table = Table.create(tmp_path / "events", version=3, prefix=bucket)
    first, second = table.append(rows(0, 20)), table.append(rows(20, 30))
    table.commit([table.positions({first.path: [0, 1, 2]}, first), *table.vectors({second.path: range(5)})])
    table.commit([table.equality(pa.table({"i": pa.array([7], pa.int64())}), [1])])
    place = str(table.path).lstrip("/")
    url = server.publish(table.path, place)

    def make():
        return StructuredDataset(
            url, format="iceberg", batch_size=4, columns=["i"], shuffle=True, shuffle_buffer_size=9
        )

    dataset = make()
    iterator = iter(dataset)
    found = [next(iterator)["i"].tolist() for _ in range(2)]
    state = json.loads(json.dumps(dataset.state_dict()))
    rest = [batch["i"].tolist() for batch in iterator]
    assert sorted(row for batch in found + rest for row in batch) == sorted(row[1] for row in table.rows())
    table.append(rows(30, 60))
    server.publish(table.path, place)
    again = make()
    again.load_state_dict(state)
    assert ids(again) == rest
