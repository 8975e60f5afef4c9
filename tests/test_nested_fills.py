"""Nulls in lists of anything and in maps: filled at any depth, and shown to be there."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import shardline
from shardline import ColumnOptions, DataLoader

FILL = ColumnOptions(nulls="fill")
LEAVES = {
    pa.int64(): st.integers(-5, 5),
    pa.float32(): st.sampled_from([0.5, -1.0]),
    pa.bool_(): st.booleans(),
    pa.string(): st.text("ab", max_size=2),
    pa.large_binary(): st.binary(max_size=2),
    pa.dictionary(pa.int32(), pa.string()): st.text("ab", max_size=1),
}
EMPTY = {pa.int64(): 0, pa.float32(): 0.0, pa.bool_(): False, pa.string(): "", pa.large_binary(): b""}


def types(depth):
    if depth == 0:
        return st.sampled_from(list(LEAVES))
    inner = types(depth - 1)
    return st.one_of(
        inner,
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda item: pa.list_(item, 2)),
        inner.map(lambda value: pa.map_(pa.string(), value)),
        st.tuples(inner, inner).map(lambda pair: pa.struct([("x", pair[0]), ("y", pair[1])])),
    )


def values(type_):
    """Of this type, or null."""
    if type_ in LEAVES:
        return st.none() | LEAVES[type_]
    if pa.types.is_fixed_size_list(type_):
        return st.none() | st.lists(values(type_.value_type), min_size=2, max_size=2)
    if pa.types.is_map(type_):
        return st.none() | st.lists(st.tuples(st.text("k", max_size=2), values(type_.item_type)), max_size=2)
    if pa.types.is_struct(type_):
        return st.none() | st.fixed_dictionaries({name: values(type_.field(name).type) for name in ("x", "y")})
    return st.none() | st.lists(values(type_.value_type), max_size=3)


def filled(value, type_):
    """As the page says it."""
    if pa.types.is_dictionary(type_):
        return filled(value, type_.value_type)
    if type_ in EMPTY:
        return EMPTY[type_] if value is None else value
    if pa.types.is_struct(type_):
        return {name: filled((value or {}).get(name), type_.field(name).type) for name in ("x", "y")}
    if pa.types.is_map(type_):
        return [(key, filled(item, type_.item_type)) for key, item in value or []]
    if pa.types.is_fixed_size_list(type_):
        return [filled(item, type_.value_type) for item in value or [None, None]]
    return [filled(item, type_.value_type) for item in value or []]


@st.composite
def columns(draw):
    type_ = draw(types(2).map(pa.list_) | types(1).map(lambda value: pa.map_(pa.string(), value)))
    return type_, draw(st.lists(values(type_), min_size=1, max_size=6))


@given(columns(), st.sampled_from(["arrow", "torch"]))
def test_a_fill_reaches_every_depth(tmp_path_factory, column, output):
    type_, rows = column
    path = tmp_path_factory.mktemp("fills") / "a.parquet"
    pq.write_table(pa.table({"c": pa.array(rows, type_)}), path, row_group_size=4)
    # As objects whatever it is: numbers have tensors otherwise.
    options = {"c": ColumnOptions(nulls="fill", lists="objects")} if output == "torch" else None
    loader = DataLoader(path, batch_size=3, output_format=output, column_defaults=FILL, column_options=options)
    batches = [batch["c"] for batch in loader]
    got = [row for batch in batches for row in (batch.to_pylist() if output == "arrow" else batch)]
    assert got == [filled(row, type_) for row in rows]


def test_a_fill_that_has_no_place_is_refused(tmp_path):
    pq.write_table(pa.table({"c": pa.array([["a", None], None]), "s": ["x", None]}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ShardlineValueError, match=r'"c" is List.*leave fill= out'):
        DataLoader(tmp_path, column_options={"c": ColumnOptions(nulls="fill", fill="?")})
    defaults = ColumnOptions(nulls="fill", fill="?")
    assert next(iter(DataLoader(tmp_path, batch_size=2, column_defaults=defaults))) == {
        "c": [["a", ""], []],
        "s": ["x", "?"],
    }


def test_bools_with_nan(tmp_path):
    pq.write_table(pa.table({"b": [True, None, False]}), tmp_path / "a.parquet")
    loader = DataLoader(tmp_path, batch_size=3, column_defaults=ColumnOptions(nulls="nan"))
    torch.testing.assert_close(next(iter(loader))["b"], torch.tensor([1.0, torch.nan, 0.0]), equal_nan=True)
    assert loader.dataset.schema["b"].dtype == torch.float32


def test_one_error_names_all_columns_with_nulls_and_its_advice_cures(tmp_path):
    nulls = {"a": [1, None], "s": ["x", None], "b": [True, None]}
    pq.write_table(pa.table({**nulls, "without": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ShardlineValueError) as caught:
        DataLoader(tmp_path)
    text = str(caught.value)
    assert "a.parquet: 3 columns have nulls" in text
    assert '"a", "s", "b"; ' in text
    assert 'column_defaults=ColumnOptions(nulls="fill" or "mask")' in text
    for policy in ("fill", "mask"):
        DataLoader(tmp_path, column_defaults=ColumnOptions(nulls=policy))
    with pytest.raises(shardline.ShardlineValueError, match='"a", "b"; .*nulls="fill" or "mask" or "nan"'):
        DataLoader(tmp_path, columns=["a", "b", "without"])


def test_very_many_columns_with_nulls_are_counted(tmp_path):
    pq.write_table(pa.table({f"c{n}": [1, None] for n in range(60)}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ShardlineValueError, match=r'60 columns have nulls.*"c49" and 10 more; give all'):
        DataLoader(tmp_path)
