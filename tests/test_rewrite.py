"""Any rows in any layout are the same rows, in order where nothing changes it: by pyarrow and Python alone."""

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import examples

import shardline

KEYS = [None, "", "a", "b/c", "ü=%", "a b"]
LAYOUTS = st.fixed_dictionaries(
    {},
    optional={
        "file_rows": st.integers(1, 60),
        "codec": st.sampled_from(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
        "dictionary": st.sampled_from([True, False, "auto", ["key"]]),
        "page_index": st.just(False),
        "page_checksums": st.booleans(),
        "fixed_size_lists": st.booleans(),
        "narrow": st.booleans(),
        "num_threads": st.sampled_from([1, 3]),
    },
)
SIZES = st.one_of(
    st.fixed_dictionaries({"row_group_rows": st.integers(1, 30)}),
    st.sampled_from([{}, {"memory": 8_000, "row_group_bytes": 700}]),
)
ORDERS = st.sampled_from(
    [
        {},
        {},
        {"shuffle": True, "seed": 3},
        {"sort_by": ["key", ("n", "descending")]},
        {"partition_by": "key"},
        {"partition_by": ["key", "n"], "shuffle": True},
        {"partition_by": "key", "sort_by": "n"},
    ]
)


@st.composite
def tables(draw):
    """Columns of any types beside a text, a small number and a row number, in files of row groups."""
    types = draw(st.lists(st.sampled_from(t.ALL), min_size=0, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    rows, nulls = draw(st.sampled_from([1, 7, 90])), draw(st.sampled_from([0, 0.2]))
    columns = {f"c{i}": t.random_array(rng, type_, rows, nulls) for i, type_ in enumerate(types)}
    columns["key"] = pa.array([KEYS[i] for i in rng.integers(0, len(KEYS), rows)], pa.string())
    columns["n"] = pa.array([None if n == 3 else int(n) for n in rng.integers(0, 4, rows)], pa.int32())
    columns["i"] = pa.array(range(rows), pa.int64())
    cut = int(rng.integers(0, rows + 1))
    table = pa.table(columns)
    return [table.slice(0, cut), table.slice(cut)], draw(st.integers(1, 40))


def write(folder: Path, parts, group):
    folder.mkdir()
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=group)


def rows_of(folder: Path):
    """The rows of all files in the order of their names, as pyarrow reads them, with the values of their folders."""
    found = []
    for path in sorted(folder.rglob("*.parquet")):
        above = {}
        for part in path.relative_to(folder).parts[:-1]:
            key, _, value = part.partition("=")
            value = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
            above[key] = int(value) if key == "n" and value is not None else value
        found += [dict(sorted((row | above).items())) for row in pq.ParquetFile(path).read().to_pylist()]
    return found


@examples(40)
@given(data=tables(), layout=LAYOUTS, sizes=SIZES, order=ORDERS)
def test_any_rows_in_any_layout_are_the_same_rows(tmp_path_factory, data, layout, sizes, order):
    folder = tmp_path_factory.mktemp("rewrite")
    write(folder / "in", *data)
    before = rows_of(folder / "in")
    layout |= sizes
    if "file_rows" in layout and len(before) // layout["file_rows"] > 20:
        layout["file_rows"] = 20
    told = []
    report = shardline.rewrite(folder / "in", folder / "out", progress=told.append, **layout, **order)
    after = rows_of(folder / "out")
    assert sorted(map(repr, after)) == sorted(map(repr, before))
    if not order:
        assert list(map(repr, after)) == list(map(repr, before))
    numbers = [row["i"] for row in after]
    if order == {"sort_by": ["key", ("n", "descending")]}:
        by_number = sorted(before, key=lambda row: (row["n"] is None, -(row["n"] or 0)))
        expected = sorted(by_number, key=lambda row: (row["key"] is None, (row["key"] or "").encode()))
        assert numbers == [row["i"] for row in expected]
    files = sorted((folder / "out").rglob("*.parquet"))
    for path in files if order.get("partition_by") else ():
        mine = [row["i"] for row in pq.ParquetFile(path).read(columns=["i"]).to_pylist()]
        if order == {"partition_by": "key"}:
            assert mine == sorted(mine)
    footers = [pq.ParquetFile(path).metadata for path in files]
    groups = [footer.row_group(i) for footer in footers for i in range(footer.num_row_groups)]
    assert (report.rows, report.files, report.row_groups) == (len(before), len(files), len(groups))
    assert report.bytes == sum(path.stat().st_size for path in files)
    assert all(group.num_rows <= layout.get("row_group_rows", 2**31) for group in groups)
    codec = layout.get("codec", "snappy").upper().replace("NONE", "UNCOMPRESSED")
    assert {group.column(i).compression for group in groups for i in range(group.num_columns)} <= {codec}
    assert told[-1] == ("write", len(before), len(before))
    assert not [path for path in folder.iterdir() if path.name not in ("in", "out")]
