"""Hive partitions: the folders' columns, their types, their values in batches, and the files that they rule out."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids

import shardline
from shardline import ColumnOptions, DataLoader, Plan, StructuredDataset


def write(root, name, rows, start=0, **columns):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"i": np.arange(start, start + rows), **columns}), path, row_group_size=7)
    return start + rows


def tree(root):
    start = 0
    for year in (2023, 2024):
        for city in ("Aix", "New%20York"):
            start = write(root, f"year={year}/city={city}/a.parquet", 10, start)
    return root


def delivered(dataset):
    return pa.Table.from_batches(list(dataset)).combine_chunks()


def expected(root, partitioning, **options):
    """pyarrow's own rows, in the order of the files' names."""
    return ds.dataset(root, partitioning=partitioning).to_table(**options).combine_chunks()


def test_folders_are_columns_after_the_files_own(tmp_path):
    root = tree(tmp_path)
    dataset = StructuredDataset(root, batch_size=16, partitioning="hive", output_format="arrow")
    assert dataset.schema.arrow == pa.schema([("i", pa.int64()), ("year", pa.int32()), ("city", pa.string())])
    assert delivered(dataset).cast(dataset.schema.arrow) == expected(root, "hive")


def test_tensors_under_row_shuffle_and_in_any_order_of_columns(tmp_path):
    root = tree(tmp_path)
    loader = DataLoader(root, 7, True, partitioning="hive", columns=["year", "i"], shuffle_buffer_size=20)
    rows = [(batch["i"], batch["year"]) for batch in loader]
    i, year = torch.cat([a for a, _ in rows]), torch.cat([b for _, b in rows])
    assert list(next(iter(loader))) == ["year", "i"]
    assert year.dtype == torch.int32
    assert i.tolist() != sorted(i.tolist())
    assert torch.equal(year, torch.where(i < 20, 2023, 2024).int())
    only = StructuredDataset(root, batch_size=16, partitioning="hive", columns=["year"])
    assert [batch["year"].tolist() for batch in only] == [[2023] * 16, [2023] * 4 + [2024] * 12, [2024] * 8]


def test_without_partitioning_folders_are_only_folders(tmp_path):
    assert StructuredDataset(tree(tmp_path), batch_size=16).schema.names == ["i"]


values = st.sampled_from(["1", "-7", "007", "2147483647", "2147483648", "+1", "x", "a%20b", "%C3%A9", "", "1.5"])


@examples(60)
@given(st.lists(st.tuples(values | st.just("__HIVE_DEFAULT_PARTITION__"), values), min_size=1, max_size=4, unique=True))
def test_types_and_values_are_those_that_pyarrow_infers(tmp_path_factory, folders):
    root = tmp_path_factory.mktemp("hive")
    for number, (a, b) in enumerate(folders):
        write(root, f"a={a}/b={b}/{number}.parquet", 3, 10 * number)
    if all(a == "__HIVE_DEFAULT_PARTITION__" for a, _ in folders):
        return  # pyarrow cannot tell a type then
    wanted = expected(root, "hive").sort_by("i")
    dataset = StructuredDataset(root, batch_size=100, partitioning="hive", output_format="arrow")
    assert dataset.schema.arrow == wanted.schema
    assert delivered(dataset).sort_by("i").to_pylist() == wanted.to_pylist()


@pytest.mark.parametrize("form", ["schema", "dict", "pyarrow"])
def test_types_may_be_given(tmp_path, form):
    root = tmp_path
    for day in ("2024-01-30", "2024-02-01", "__HIVE_DEFAULT_PARTITION__"):
        write(root, f"day={day}/n=3/a.parquet", 5)
    schema = pa.schema([("day", pa.date32()), ("n", pa.int8())])
    given = {
        "schema": schema,
        "dict": dict(zip(schema.names, schema.types, strict=True)),
        "pyarrow": ds.partitioning(schema, flavor="hive"),
    }
    options = {"partitioning": given[form], "batch_size": 100, "output_format": "arrow"}
    (batch,) = StructuredDataset(root, **options)
    assert batch.schema.field("day").type == pa.date32()
    assert batch.schema.field("n").type == pa.int8()
    assert batch["day"].to_pylist() == [datetime.date(2024, 1, 30)] * 5 + [datetime.date(2024, 2, 1)] * 5 + [None] * 5
    filters = [("day", ">", datetime.date(2024, 1, 31))]
    assert StructuredDataset(root, **options, filters=filters).plan.files()[0][0].startswith("day=2024-02-01")


def test_files_are_ruled_out_before_a_footer_is_read(tmp_path):
    root = tree(tmp_path)
    for name in ("year=2023/city=Aix/broken.parquet", "year=2023/city=New%20York/broken.parquet"):
        (root / name).write_bytes(b"no Parquet at all")
    with pytest.raises(shardline.ShardlineValueError, match="broken"):
        StructuredDataset(root, partitioning="hive")
    for filters in (
        [("year", "=", 2024)],
        (pc.field("year") > 2023) & (pc.field("i") >= 0),
        [[("year", "in", [2024, 2030]), ("city", "!=", "x")], [("year", "<", 2000)]],
        ~(pc.field("year") <= 2023),
    ):
        dataset = StructuredDataset(root, batch_size=100, partitioning="hive", filters=filters, columns=["i"])
        assert [name for name, _, _ in dataset.plan.files()] == [
            "year=2024/city=Aix/a.parquet",
            "year=2024/city=New%20York/a.parquet",
        ]
        assert ids(dataset) == [list(range(20, 40))]
    with pytest.raises(shardline.ShardlineValueError, match="no row passes.*folders of all 6 files"):
        StructuredDataset(root, partitioning="hive", filters=[("year", "=", 1999)])


def test_filters_over_folders_and_columns_are_pyarrows(tmp_path):
    root = tree(tmp_path)
    write(root, "year=__HIVE_DEFAULT_PARTITION__/city=Aix/a.parquet", 10, 100)
    year, city, i = pc.field("year"), pc.field("city"), pc.field("i")
    for expression in (
        (year == 2024) | (i < 5),
        (city == "Aix") & (i > 3),
        ~((year == 2023) | (i > 30)),
        year.is_null() | (city == "New York"),
        ~(year == 2023),
        ~year.isin([2023]),
        (i > 5) & ~((year > 2023) & (i < 25)),
    ):
        wanted = expected(root, "hive", filter=expression)["i"].to_pylist()
        dataset = StructuredDataset(root, batch_size=9, partitioning="hive", filters=expression, columns=["i"])
        assert sorted(row for batch in ids(dataset) for row in batch) == sorted(wanted), expression


def test_a_folder_stands_for_the_column_of_its_name(tmp_path):
    write(tmp_path, "k=7/a.parquet", 3, k=pa.array([1, 2, 3], pa.int32()))
    (batch,) = StructuredDataset(tmp_path, batch_size=10, partitioning="hive")
    assert batch["k"].tolist() == [7, 7, 7]
    assert list(batch) == ["i", "k"]


def test_plans_keep_folders(tmp_path):
    dataset = StructuredDataset(tree(tmp_path / "d"), batch_size=7, partitioning="hive", columns=["i", "year"])
    dataset.plan.save(tmp_path / "plan")
    loaded = StructuredDataset(plan=Plan.load(tmp_path / "plan"), batch_size=7, columns=["i", "year"])
    for a, b in zip(dataset, loaded, strict=True):
        assert torch.equal(a["year"], b["year"])
    bare = StructuredDataset(tmp_path / "d", batch_size=7).plan
    filters = [("year", "=", 2024)]
    options = {"batch_size": 7, "columns": ["i"], "partitioning": "hive", "filters": filters}
    assert ids(StructuredDataset(plan=bare, **options)) == ids(StructuredDataset(tmp_path / "d", **options))


def test_resume_and_what_was_added(tmp_path):
    root = tree(tmp_path)
    options = {"batch_size": 4, "partitioning": "hive", "filters": [("year", "=", 2024)], "columns": ["i"]}
    dataset = StructuredDataset(root, **options)
    state, whole = dataset.state_at(2), ids(dataset)
    write(root, "year=2024/city=Aix/b.parquet", 8, 1000)
    write(root, "year=2025/city=Aix/b.parquet", 8, 2000)
    later = StructuredDataset(root, **options)
    assert len(later) == 7
    later.load_state_dict(state)
    assert ids(later) == whole[2:]
    with pytest.raises(shardline.CheckpointMismatchError, match=r"filters: saved \('year' = 2024\), here None"):
        StructuredDataset(root, batch_size=4, partitioning="hive", columns=["i"]).load_state_dict(state)
    as_text = {
        **options,
        "partitioning": {"year": pa.string(), "city": pa.string()},
        "filters": [("year", "=", "2024")],
    }
    with pytest.raises(shardline.CheckpointMismatchError, match="filters: saved"):
        StructuredDataset(root, **as_text).load_state_dict(state)
    wider = {**options, "partitioning": {"year": pa.int64(), "city": pa.string()}}
    with pytest.raises(shardline.CheckpointMismatchError, match="types of the folders' columns: saved .*int32.*int64"):
        StructuredDataset(root, **wider).load_state_dict(state)


@pytest.mark.parametrize(
    ("name", "options", "kind", "words"),
    [
        ("d=2024-13-01/a.parquet", {"partitioning": {"d": pa.date32()}}, ValueError, "d=2024-13-01/a.*is no date32"),
        ("n=300/a.parquet", {"partitioning": {"n": pa.int8()}}, ValueError, "n=300/a.parquet.*is no int8"),
        ("n=1/m=2/a.parquet", {"partitioning": {"n": pa.int8()}}, ValueError, "no type for the folders m=…"),
        ("n=1/n=2/a.parquet", {"partitioning": "hive"}, ValueError, "n=… comes twice"),
        ("n=%FF/a.parquet", {"partitioning": "hive"}, ValueError, "not UTF-8"),
        ("n=1/a.parquet", {"partitioning": "directory"}, TypeError, "partitioning must be 'hive'"),
        ("n=__HIVE_DEFAULT_PARTITION__/a.parquet", {"partitioning": {"n": pa.int8()}}, ValueError, '\'?"n"? has nulls'),
        ("n=1/a.parquet", {"partitioning": "hive", "filters": [("n", "=", "x")]}, TypeError, "'n', which is int32"),
        ("n=1/a.parquet", {"filters": [("n", "=", 1)]}, KeyError, 'filters=.*column "n"'),
    ],
)
def test_wrong_folders_and_arguments(tmp_path, name, options, kind, words):
    write(tmp_path, name, 3)
    with pytest.raises(kind, match=words) as caught:
        list(DataLoader(tmp_path, **options))
    assert isinstance(caught.value, shardline.ShardlineError)


def test_a_vocabulary_is_of_the_types_that_were_asked_for(tmp_path):
    """In one process: what was learned of folders as numbers does not serve folders as text."""
    root, codes = tree(tmp_path), {"year": ColumnOptions(encode="codes")}
    for partitioning, years in (("hive", [2023, 2024]), ({"year": pa.string(), "city": pa.string()}, ["2023", "2024"])):
        loader = DataLoader(root, 40, partitioning=partitioning, columns=["year"], column_options=codes)
        assert loader.dataset.vocabulary("year") == years
        assert next(iter(loader))["year"].tolist() == [0] * 20 + [1] * 20
