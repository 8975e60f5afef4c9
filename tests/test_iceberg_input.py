"""Iceberg tables that are damaged, gone, or ask for what there is not: each its own error."""

import datetime
import gzip
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.iceberg import Table
from test_iceberg import newer, read, rows, table  # noqa: F401  (fixtures)

import shardline
from shardline import (
    FileChangedError,
    ShardlineFileNotFoundError,
    ShardlineTypeError,
    ShardlineValueError,
    StructuredDataset,
)


def local(path):
    return Path(path.removeprefix("file://"))


def test_the_newest_metadata_are_found(table):  # noqa: F811
    folder = table.path / "metadata"
    assert len(read(table.path)) == 30
    table.hint.write_text("2")
    assert len(read(table.path)) == 20, "as the hint says"
    table.hint.write_text("v3.metadata.json")
    assert len(read(table.path)) == 30
    table.hint.write_text("99")
    assert len(read(table.path)) == 30, "a hint that leads nowhere is none"
    newest = folder / f"00010-{table.metadata['table-uuid']}.metadata.json"
    newest.write_bytes((folder / "v2.metadata.json").read_bytes())
    table.hint.unlink()
    assert len(read(table.path)) == 20
    packed = folder / "00011-a.gz.metadata.json"
    packed.write_bytes(gzip.compress((folder / "v3.metadata.json").read_bytes()))
    assert len(read(table.path)) == 30
    with pytest.raises(ShardlineFileNotFoundError, match="no Iceberg table here"):
        read(table.path.parent)
    with pytest.raises(ShardlineFileNotFoundError, match="v99.metadata.json"):
        read(folder / "v99.metadata.json")


def test_refs_and_times(table):  # noqa: F811
    first = table.metadata["snapshots"][0]["snapshot-id"]
    table.tag("training run", first)
    table.tag("audit", first, "branch")
    at = datetime.datetime.fromtimestamp(table.metadata["snapshots"][0]["timestamp-ms"] / 1000, datetime.UTC)
    assert len(read(table.path, ref="training run")) == len(read(table.path, ref="audit")) == 20
    assert len(read(table.path, ref="main")) == 30
    assert len(read(table.path, as_of=at)) == 20
    assert len(read(table.path, as_of=at + datetime.timedelta(hours=1))) == 30
    with pytest.raises(ShardlineValueError, match="no snapshot in the history .* is as old as as_of='2023-01-01"):
        read(table.path, as_of="2023-01-01T00:00:00Z")
    with pytest.raises(ShardlineValueError, match="no branch or tag 'trainin run'; did you mean training run"):
        read(table.path, ref="trainin run")
    with pytest.raises(ShardlineValueError, match="has no snapshot 7 .*; of the 2 that it has"):
        read(table.path, snapshot=7)
    table.expire(first)
    with pytest.raises(ShardlineValueError, match=f"no snapshot {first} "):
        read(table.path, snapshot=first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": None, "snapshot": 1}, "snapshot= is for tables: give format='iceberg'"),
        ({"format": "delta", "ref": "main"}, "ref= is for tables: give format='iceberg'"),
        ({"format": "iceberg", "version": 1}, "version= is for tables: give format='delta'"),
        ({"snapshot": 1, "ref": "main"}, "two ways to say one thing"),
        ({"ref": ""}, "ref is empty text"),
        ({"as_of": "2024-01-01"}, "no time zone"),
        ({"partitioning": "hive"}, "partitioning= has no meaning for a table"),
    ],
)
def test_arguments_that_do_not_go_together(table, options, words):  # noqa: F811
    with pytest.raises(ShardlineValueError, match=words):
        read(table.path, **options)


def test_a_table_without_snapshots_files_or_rows(tmp_path):
    table = Table.create(tmp_path / "t")  # noqa: F811
    with pytest.raises(ShardlineFileNotFoundError, match="no snapshot: nothing was written to it yet"):
        read(table.path)
    file = table.append(rows(0, 0))
    with pytest.raises(ShardlineValueError, match="1 file under .* hold no row"):
        read(table.path)
    table.commit([], remove=[file.path])
    with pytest.raises(ShardlineFileNotFoundError, match="has no file"):
        read(table.path)


def test_metadata_that_are_damaged_or_of_the_future(table):  # noqa: F811
    file = table.metadata_file()
    said = json.loads(file.read_text())
    for text, words in [
        (json.dumps(said)[:-9], "are damaged"),
        ("[]", "are damaged"),
        (json.dumps(said | {"format-version": 4}), "of format version 4, and shardline reads 1 to 3"),
        (json.dumps({k: v for k, v in said.items() if k != "location"}), "cannot be read.*location"),
        (json.dumps(said | {"properties": {"encryption.key-id": "k"}}), "is encrypted"),
    ]:
        file.write_text(text)
        with pytest.raises(ShardlineValueError, match=words):
            read(table.path)


def test_manifests_that_are_gone_or_damaged(table):  # noqa: F811
    lists = local(table.metadata["snapshots"][-1]["manifest-list"])
    manifest = local(table.manifests[table.current][0].path)
    for path in (lists, manifest):
        whole = path.read_bytes()
        for cut in (whole[:-1], whole[:-20], whole[:40], b"", whole[:-30] + b"\0" * 30):
            path.write_bytes(cut)
            with pytest.raises(ShardlineValueError, match=f"{path.name}: this manifest .* is damaged"):
                read(table.path)
        path.unlink()
        with pytest.raises(ShardlineFileNotFoundError, match=path.name):
            read(table.path)
        path.write_bytes(whole)
    assert len(read(table.path)) == 30


def test_data_files_that_are_gone_or_other_ones(table):  # noqa: F811
    first, second = (local(file.path) for file in table.data)
    with pytest.raises(FileChangedError, match="says 20: the file was written over"):
        shutil.copy(second, first)
        read(table.path)
    first.unlink()
    with pytest.raises(
        FileChangedError, match=rf"{first.name}.* snapshot {table.current} of the Iceberg .*expire_snap"
    ):
        read(table.path)


def test_files_that_are_refused_by_name(table):  # noqa: F811
    file = table.data[0]
    for changed, words in [
        ({"format": "ORC"}, r"this data file of the Iceberg table is ORC, and shardline reads Parquet"),
        ({"format": "avro"}, r"this data file of the Iceberg table is AVRO"),
        ({"key": b"k"}, r"is encrypted"),
    ]:
        number = table.commit([replace(file, **changed)], parent=None)
        with pytest.raises(ShardlineValueError, match=words):
            read(table.path)
        table.metadata["current-snapshot-id"] = table.metadata["snapshots"][-1]["parent-snapshot-id"]
        assert number != table.current
    table.commit([file])
    with pytest.raises(ShardlineValueError, match=r"has the file data/.*\.parquet twice"):
        read(table.path)


def test_a_file_in_another_bucket_is_refused(tmp_path):
    table = Table.create(tmp_path / "t")  # noqa: F811
    file = table.append(rows(0, 3))
    table.commit([replace(file, path="s3://bucket/x.parquet")])
    with pytest.raises(ShardlineValueError, match=r"are in 2 stores or buckets \(this machine, s3://bucket\)"):
        read(table.path)
    table.commit([replace(file, path="hdfs://there/x.parquet")], remove=["s3://bucket/x.parquet"])
    with pytest.raises(ShardlineValueError, match=r"in a store that shardline does not read \(hdfs://\)"):
        read(table.path)


def test_files_outside_of_the_table_s_directory(tmp_path):
    table = Table.create(tmp_path / "t")  # noqa: F811
    file = table.append(rows(0, 3))
    beside = tmp_path / "beside" / "x.parquet"
    beside.parent.mkdir()
    pq.write_table(pq.read_table(local(file.path)).slice(1), beside)
    table.commit([replace(file, path=f"file://{beside}", rows=2, size=beside.stat().st_size)])
    assert [row["i"] for row in read(table.path)] == [0, 1, 1, 2, 2]
    assert StructuredDataset(table.path, format="iceberg").plan.root == str(tmp_path)


def test_vectors_that_are_damaged(newer):  # noqa: F811
    table, (first, second) = newer, newer.data  # noqa: F811
    vectors = table.vectors({first.path: [1, 2, 3], second.path: [0]})
    (puffin,) = {local(each.path) for each in vectors}
    whole = puffin.read_bytes()
    one = vectors[0]
    middle = one.offset + one.length // 2
    damages = [
        ([], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "its checksum is wrong"),
        ([], whole[:middle], "bytes before the vector does"),
        ([], whole[:4] + bytes(8) + whole[12:], "does not begin as a vector does"),
        ([replace(one, rows=2)], whole, "it deletes 3 rows, and its manifest says 2"),
        ([replace(one, offset=None)], whole, "does not say where in the file"),
        ([replace(one, length=one.length - 1)], whole, "does not begin as a vector does"),
        ([replace(one, length=5)], whole, "does not say where in the file"),
        ([one, replace(one)], whole, "has two deletion vectors"),
    ]
    start = table.current
    for files, data, words in damages:
        puffin.write_bytes(data)
        table.commit(files or vectors, parent=start)
        with pytest.raises(ShardlineValueError, match=words):
            read(table.path)
    puffin.unlink()
    table.commit(vectors, parent=start)
    with pytest.raises(FileChangedError, match=r"\.puffin.* it is a delete file .*would come back"):
        read(table.path)
    beyond = table.vectors({first.path: [19, 20]})
    table.commit(beyond, parent=start)
    with pytest.raises(ShardlineValueError, match="row 20 is deleted, and it has 20 rows"):
        read(table.path)


def test_position_deletes_that_are_damaged(newer):  # noqa: F811
    table, (first, second) = newer, newer.data  # noqa: F811
    start = table.current
    delete = table.positions({first.path: [1, 2, 3]}, first)
    path = local(delete.path)
    whole = path.read_bytes()
    schema = pq.read_schema(path)
    bare = pa.schema([pa.field(each.name, each.type) for each in schema])
    columns = {"file_path": [first.path] * 3, "pos": [1, None, 2]}
    for write, words in [
        (lambda: path.write_bytes(whole[:-9]), "is damaged"),
        (lambda: path.write_bytes(b""), "is damaged"),
        (lambda: pq.write_table(pa.table(columns, schema=bare), path), "a path or a position in it is null"),
        (lambda: pq.write_table(pa.table(columns | {"pos": [1, -1, 2]}, schema=bare), path), "is negative"),
        (lambda: pq.write_table(pa.table({"pos": [1, 2, 3]}), path), "lacks the columns file_path and pos"),
        (lambda: pq.write_table(pa.table(columns, schema=bare).slice(2), path), "has 1 rows, and its manifest says 3"),
    ]:
        write()
        table.commit([delete], parent=start)
        with pytest.raises(ShardlineValueError, match=words):
            read(table.path)
    path.unlink()
    with pytest.raises(FileChangedError, match="it is a delete file"):
        read(table.path)
    table.commit([table.positions({second.path: [10]}, second)], parent=start)
    with pytest.raises(ShardlineValueError, match="row 10 is deleted, and it has 10 rows"):
        read(table.path)
    # What deletes are left over of files that are gone says nothing.
    table.commit([table.positions({"file:///gone.parquet": [10]}, second)], parent=start)
    assert len(read(table.path)) == 30


def test_equality_deletes_that_are_damaged(newer):  # noqa: F811
    table = newer  # noqa: F811
    start = table.current
    delete = table.equality(pa.table({"i": pa.array([1], pa.int64())}), [1])
    for changed, words in [
        ({"ids": [2]}, "lacks the column 's' .field 2."),
        ({"ids": []}, "says of no column that it deletes by it"),
        ({"ids": [77]}, "deleted by the field 77, which none of its schemas has"),
        ({"format": "AVRO"}, "this delete file of the Iceberg table is AVRO"),
    ]:
        table.commit([replace(delete, **changed)], parent=start)
        with pytest.raises(ShardlineValueError, match=words):
            read(table.path)
    local(delete.path).unlink()
    table.commit([delete], parent=start)
    with pytest.raises(FileChangedError, match="it is a delete file"):
        read(table.path)


def test_deletes_of_every_row(newer):  # noqa: F811
    table, (first, second) = newer, newer.data  # noqa: F811
    table.commit(table.vectors({first.path: range(20), second.path: range(10)}))
    with pytest.raises(ShardlineValueError, match="all 30 rows in 2 files .* were deleted"):
        read(table.path)


def test_without_pyiceberg(table, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "pyiceberg.table", None)
    with pytest.raises(shardline.ShardlineImportError, match=r'pip install "shardline\[iceberg\]"'):
        read(table.path)


def test_more_than_one_path(table):  # noqa: F811
    with pytest.raises(ShardlineValueError, match="one directory"):
        StructuredDataset([table.path, table.path], format="iceberg")
    with pytest.raises(ShardlineTypeError, match="snapshot"):
        read(table.path, snapshot="newest")
