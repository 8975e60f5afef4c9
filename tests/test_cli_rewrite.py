"""`shardline rewrite`: every option reaches `shardline.rewrite`, and errors are one line."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command import as_json, fails, printed


@pytest.fixture
def data(tmp_path):
    numbers = np.arange(1_000)
    table = pa.table({"i": numbers, "few": [f"f{i % 3}" for i in numbers], "x": numbers / 4})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=100)
    return tmp_path / "in.parquet"


def test_what_it_prints_and_that_it_refuses_to_overwrite(data, tmp_path):
    out = tmp_path / "out"
    lines = printed("rewrite", data, out, "--shuffle", "--seed", 7, "--row-group-rows", 250).splitlines()
    assert lines[0] == str(out)
    assert lines[1].startswith("  rows        1,000, each one verified (digest ")
    assert lines[2:4] == ["  files       1 → 1", "  row groups  10 → 4"]
    assert lines[4].startswith("  size ")
    assert lines[5].startswith("  time ")
    said = fails("rewrite", data, out)
    assert said == f"error: {out} exists; give overwrite=True (--overwrite) to replace it, or another folder\n"
    report = as_json("rewrite", data, out, "--overwrite")
    assert (report["rows"], report["files"]) == (1_000, 1)
    assert lines[1].endswith(f"{report['digest']})")


def test_options(data, tmp_path):
    out = tmp_path / "out"
    size = ["--file-rows", 100, "--row-group-rows", 50, "--codec", "zstd", "--codec-level", 3, "--dictionary", "few"]
    flags = [
        "--no-statistics",
        "--no-page-checksums",
        "--narrow",
        "--fixed-size-lists",
        "--threads",
        1,
        "--memory",
        "1MB",
    ]
    report = as_json("rewrite", data, out, *size, *flags, "--sort-by=-x", "--columns", "few,x", "-f", "i < 300")
    assert (report["rows"], report["files"], report["row_groups"]) == (300, 3, 6)
    whole = pq.read_table(out)
    assert whole["x"].to_pylist() == [i / 4 for i in reversed(range(300))]
    assert (whole.column_names, str(whole["x"].type)) == (["few", "x"], "float")
    group = pq.ParquetFile(out / "part-00000.parquet").metadata.row_group(0)
    few, x = group.column(0), group.column(1)
    assert (few.compression, few.has_dictionary_page, x.has_dictionary_page) == ("ZSTD", True, False)
    assert not x.is_stats_set
    as_json("rewrite", data, tmp_path / "folders", "--partition-by", "few", "--dictionary", "none")
    assert sorted(path.name for path in (tmp_path / "folders").iterdir()) == ["few=f0", "few=f1", "few=f2"]


def test_errors(data, tmp_path):
    assert "nothing" in fails("rewrite", tmp_path / "nothing", tmp_path / "out")
    assert "sort_by= names 'y', which is no column" in fails("rewrite", data, tmp_path / "out", "--sort-by", "y")
    assert "seed= does nothing without shuffle=True" in fails("rewrite", data, tmp_path / "out", "--seed", 3)
    assert "shuffle has an option of its own" in fails("rewrite", data, tmp_path / "out", "-o", "shuffle=True", code=2)
    assert "there is no argument 'shuffle_strands' here" in fails(
        "rewrite", data, tmp_path / "out", "-o", "shuffle_strands=8"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_arguments_of_reading(data, tmp_path):
    report = as_json("rewrite", data, tmp_path / "out", "-o", "subset=(0, 0.5)")
    assert 400 < report["rows"] < 600


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_report_fits_its_width(data, tmp_path, width):
    text = printed("rewrite", data, tmp_path / "out", "--shuffle", width=width)
    assert "each one verified (digest" in " ".join(text.split())
