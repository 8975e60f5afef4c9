"""Files of a Delta or Iceberg table are not read as plain Parquet, however they are named, unless that is said."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids
from support.store import Fault, Store, open_store

import shardline
from shardline import ShardlineValueError, StructuredDataset

LOGS = {
    "Delta": "_delta_log/00000000000000000000.json",
    "Iceberg": "metadata/00001-0b1e.metadata.json",
}


def write(folder, log=None, name="part=1/x.parquet"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"i": pa.array(range(3), pa.int64())}), path)
    if log is not None:
        (folder / log).parent.mkdir(exist_ok=True)
        (folder / log).write_text("{}")
    return path


def given(kind, table, file):
    """Ways to name the files of a table."""
    return {
        "directory": table,
        "directory above": table.parent,
        "directory inside": file.parent,
        "glob": f"{table}/**/*.parquet",
        "glob inside": f"{file.parent}/*.parquet",
        "file": file,
        "list": [file],
    }[kind]


WAYS = ["directory", "directory above", "directory inside", "glob", "glob inside", "file", "list"]


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("way", WAYS)
def test_files_of_a_table_are_refused_unless_parquet_is_said(tmp_path, kind, way):
    table = tmp_path / "db" / "table"
    file = write(table, LOGS[kind])
    path = given(way, table, file)
    with pytest.raises(ShardlineValueError, match=rf"x\.parquet: .* {kind} table .*format=\"parquet\"") as caught:
        StructuredDataset(path, batch_size=2)
    assert str(table) in str(caught.value)
    assert ids(StructuredDataset(path, batch_size=2, format="parquet")) == [[0, 1], [2]]


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("way", WAYS)
def test_so_they_are_in_a_store(tmp_path, kind, way):
    table = tmp_path / "db" / "table"
    file = write(table, LOGS[kind])
    with Store(tmp_path) as store:
        bucket = "s3://bucket"
        here = given(way, table, file)
        paths = [str(path).replace(str(tmp_path), f"{bucket}/data") for path in (here if way == "list" else [here])]
        with pytest.raises(ShardlineValueError, match=rf"{bucket}/data/db/table/part=1/x\.parquet: .* {kind} table"):
            open_store(store, paths, batch_size=2)
        assert ids(open_store(store, paths, batch_size=2, format="parquet")) == [[0, 1], [2]]


def test_a_table_beside_the_files_is_none_of_them(tmp_path):
    for log in LOGS.values():
        write(tmp_path / "table", log)
    plain = write(tmp_path / "plain", name="x.parquet")
    (tmp_path / "plain" / "metadata").mkdir()
    (tmp_path / "plain" / "metadata" / "notes.json").write_text("{}")
    (tmp_path / "plain" / "_delta_log").write_text("a file is no log")
    assert ids(StructuredDataset(tmp_path / "plain", batch_size=3)) == [[0, 1, 2]]
    assert ids(StructuredDataset([plain], batch_size=3)) == [[0, 1, 2]]
    with Store(tmp_path) as store:
        assert ids(open_store(store, "s3://bucket/data/plain/x.parquet", batch_size=3)) == [[0, 1, 2]]


def test_a_link_into_a_table_leads_to_it(tmp_path):
    file = write(tmp_path / "table", LOGS["Delta"])
    (tmp_path / "link").symlink_to(file.parent)
    with pytest.raises(ShardlineValueError, match="Delta table"):
        StructuredDataset(tmp_path / "link", batch_size=2)


def test_a_folder_that_nobody_may_list_is_passed_over(tmp_path):
    """The requests of a list of files need no right to list; where there is none, the files are read as before."""
    write(tmp_path / "plain", name="x.parquet")
    with Store(tmp_path) as store:
        store.faults = lambda request: None if request.key else Fault(403)
        assert ids(open_store(store, "s3://bucket/data/plain/x.parquet", batch_size=3)) == [[0, 1, 2]]


def test_what_is_asked_of_a_store_for_it(tmp_path):
    """A request for each directory above the one that is listed anyway; none where parquet is said."""
    write(tmp_path / "a" / "b", name="x.parquet")
    write(tmp_path / "a" / "b", name="y.parquet")
    with Store(tmp_path) as store:
        for path in ("s3://bucket/data/a/b", [f"s3://bucket/data/a/b/{name}.parquet" for name in "xy"]):
            before = store.count()
            open_store(store, path, batch_size=2, format="parquet")
            said = store.count() - before
            open_store(store, path, batch_size=2)
            above = ["data/a", "data", ""]
            assert store.count() - before - 2 * said == len(above if isinstance(path, str) else ["data/a/b", *above])


def test_nothing_is_asked_of_a_web_server_for_it(tmp_path):
    write(tmp_path / "a", name="x.parquet")
    with Store(tmp_path) as store:
        StructuredDataset(store.http_urls, batch_size=2, format="parquet")
        said = store.count()
        StructuredDataset(store.http_urls, batch_size=2)
        assert store.count() == 2 * said


@pytest.mark.parametrize("kind", LOGS)
def test_directories_of_many_pages(tmp_path, kind):
    """A table is found behind the first page of a listing, and so is its metadata."""
    file = write(tmp_path / "table", LOGS[kind], name="part=1/x.parquet")
    for name in ("0", "00", "000"):
        write(tmp_path / "table", name=f"{name}/y.parquet")
        (tmp_path / "table" / LOGS[kind]).with_name(name).write_text("")
    with Store(tmp_path, page=2) as store:
        here = f"s3://bucket/data/{file.relative_to(tmp_path)}"
        with pytest.raises(ShardlineValueError, match=f"{kind} table"):
            open_store(store, here, batch_size=2)
        assert ids(open_store(store, here, batch_size=2, format="parquet")) == [[0, 1], [2]]


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ShardlineValueError, match="format must be one of 'parquet', 'delta', 'iceberg', not 'csv'"):
        shardline.DataLoader(write(tmp_path, name="x.parquet"), format="csv")
