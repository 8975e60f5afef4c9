"""Tables by their names in catalogs: a SQL catalog that pyiceberg writes, and a REST one that vends credentials."""

import json
import pickle
import time

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, EqualTo, GreaterThan
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType
from support import ids
from support.catalog import RestCatalog
from support.iceberg import Table
from support.store import Store

import shardline
from shardline import IcebergDataset, ShardlineFileNotFoundError, ShardlineTypeError, ShardlineValueError
from shardline.sources.iceberg import catalog as catalogs


def rows(start, stop):
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "s": [f"text {n % 3}" for n in range(start, stop)]})


@pytest.fixture
def config(tmp_path):
    return {
        "name": "mine",
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db",
        "warehouse": f"file://{tmp_path}/warehouse",
    }


@pytest.fixture
def written(config):
    """A table of pyiceberg's own: partitioned, appended to, deleted from by copy, its columns changed."""
    catalog = SqlCatalog("mine", **{name: value for name, value in config.items() if name not in ("name", "type")})
    catalog.create_namespace("db")
    schema = Schema(NestedField(1, "i", LongType()), NestedField(2, "s", StringType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "s"))
    table = catalog.create_table("db.events", schema, partition_spec=spec)
    table.append(rows(0, 30))
    table.append(rows(30, 40))
    table.delete("i < 5")
    return table


def of(dataset):
    return sorted(row for batch in ids(dataset) for row in batch)


def scanned(table, **options):
    return sorted(table.scan(**options).to_arrow()["i"].to_pylist())


def test_a_table_that_pyiceberg_wrote(config, written):
    for snapshot in written.metadata.snapshots:
        number = snapshot.snapshot_id
        assert of(IcebergDataset("db.events", config, snapshot_id=number)) == scanned(written, snapshot_id=number)
    written.manage_snapshots().create_tag(written.metadata.snapshots[0].snapshot_id, "first").commit()
    with written.update_schema() as update:
        update.rename_column("s", "text")
        update.add_column("more", LongType())
    with written.update_spec() as spec:
        spec.remove_field("s")
    more = rows(100, 110).rename_columns(["i", "text"]).append_column("more", pa.array(range(10), pa.int64()))
    written.append(more)
    dataset = IcebergDataset("cat.db.events", config, output_format="arrow", batch_size=1000)
    found = pa.Table.from_batches(list(dataset))
    assert found.schema.names == ["i", "text", "more"]
    key = json.dumps
    wanted = written.scan().to_arrow().to_pylist()
    assert sorted(found.to_pylist(), key=key) == sorted(wanted, key=key)
    assert of(IcebergDataset("db.events", config, ref="first")) == list(range(30))


def test_files_that_were_added_by_their_names(config, written, tmp_path):
    import pyarrow.parquet as pq

    catalog = written.catalog
    table = catalog.create_table("db.plain", Schema(NestedField(1, "i", LongType()), NestedField(2, "s", StringType())))
    pq.write_table(rows(0, 9), tmp_path / "x.parquet")
    table.add_files([str(tmp_path / "x.parquet")])
    with table.update_schema() as update:
        update.rename_column("i", "n")
    table.append(rows(9, 12).rename_columns(["n", "s"]))
    found = [batch["n"].tolist() for batch in IcebergDataset("db.plain", config)]
    assert sorted(row for batch in found for row in batch) == list(range(12))


def test_create_dataloader_as_torch_dataloader_utils_has_it(config, written):
    loader, dataset = IcebergDataset.create_dataloader(
        table="db.events", catalog_config=config, batch_size=8, shuffle=True, num_workers=0, columns=["i"]
    )
    again, _ = IcebergDataset.create_dataloader(
        "db.events", config, num_workers=None, split_strategy=None, progress_interval_sec=1, show_progress=False
    )
    assert again.num_workers >= 1
    with pytest.raises(ShardlineValueError, match="split_strategy"):
        IcebergDataset.create_dataloader("db.events", config, split_strategy=object())
    assert isinstance(loader, shardline.DataLoader)
    assert loader.dataset is dataset
    assert of(loader) == scanned(written)


@pytest.mark.parametrize(
    "said", ["i > 12 and s = 'text 1'", And(GreaterThan("i", 12), EqualTo("s", "text 1")), "s in ('text 0', 'none')"]
)
def test_a_scan_filter_is_one_of_rows(config, written, said):
    dataset = IcebergDataset("db.events", config, scan_filter=said)
    assert of(dataset) == scanned(written, row_filter=said)
    both = IcebergDataset("db.events", config, scan_filter=said, filters=[("i", "<", 20)])
    assert of(both) == [row for row in scanned(written, row_filter=said) if row < 20]
    source = dataset.state_dict()["rows"]["source"]
    assert len(source["reading"]) == 32
    other = IcebergDataset("db.events", config)
    with pytest.raises(shardline.CheckpointMismatchError, match="filters"):
        other.load_state_dict(dataset.state_dict())


def test_resume_through_the_catalog(config, written):
    dataset = IcebergDataset("db.events", config, batch_size=4, shuffle=True, columns=["i"])
    iterator = iter(dataset)
    next(iterator)
    state, rest = dataset.state_dict(), [batch["i"].tolist() for batch in iterator]
    written.append(rows(50, 60))
    written.delete("i > 30 and i < 40")
    again = pickle.loads(pickle.dumps(IcebergDataset("db.events", config, batch_size=4, shuffle=True, columns=["i"])))
    assert isinstance(again, IcebergDataset)
    again.load_state_dict(state)
    assert ids(again) == rest
    assert "sqlite" not in json.dumps(state)


def test_options_are_checked_before_the_catalog_is_asked():
    for options, error, words in [
        ({"output_format": "tensorflow"}, ShardlineValueError, "output_format"),
        ({"batch_size": 0}, ShardlineValueError, "batch_size"),
        ({"partitioning": "hive"}, ShardlineValueError, "partitioning= has no meaning"),
        ({"colums": ["i"]}, ShardlineTypeError, "colums"),
        ({"snapshot_id": 1, "snapshot": 1}, ShardlineValueError, "two ways"),
        ({"snapshot_id": 1, "ref": "main"}, ShardlineValueError, "two ways"),
    ]:
        with pytest.raises(error, match=words):
            IcebergDataset("db.t", {}, **options)
    for table in ("t", "a.b.c.d", "a..b"):
        with pytest.raises(ShardlineValueError, match="namespace and the table"):
            IcebergDataset(table, {})
    with pytest.raises(ShardlineTypeError, match="table must be text"):
        IcebergDataset(7, {})
    with pytest.raises(ShardlineTypeError, match="catalog_config must be a dict"):
        IcebergDataset("db.t", "rest")


def test_what_the_catalog_does_not_have(config, written):
    with pytest.raises(ShardlineFileNotFoundError, match=r"no such table: Table does not exist: db\.none"):
        IcebergDataset("db.none", config)
    with pytest.raises(ShardlineValueError, match=r"no snapshot 7 "):
        IcebergDataset("db.events", config, snapshot_id=7)
    with pytest.raises(ShardlineValueError, match="catalog_config does not lead to"):
        IcebergDataset("db.events", {"type": "nonsense"})
    with pytest.raises(ShardlineValueError, match="scan_filter='i >' is no filter"):
        IcebergDataset("db.events", config, scan_filter="i >")
    with pytest.raises(ShardlineValueError, match="scan_filter='none = 1' is no filter"):
        IcebergDataset("db.events", config, scan_filter="none = 1")


def refuses(status, kind):
    return status, {"error": {"message": "not you", "type": kind, "code": status}}


@pytest.mark.parametrize(
    ("answer", "error", "builtin", "words"),
    [
        (
            refuses(401, "NotAuthorizedException"),
            shardline.ShardlinePermissionError,
            PermissionError,
            "refuses: .*not you",
        ),
        (refuses(403, "ForbiddenException"), shardline.ShardlinePermissionError, PermissionError, "refuses: .*not you"),
        (refuses(404, "NoSuchTableException"), ShardlineFileNotFoundError, FileNotFoundError, "no such table"),
        (refuses(500, "InternalServerError"), shardline.ShardlineOSError, OSError, "cannot be read: .*not you"),
    ],
)
def test_a_catalog_that_refuses(answer, error, builtin, words):
    with RestCatalog(lambda: answer) as catalog:
        with pytest.raises(error, match=words) as caught:
            IcebergDataset("db.t", catalog.config)
        assert isinstance(caught.value, builtin)


def test_a_catalog_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(catalogs, "SECONDS", 0.2)
    with RestCatalog(lambda: refuses(500, "late"), holds=True) as catalog:
        with pytest.raises(shardline.ShardlineTimeoutError, match="has not answered for 0.2 seconds") as caught:
            IcebergDataset("db.t", catalog.config)
        assert isinstance(caught.value, TimeoutError)


def test_a_catalog_that_is_not_there():
    with RestCatalog(lambda: (200, {})) as catalog:
        config = catalog.config
    with pytest.raises(shardline.ShardlineOSError, match="the catalog of the Iceberg table db.t cannot be read"):
        IcebergDataset("db.t", config)


def test_credentials_that_expire_are_renewed_through_the_catalog(tmp_path):
    table = Table.create(tmp_path / "t", prefix="s3://bucket")
    table.append(rows(0, 3000), row_group_size=100)
    with Store() as store:
        for path in table.path.rglob("*"):
            if path.is_file():
                store.objects[str(path).lstrip("/")] = path.read_bytes()

        def answer():
            keys = {
                "s3.endpoint": store.endpoint,
                "s3.access-key-id": f"AKID{catalog.loads}",
                "s3.secret-access-key": "s",
                "s3.session-token": f"token{catalog.loads}",
                "s3.session-token-expires-at-ms": str(int(time.time() * 1000) + 30_000),  # asked a minute before
            }
            location = f"s3://bucket{table.metadata_file()}"
            return 200, {"metadata-location": location, "metadata": table.metadata, "config": keys}

        with RestCatalog(answer) as catalog:
            dataset = IcebergDataset("db.t", catalog.config, batch_size=100, columns=["i"])
            assert of(dataset) == list(range(3000))
            assert catalog.loads > 2
            tokens = {headers.get("x-amz-security-token") for headers in store.headers}
            assert len(tokens) > 1
            assert tokens <= {f"token{n}" for n in range(1, catalog.loads + 1)}
            again = pickle.loads(pickle.dumps(dataset))
            assert "token" not in json.dumps(again.state_dict())
            assert of(again) == list(range(3000))


def test_a_store_that_shardline_cannot_use(tmp_path):
    table = Table.create(tmp_path / "t", prefix="s3://bucket")
    table.append(rows(0, 3))
    said = {"metadata-location": f"s3://bucket{table.metadata_file()}", "metadata": table.metadata}
    words = r"has its catalog sign each request .s3\.signer."
    signed = said | {"config": {"s3.signer": "S3V4RestSigner"}}
    with RestCatalog(lambda: (200, signed)) as catalog, pytest.raises(ShardlineValueError, match=words):
        IcebergDataset("db.t", catalog.config)
