"""Delta tables that are damaged, gone, or ask for what there is not: each its own error."""

import shutil
import sys

import pytest
from deltalake import DeltaTable, write_deltalake
from support import delta
from test_delta import files_of, read, table, two_files

import shardline
from shardline import FileChangedError, ShardlineFileNotFoundError, ShardlineValueError, StructuredDataset


@pytest.fixture
def path(tmp_path):
    return two_files(tmp_path / "db" / "a table")


def test_what_is_not_there(path, tmp_path, monkeypatch):
    with pytest.raises(ShardlineValueError, match="has no version 7; its newest is 1"):
        read(path, version=7)
    with pytest.raises(ShardlineFileNotFoundError, match="no Delta table here"):
        read(path.parent)
    for _ in range(2):
        write_deltalake(path, table(30, 31), mode="append")
    gap = tmp_path / "gap"
    shutil.copytree(path, gap)
    delta.log_file(gap, 1).unlink()
    with pytest.raises(ShardlineValueError, match=f"{gap}: .* cannot be read"):
        read(gap)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(shardline.ShardlineImportError, match=r'pip install "shardline\[delta\]"'):
        read(path)


def test_a_version_whose_log_was_cleaned(path):
    write_deltalake(path, table(30, 31), mode="append")
    DeltaTable(path).create_checkpoint()
    for version in range(2):
        delta.log_file(path, version).unlink()
    assert len(read(path)) == 31
    with pytest.raises(ShardlineValueError, match="version 1 of the Delta table cannot be read any more"):
        read(path, version=1)


def test_checkpoints_that_are_cut_short_or_gone(path):
    DeltaTable(path).create_checkpoint()
    delta.log_file(path, 0).unlink()
    (checkpoint,) = (path / "_delta_log").glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()
    for cut in (whole[:-10], whole[:100], b""):
        checkpoint.write_bytes(cut)
        with pytest.raises(ShardlineValueError, match=f"{path}: the Delta table cannot be read: .*(Parquet|heckpoint)"):
            read(path)
    checkpoint.unlink()
    with pytest.raises(ShardlineValueError, match=f"{path}: the Delta table cannot be read"):
        read(path)


def test_a_table_without_rows(tmp_path):
    none = table(0, 1).slice(0, 0)
    write_deltalake(tmp_path / "t", none)
    with pytest.raises(ShardlineFileNotFoundError, match="version 0 of the Delta table .* has no file"):
        read(tmp_path / "t")
    delta.add_file(tmp_path / "t", "x.parquet", none)
    with pytest.raises(ShardlineValueError, match="1 file under .* hold no row"):
        read(tmp_path / "t")


def test_files_that_are_gone_or_other_ones(path):
    first, second = files_of(path)
    with pytest.raises(FileChangedError, match=r"says 20: the file was written over"):
        shutil.copy(path / second, path / first)
        read(path)
    (path / first).unlink()
    with pytest.raises(FileChangedError, match=rf"{first}.* version 1 of the Delta table .*VACUUM"):
        read(path)


def test_deletes_that_cannot_be_read(path):
    first, second = files_of(path)
    delta.delete(path, {first: [20]})
    with pytest.raises(ShardlineValueError, match="mask length 21 exceeds numRecords 20"):
        read(path)
    delta.delete(path, {first: [1]}, inline=False)
    (vector,) = path.glob("deletion_vector_*.bin")
    whole = vector.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-6], b""):
        vector.write_bytes(damaged)
        with pytest.raises(
            ShardlineValueError, match="a deletion vector of version 3 of the Delta table cannot be read"
        ):
            read(path)
    delta.delete(path, {second: range(0, 10, 2)}, inline=False)
    (other,) = set(path.glob("deletion_vector_*.bin")) - {vector}
    shutil.copy(other, vector)
    with pytest.raises(ShardlineValueError, match="a deletion vector of version 4 of the Delta table cannot be read"):
        read(path)
    vector.unlink()
    with pytest.raises(ShardlineValueError, match="a deletion vector of version 4"):
        read(path)
    delta.delete(path, {first: range(20), second: range(10)})
    with pytest.raises(ShardlineValueError, match="all 30 rows in 2 files .* were deleted"):
        read(path)


def test_tables_that_are_refused_by_name(path, tmp_path):
    files = files_of(path)
    clone = tmp_path / "clone"
    shutil.copytree(path, clone)
    add = delta.live(clone)[files[0]]
    delta.commit(clone, {"add": {**add, "path": f"file://{path}/{files[0]}"}})
    with pytest.raises(ShardlineValueError, match="shallow clone"):
        read(clone)
    meta = delta.entry(path, "metaData")
    odd = tmp_path / "odd"
    shutil.copytree(path, odd)
    delta.commit(odd, delta.protocol(odd, "futureFeature"))
    with pytest.raises(ShardlineValueError, match="futureFeature"):
        read(odd)
    delta.commit(path, *({"remove": {"path": file, "dataChange": True}} for file in files))
    with pytest.raises(ShardlineFileNotFoundError, match="version 2 of the Delta table .* has no file"):
        read(path)
    assert meta["partitionColumns"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": None, "version": 1}, "version= is for tables"),
        ({"format": "parquet", "timestamp": "2024-01-01T00:00:00Z"}, "timestamp= is for tables"),
        ({"version": 1, "timestamp": "2024-01-01T00:00:00Z"}, "two ways to say one thing"),
        ({"timestamp": "2024-01-01"}, "no time zone"),
        ({"timestamp": "yesterday"}, "no time in ISO 8601"),
        ({"partitioning": "hive"}, "partitioning= has no meaning for a table"),
        ({"missing_columns": "null"}, "missing_columns= has no meaning for a table"),
    ],
)
def test_arguments_that_do_not_go_together(path, options, words):
    with pytest.raises(ShardlineValueError, match=words):
        read(path, **options)
    with pytest.raises(ShardlineValueError, match="one directory"):
        StructuredDataset([path, path], format="delta")
