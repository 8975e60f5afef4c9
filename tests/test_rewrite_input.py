"""Every bad input is an error that names what is wrong, and leaves nothing behind."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    numbers = np.arange(100)
    table = pa.table(
        {
            "i": numbers,
            "text": [f"t{i % 5}" for i in numbers],
            "x": numbers / 7,
            "list": [[i] for i in range(100)],
        }
    )
    pq.write_table(table, folder / "a.parquet")
    return folder


BAD = [
    ({"row_group_rows": 0}, r"row_group_rows must be between 1 and"),
    ({"row_group_rows": 1, "row_group_bytes": 1}, r"row_group_rows= and row_group_bytes= say the same thing"),
    ({"file_rows": 1, "file_bytes": "1MB"}, r"file_rows= and file_bytes= say the same thing"),
    ({"row_group_bytes": "many"}, r"row_group_bytes='many' is not understood"),
    ({"codec": "lzo"}, r"codec must be one of 'none', 'snappy'"),
    ({"codec": "snappy", "codec_level": 3}, r"codec_level= does nothing with codec='snappy'"),
    ({"codec": "zstd", "codec_level": 99}, r"codec_level must be between"),
    ({"page_index": 1}, r"page_index must be True or False"),
    ({"statistics": False}, r"page_index=True needs statistics=True"),
    ({"dictionary": "all"}, r"dictionary must be one of 'auto'"),
    ({"dictionary": ["y"]}, r"dictionary= names 'y', which is no column; there are i, text"),
    ({"sort_by": "y"}, r"sort_by= names 'y', which is no column"),
    ({"sort_by": "list"}, r"sort_by='list': values of list<.*> have no order"),
    ({"sort_by": [("i", "down")]}, r"sort_by: the direction of 'i' must be one of 'ascending', 'descending'"),
    ({"sort_by": 3}, r"sort_by must be names of columns"),
    ({"sort_by": ["i", "i"]}, r"sort_by names 'i' twice"),
    ({"sort_by": "i", "shuffle": True}, r"sort_by= and shuffle=True are two orders"),
    ({"seed": 3}, r"seed= does nothing without shuffle=True"),
    ({"shuffle": True, "seed": -1}, r"seed must be between 0"),
    ({"partition_by": "x"}, r"partition_by='x': values of double make no folders"),
    ({"partition_by": ["i", "text"], "columns": ["i", "text"]}, r"partition_by= names all columns"),
    ({"partition_by": "text", "sort_by": "text"}, r"sort_by= names 'text', which is one value in each folder"),
    ({"memory": "1kB", "row_group_rows": 100}, r"row_group_rows=100: such row groups take .* Give memory="),
    ({"num_threads": 0}, r"num_threads must be between 1"),
    ({"progress": 3}, r"progress must be a function of a RewriteProgress"),
    ({"overwrite": "yes"}, r"overwrite must be True or False"),
    ({"batch_size": 3}, "there is no argument 'batch_size' here"),
    ({"columns": ["y"]}, r"y"),
    ({"filters": [("i", ">", 1000)]}, r"no row|0 rows|nothing"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_arguments(data, tmp_path, options, message):
    with pytest.raises(shardline.ShardlineError, match=message):
        shardline.rewrite(data, tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_too_many_folders(tmp_path):
    pq.write_table(pa.table({"i": range(10_001), "x": range(10_001)}), tmp_path / "in.parquet")
    with pytest.raises(shardline.ShardlineValueError, match=r"partition_by= would make more than 10,000 folders"):
        shardline.rewrite(tmp_path / "in.parquet", tmp_path / "out", partition_by="i")
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_places(data, tmp_path):
    refusals = [
        (data, r"is or holds the input"),
        (tmp_path, r"is or holds the input"),
        (data / "out", r"is in the input's folder"),
        ("s3://bucket/out", r"rewrite\(\) writes to a local or mounted folder"),
        ("", r"out must be the path of a folder"),
        (3, r"out must be the path of a folder"),
        ("/", r"has no name of its own|is or holds the input"),
    ]
    for out, message in refusals:
        with pytest.raises(shardline.ShardlineError, match=message):
            shardline.rewrite(data, out, overwrite=True)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(shardline.ShardlineValueError, match=r"file exists; give overwrite=True"):
        shardline.rewrite(data, file)
    assert file.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]


def test_inputs(data, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    for path, error in [
        (tmp_path / "nothing", shardline.ShardlineFileNotFoundError),
        (tmp_path / "empty", shardline.ShardlineFileNotFoundError),
        (tmp_path / "a.csv", shardline.ShardlineValueError),
    ]:
        with pytest.raises(error):
            shardline.rewrite(path, tmp_path / "out")
    pq.write_table(pa.table({"i": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pytest.raises(shardline.ShardlineValueError, match="hold no row"):
        shardline.rewrite(tmp_path / "none.parquet", tmp_path / "out")
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_file_among_good_ones_is_named(data, tmp_path):
    good = (data / "a.parquet").read_bytes()
    (data / "b.parquet").write_bytes(good[:200] + bytes(100) + good[300:])
    with pytest.raises(shardline.ShardlineError, match=r"b\.parquet"):
        shardline.rewrite(data, tmp_path / "out", num_threads=1)
    assert not (tmp_path / "out").exists()


def test_an_input_that_changes_meanwhile_is_an_error(data, tmp_path):
    def change(progress):
        pq.write_table(pa.table({"i": [1]}), data / "a.parquet")

    with pytest.raises(shardline.ShardlineError, match=r"a\.parquet"):
        shardline.rewrite(data, tmp_path / "out", row_group_rows=10, shuffle=True, progress=change)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_written_to(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file"):
        shardline.rewrite(data, tmp_path / "file" / "out")


def test_narrow_types_and_fixed_lists_only_where_nothing_is_lost(tmp_path):
    rows = 50
    columns = {
        "small": pa.array(range(rows), pa.int64()),
        "wide": pa.array([2**31 + i for i in range(rows)], pa.int64()),
        "middle": pa.array([-(2**31) + i for i in range(rows)], pa.int64()),
        "nulls": pa.array([None] * rows, pa.int64()),
        "halves": pa.array([i / 2 for i in range(rows)]),
        "thirds": pa.array([i / 3 for i in range(rows)]),
        "even": pa.array([[i, i] for i in range(rows)], pa.list_(pa.int64())),
        "uneven": pa.array([[i] * (i % 3) for i in range(rows)]),
        "gap": pa.array([[1], None] * (rows // 2), pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(columns), tmp_path / "in.parquet", row_group_size=7)
    shardline.rewrite(tmp_path / "in.parquet", tmp_path / "out", narrow=True, fixed_size_lists=True)
    types = {
        field.name: str(field.type).replace("element", "item")
        for field in pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    }
    assert types == {
        "small": "int16",
        "wide": "int64",
        "middle": "int32",
        "nulls": "int64",
        "halves": "float",
        "thirds": "double",
        "even": "fixed_size_list<item: int16>[2]",
        "uneven": "list<item: int16>",
        "gap": "list<item: int16>",
    }
    assert pq.read_table(tmp_path / "out").to_pylist() == pa.table(columns).to_pylist()


def test_a_dictionary_only_where_it_makes_a_column_smaller(data, tmp_path):
    def with_dictionary(out):
        group = pq.ParquetFile(next(out.iterdir())).metadata.row_group(0)
        return {group.column(i).path_in_schema.split(".")[0] for i in range(4) if group.column(i).has_dictionary_page}

    numbers = np.arange(5_000)
    texts = [f"t{i % 5}" for i in numbers]
    table = pa.table({"i": numbers, "text": texts, "x": numbers / 7, "list": [[i] for i in numbers]})
    pq.write_table(table, data / "a.parquet")
    cases = [("auto", {"text"}), (False, set()), (True, {"i", "text", "x", "list"}), (["x", "list"], {"x", "list"})]
    for number, (dictionary, expected) in enumerate(cases):
        out = tmp_path / str(number)
        shardline.rewrite(data, out, dictionary=dictionary)
        assert with_dictionary(out) == expected, dictionary


def test_the_report_and_what_is_in_the_files(data, tmp_path):
    report = shardline.rewrite(data, tmp_path / "out", row_group_rows=25, file_rows=50, columns=["i", "text"])
    assert str(report).splitlines()[0] == str(tmp_path / "out")
    assert "100, each one verified" in str(report)
    assert "row groups  1 → 4" in str(report)
    assert report.to_dict()["files"] == 2
    group = pq.ParquetFile(tmp_path / "out" / "part-00001.parquet").metadata.row_group(1).column(0)
    assert (group.has_column_index, group.has_offset_index, group.is_stats_set) == (True, True, True)
    assert pq.read_table(tmp_path / "out")["i"].to_pylist() == list(range(100))
    fewer = shardline.rewrite(data, tmp_path / "fewer", filters=[("i", "<", 30)])
    assert fewer.rows == 30


def test_metadata_of_files_and_fields_is_kept(tmp_path):
    field = pa.field("i", pa.int64(), nullable=False, metadata={"unit": "m"})
    schema = pa.schema([field], metadata={"huggingface": "{}"})
    pq.write_table(pa.table({"i": range(10)}, schema=schema), tmp_path / "in.parquet")
    shardline.rewrite(tmp_path / "in.parquet", tmp_path / "out", narrow=True, shuffle=True)
    found = pq.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert found.metadata == {b"huggingface": b"{}"}
    assert found.field("i").metadata[b"unit"] == b"m"


def test_an_input_in_a_store(store, data, tmp_path):
    report = shardline.rewrite(store.url, tmp_path / "out", storage_options=store.options, shuffle=True)
    assert report.bytes_before is None
    assert "in a store" in str(report)
    assert sorted(pq.read_table(tmp_path / "out")["i"].to_pylist()) == list(range(100))
