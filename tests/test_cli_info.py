"""`shardline info`: what footers say, what could be better, and files that cannot be read."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command import as_json, fails, printed

import shardline
from shardline import inspect
from shardline.footers.opening import opener

RNG = np.random.default_rng(0)
N = 40_000
GOOD = {"write_page_checksum": True, "write_page_index": True}


def write(path, columns, rows=None, **options):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows or N, **{**GOOD, **options})
    return path


def abouts(path, **options):
    return {each.about for each in inspect(path, **options).advice}


NUMBERS = {"x": pa.array(RNG.integers(0, 2**40, N)), "y": pa.array(RNG.normal(size=N))}


def lists(lengths):
    return pa.array([[1.5] * length for length in lengths], pa.list_(pa.float32()))


# Each layout that is worth advice, beside the nearest one that is not.
CASES = {
    "small row groups": ((NUMBERS, {"rows": 500}), (NUMBERS, {"rows": 5_000})),
    "no page checksums": ((NUMBERS, {"write_page_checksum": False}), (NUMBERS, {})),
    "no statistics": ((NUMBERS, {"write_statistics": False}), (NUMBERS, {})),
    "sorted": (
        ({"t": pa.array(range(N))}, {"rows": 4_000}),
        ({"t": pa.array([*range(4_000, N), *range(4_000)])}, {"rows": 4_000}),
    ),
    "text as ids": (
        ({"s": pa.array([f"u{i % 300}" for i in range(N)])}, {}),
        ({"s": pa.array([f"u{i}" for i in range(N)])}, {}),
    ),
    "numbers as text": (
        ({"s": pa.array([str(i - 5) for i in range(N)])}, {}),
        ({"s": pa.array([f"0{i}" for i in range(N)])}, {}),
    ),
    "lists of one length": (({"v": lists([3] * N)}, {}), ({"v": lists([3] * (N - 1) + [2])}, {})),
    "float64 not needed": (
        ({"f": pa.array(RNG.normal(size=N).astype("f4").astype("f8"))}, {}),
        ({"f": pa.array(RNG.normal(size=N))}, {}),
    ),
}


@pytest.mark.parametrize("about", CASES)
def test_advice_is_given_where_it_is_due_and_only_there(tmp_path, about):
    (bad, how), (good, well) = CASES[about]
    assert abouts(write(tmp_path / "bad" / "a.parquet", bad, **how)) == {about}
    assert about not in abouts(write(tmp_path / "good" / "a.parquet", good, **well))


def test_lists_that_differ_where_no_row_was_sampled_are_not_of_one_length(tmp_path):
    """20 and 22 values in two rows are 21 on average: footers alone cannot tell, rows can."""
    mixed = lists([2, 4] * (N // 2))
    assert "lists of one length" not in abouts(write(tmp_path / "a.parquet", {"v": mixed}))
    assert "lists of one length" not in abouts(write(tmp_path / "b.parquet", {"v": lists([3] * N)}), sample=False)


def test_a_row_group_without_page_index_is_named_where_it_is_large(tmp_path):
    wide = {f"x{i}": pa.array(RNG.normal(size=400_000)) for i in range(6)}
    path = write(tmp_path / "a.parquet", wide, rows=400_000, write_page_index=False, write_statistics=False)
    (advice,) = [each for each in inspect(path).advice if each.about == "no page index"]
    assert set(advice.columns) == set(wide)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_page_checksums_are_seen_in_pages_of_every_kind(tmp_path, version, dictionary, codec):
    how = {"data_page_version": version, "use_dictionary": dictionary, "compression": codec}
    for name, checksums in (("with", True), ("without", False)):
        path = write(tmp_path / f"{name}.parquet", NUMBERS, write_page_checksum=checksums, **how)
        assert inspect(path).survey.with_checksums == checksums


def test_figures_are_those_of_the_files(tmp_path):
    for i in range(3):
        columns = {"a": pa.array([1, None, 3] * 50), "b": pa.array([{"c": [1.0, 2.0]}] * 150)}
        write(tmp_path / "d" / f"{i}.parquet", columns, rows=60, compression="zstd" if i else "snappy")
    found = as_json("info", tmp_path / "d")
    footers = [pq.read_metadata(path) for path in sorted((tmp_path / "d").iterdir())]
    groups = [footer.row_group(g) for footer in footers for g in range(footer.num_row_groups)]
    assert found["rows"] == 450
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "d").iterdir())
    assert found["row_groups"]["count"] == len(groups) == 9
    assert found["row_groups"]["rows"] == {"min": 30, "median": 60, "max": 60}
    assert found["columns"]["a"]["nulls"] == 150
    assert set(found["columns"]["a"]["codecs"]) == {"SNAPPY", "ZSTD"}
    assert found["columns"]["a"]["compressed_bytes"] == sum(g.column(0).total_compressed_size for g in groups)
    assert found["columns"]["a"]["becomes"] == "int64"
    assert found["columns"]["b.c[]"]["types"] == ["double"]
    assert found["columns"]["b.c[]"]["becomes"] == "jagged float64 (…)"
    assert found["columns"]["b.c[]"]["chunks_with_page_index"] == 9


def test_damaged_files_are_listed_among_good_ones(tmp_path):
    for i in range(5):
        write(tmp_path / "d" / f"{i}.parquet", NUMBERS)
    (tmp_path / "d" / "0.parquet").write_bytes(b"PAR1")
    whole = (tmp_path / "d" / "3.parquet").read_bytes()
    (tmp_path / "d" / "3.parquet").write_bytes(whole[: len(whole) // 2])
    found = as_json("info", tmp_path / "d", code=1)
    assert (found["files"], set(found["damaged"])) == (3, {"0.parquet", "3.parquet"})
    text = printed("info", tmp_path / "d", code=1)
    assert "Problems\n  - 0.parquet: " in text


def test_files_that_do_not_fit_one_another_are_a_problem(tmp_path):
    write(tmp_path / "d" / "a.parquet", {"x": pa.array([1, 2])})
    write(tmp_path / "d" / "b.parquet", {"x": pa.array(["1", "2"])})
    text = printed("info", tmp_path / "d", code=1)
    assert "b.parquet" in text[text.index("Problems") :]


def test_paths_without_data_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.csv").write_text("a,b\n" * 100)
    assert fails("info", tmp_path / "none").startswith("error: no such file or directory: ")
    assert "no files in this directory" in fails("info", tmp_path / "empty")
    assert "not a Parquet file" in fails("info", tmp_path / "x.csv")
    assert "no argument of a loader is called 'storage_option'" in " ".join(
        fails("info", tmp_path, "-o", "storage_option=1", code=2).replace("│", " ").split()
    )


def test_many_files(tmp_path):
    path = write(tmp_path / "d" / "0.parquet", {"x": pa.array([1, 2])})
    for i in range(1, 1000):
        os.link(path, tmp_path / "d" / f"{i}.parquet")
    report = inspect(tmp_path / "d")
    assert (report.survey.files, report.survey.rows) == (1000, 2000)
    assert {"small files", "small row groups"} <= {each.about for each in report.advice}


def test_no_rows_and_no_columns(tmp_path):
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert "1 file" in printed("info", tmp_path / "a.parquet", code=1)
    pq.write_table(pa.table({"x": pa.array([1])}).select([]), tmp_path / "b.parquet")
    printed("info", tmp_path / "b.parquet", code=1)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(tmp_path, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    columns = {f"a_column_with_a_long_name_{i}": pa.array(["x" * 30] * 2000) for i in range(3)}
    write(tmp_path / "a.parquet", columns, rows=50)
    for command in (["info"], ["stats"], ["head"], ["plan"]):
        text = printed(*command, "a.parquet", width=width)
        assert "a_column" in text or command == ["plan"]


def test_a_store_with_its_options(store):
    options = {name: store.options[name] for name in ("endpoint_url", "key", "secret")}
    found = as_json("info", store.url, "-o", f"storage_options={options | {'region': 'us-east-1'}}")
    assert (found["files"], found["rows"], found["columns"]["i"]["becomes"]) == (3, 100, "int64")


def test_a_web_server(store, data):
    here, there = inspect(data), inspect(store.http_urls)
    for report in (here, there):
        assert report.is_good
    assert there.survey.groups == here.survey.groups
    assert there.advice == here.advice
    assert there.survey.with_checksums == here.survey.with_checksums
    store.no_ranges = True
    with pytest.raises(shardline.ShardlineError):
        inspect(store.http_urls)


def test_a_store_that_pyarrow_cannot_read_is_an_error_that_says_so():
    with pytest.raises(shardline.ShardlineValueError, match="local files, s3://, gs:// and https:// only"):
        opener("az://container/data", None)
