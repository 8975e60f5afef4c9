"""Iceberg tables in a store: read with the store's options, retries and credentials, and nothing else asked for."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, servers
from support.iceberg import Table
from support.store import Fault, Store

from shardline import FileChangedError, Plan, ShardlineFileNotFoundError, StructuredDataset

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


BIG = 200_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A file of a wide column beside the numbers, and deletes of each kind: the last snapshot has those by equality."""
    table = Table.create(tmp_path_factory.mktemp("big") / "t", version=3, prefix="s3://bucket")
    wide = pa.array([hashlib.sha256(n.to_bytes(8, "big")).hexdigest() for n in range(BIG)])
    file = table.append(pa.table({"i": pa.array(range(BIG), pa.int64()), "s": wide}), row_group_size=50_000)
    table.append(rows(BIG, BIG + 10))
    table.commit([table.positions({file.path: range(0, BIG, 3)}, file)])
    table.commit(table.vectors({file.path: range(0, BIG, 2)}))
    table.commit([table.equality(pa.table({"i": pa.array([1, 3], pa.int64())}), [1])])
    return table


def test_planning_reads_no_data_but_the_keys_of_equality_deletes(big):
    """Of a data file the footer; and a run that has the plan asks for nothing but data files."""
    with Store() as store:
        upload(store, big)
        file = max(big.data, key=lambda each: each.size)
        key = file.path.removeprefix("s3://bucket/")
        numbers = pq.read_metadata(f"/{key}").row_group
        of_keys = sum(numbers(group).column(0).total_compressed_size for group in range(4))

        def read_of(snapshot):
            store.requests.clear()
            dataset = open_table(store, big, snapshot=snapshot, batch_size=10_000)
            asked = [request.range for request in store.requests if request.key == key and request.range]
            return dataset, asked

        for snapshot in big.metadata["snapshots"][:4]:
            _, asked = read_of(snapshot["snapshot-id"])
            assert len(asked) == 1, "one request"
            ((start, stop),) = asked
            assert stop == file.size, "for the end of the file"
            assert stop - start <= 64 << 10
        dataset, asked = read_of(big.current)
        assert sum(stop - start for start, stop in asked) < 1.1 * of_keys + (64 << 10) < file.size / 3, (
            "of the key column"
        )
        store.requests.clear()
        again = StructuredDataset(
            plan=Plan.from_bytes(dataset.plan.to_bytes()),
            columns=["i"],
            batch_size=10_000,
            storage_options=store.options,
        )
        found = sorted(row for batch in ids(again) for row in batch)
        assert found == [i for i in range(BIG + 10) if i >= BIG or (i % 2 and i not in (1, 3))]
        assert {request.key for request in store.requests} <= {
            each.path.removeprefix("s3://bucket/") for each in big.data
        }


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
