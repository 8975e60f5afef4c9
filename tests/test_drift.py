"""Files whose columns differ: taken in where that was asked for, and an error that names both otherwise."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import examples

import shardline
from shardline import ColumnOptions, DataLoader, Plan, StructuredDataset

UNION = {"columns_from": "all", "missing_columns": "null"}


def write(folder, *tables):
    folder.mkdir(exist_ok=True)
    for number, columns in enumerate(tables):
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=2)
    return folder


def rows(batches, name):
    return list(itertools.chain.from_iterable(t.plain(batch[name]) for batch in batches))


def test_a_missing_column_is_null_under_union(tmp_path):
    write(tmp_path, {"x": [1, 2, 3]}, {"y": ["a", "b", "c"], "x": [4, 5, 6]}, {"z": [[1], [2, 3]], "x": [7, 8]})
    loader = DataLoader(tmp_path, output_format="dict", **UNION, batch_size=3)
    found = {name: rows(loader, name) for name in ("x", "y", "z")}
    nothing = [None] * 3
    assert found == {
        "x": [1, 2, 3, 4, 5, 6, 7, 8],
        "y": [*nothing, "a", "b", "c", None, None],
        "z": [*nothing, *nothing, [1], [2, 3]],
    }
    options = {"y": ColumnOptions(nulls="keep"), "z": ColumnOptions(nulls="mask")}
    batches = list(DataLoader(tmp_path, **UNION, batch_size=3, shuffle=True, column_options=options))
    order = [x - 1 for x in rows(batches, "x")]
    assert rows(batches, "y") == [found["y"][i] for i in order]
    assert rows(batches, "z") == [found["z"][i] or [] for i in order]
    assert rows(batches, "z__mask") == [found["z"][i] is None for i in order]
    with pytest.raises(shardline.ShardlineValueError, match=r'0\.parquet: column "y" has nulls'):
        DataLoader(tmp_path, **UNION, columns=["x", "y"])
    assert rows(DataLoader(tmp_path, **UNION, columns=["x"]), "x") == found["x"]


def test_without_union_a_missing_column_names_both_files(tmp_path):
    write(tmp_path, {"x": [1], "y": [1]}, {"x": [2]})
    with pytest.raises(shardline.ShardlineValueError, match=r'1\.parquet: column "y" .*missing.*0\.parquet.*="null"'):
        DataLoader(tmp_path)
    write(tmp_path, {"x": pa.array([1], pa.int32())}, {"x": [1]})
    with pytest.raises(
        shardline.ShardlineValueError, match=r'1\.parquet: column "x" .*0\.parquet; .*take widen_.*=True$'
    ):
        DataLoader(tmp_path)
    write(tmp_path, {"x": [1]}, {"x": [1.5]})
    with pytest.raises(
        shardline.ShardlineValueError, match=r'1\.parquet: column "x" .*0\.parquet; .*leave the file or the column out$'
    ):
        DataLoader(tmp_path)
    with pytest.raises(ValueError, match="columns_from must be one of 'first', 'all'"):
        DataLoader(tmp_path, columns_from="union")
    with pytest.raises(ValueError, match="missing_columns must be one of 'error', 'null'"):
        DataLoader(tmp_path, missing_columns="nan")
    with pytest.raises(TypeError, match="widen_types"):
        DataLoader(tmp_path, widen_types=1)


WIDER = [
    (pa.int32(), pa.int64(), pa.int64()),
    (pa.float32(), pa.float64(), pa.float64()),
    (pa.int8(), pa.uint8(), pa.int16()),
    (pa.uint32(), pa.int32(), pa.int64()),
    (pa.float16(), pa.float32(), pa.float32()),
    (pa.string(), pa.large_string(), pa.large_string()),
    (pa.list_(pa.int16()), pa.list_(pa.int32()), pa.list_(pa.int32())),
    (pa.null(), pa.int32(), pa.int32()),
    (pa.list_(pa.float32(), 2), pa.list_(pa.float64(), 2), pa.list_(pa.float64(), 2)),
]


@pytest.mark.parametrize(("one", "other", "both"), WIDER, ids=str)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("nulls", [0, 0.3])
def test_types_widen_where_that_is_asked_for(tmp_path, one, other, both, turned, nulls):
    rng = np.random.default_rng(0)
    types = [other, one] if turned else [one, other]
    columns = [t.random_array(rng, type_, 20, nulls) for type_ in types]
    write(tmp_path, *({"c": column} for column in columns))
    with pytest.raises(
        shardline.ShardlineValueError, match=r'1\.parquet: column "c" is .* here and .*0\.parquet.*widen'
    ):
        DataLoader(tmp_path, **UNION)
    loader = DataLoader(tmp_path, widen_types=True, output_format="arrow", batch_size=7)
    found = pa.Table.from_batches(list(loader))["c"].combine_chunks()
    assert found.type.equals(both)
    wanted = pa.chunked_array([column.cast(both) for column in columns]).combine_chunks()
    assert t.same(found.to_pylist(), wanted.to_pylist())


@pytest.mark.parametrize(
    ("one", "other"), [(pa.int64(), pa.uint64()), (pa.int32(), pa.string()), (pa.int64(), pa.float64())], ids=str
)
def test_types_that_hold_each_other_in_no_way_are_refused(tmp_path, one, other):
    write(tmp_path, {"c": pa.nulls(1).cast(one)}, {"c": pa.nulls(1).cast(other)})
    with pytest.raises(shardline.ShardlineValueError, match=r'1\.parquet: column "c" is .* and .*0\.parquet'):
        DataLoader(tmp_path, widen_types=True, **UNION)


COLUMNS = {
    "a": [pa.int32(), pa.int64()],
    "b": [pa.float32(), pa.float64()],
    "c": [pa.list_(pa.int8())],
    "d": [pa.bool_()],
}


@examples(30)
@given(data=st.data(), files=st.integers(2, 5), batch=st.integers(1, 20), stop=st.integers(0, 100))
def test_any_files_as_one_resumed_in_mid_epoch(tmp_path_factory, data, files, batch, stop):
    folder = tmp_path_factory.mktemp("drift")
    rng = np.random.default_rng(1)
    tables = []
    for number in range(files):
        names = data.draw(st.permutations([name for name in COLUMNS if data.draw(st.booleans())]))
        kinds = {name: data.draw(st.sampled_from(COLUMNS[name])) for name in names}
        table = {name: t.random_array(rng, kind, 15, 0.2) for name, kind in kinds.items()}
        tables.append(pa.table({**table, "i": pa.array(range(number * 15, number * 15 + 15))}))
    write(folder, *(dict(zip(table.column_names, table.columns, strict=True)) for table in tables))
    whole = pa.concat_tables(tables, promote_options="permissive")
    defaults = ColumnOptions(nulls="mask")
    options = {
        "columns_from": "all",
        "missing_columns": "null",
        "widen_types": True,
        "batch_size": batch,
        "shuffle": True,
        "column_defaults": defaults,
    }
    loader = DataLoader(folder, **options)
    batches = list(loader)
    order = rows(batches, "i")
    assert sorted(order) == list(range(15 * files))
    assert {name for name in batches[0] if "__" not in name} == set(whole.column_names)
    for name in whole.column_names:
        values = whole[name].to_pylist()
        assert rows(batches, f"{name}__mask") == [values[i] is None for i in order]
        numeric = name in ("a", "b", "d")
        found = [x for x, i in zip(rows(batches, name), order, strict=True) if values[i] is not None]
        if numeric:
            assert t.same(found, [values[i] for i in order if values[i] is not None])
    first = DataLoader(folder, **options)
    taken = list(itertools.islice(first, stop % len(batches)))
    plan = StructuredDataset(folder, **UNION, widen_types=True, column_defaults=defaults).plan
    again = DataLoader(plan=plan, **options)
    again.load_state_dict(first.state_dict())
    assert rows([*taken, *again], "i") == order


def test_a_saved_plan_keeps_the_schema_of_all_files(tmp_path):
    write(tmp_path / "data", {"x": pa.array([1], pa.int32())}, {"x": pa.array([2], pa.int64()), "y": [1.5]})
    plan = StructuredDataset(
        tmp_path / "data",
        columns_from="all",
        missing_columns="null",
        widen_types=True,
        column_defaults=ColumnOptions(nulls="nan"),
    ).plan
    plan.save(tmp_path / "plan")
    batches = list(DataLoader(plan=Plan.load(tmp_path / "plan"), column_options={"y": ColumnOptions(nulls="nan")}))
    assert batches[0]["x"].dtype == torch.int64
    assert torch.equal(batches[0]["y"].isnan(), torch.tensor([True, False]))


def test_fields_of_a_struct_are_not_taken_in(tmp_path):
    for number, row in enumerate(({"a": 1, "b": 2}, {"a": 1})):
        pq.write_table(pa.table({"s": [row]}), tmp_path / f"{number}.parquet")
    with pytest.raises(ValueError, match=r'1\.parquet: column "s".*whole columns'):
        StructuredDataset(tmp_path, **UNION, widen_types=True)
