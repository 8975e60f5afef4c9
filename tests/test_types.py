"""Every type of Arrow, in every output, with nulls of every policy, over what writers can choose: as pyarrow has it."""

from itertools import islice

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import examples
from support.typed import ROWS, agree, delivered, order, written

import shardline
from shardline import ColumnOptions, DataLoader

WRITERS = st.fixed_dictionaries(
    {
        "compression": st.sampled_from(["snappy", "zstd", "none"]),
        "use_dictionary": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "write_page_index": st.booleans(),
        "data_page_size": st.sampled_from([64, 1 << 20]),
        "write_batch_size": st.sampled_from([3, 1024]),
        "row_group_size": st.sampled_from([4, 11, 100]),
    }
)


@examples(250)
@given(
    type_=st.sampled_from(t.ALL),
    nulls=st.sampled_from([0, 0, 0.2, 1]),
    writer=WRITERS,
    output=st.sampled_from(["torch", "numpy", "arrow", "dict"]),
    shuffle=st.booleans(),
    batch=st.integers(1, 40),
    seed=st.integers(0, 1000),
    stop=st.integers(0, 90),
)
def test_every_type_in_every_output_as_pyarrow_has_it(
    tmp_path_factory, type_, nulls, writer, output, shuffle, batch, seed, stop
):
    """Under the policies by default, and resumed in mid-epoch."""
    folder = tmp_path_factory.mktemp("types")
    expected = written(folder, type_, nulls, seed, **writer)
    options = {"batch_size": batch, "output_format": output, "shuffle": shuffle, "shuffle_buffer_size": 40}
    tensors = output in ("torch", "numpy")
    if nulls and tensors:
        with pytest.raises(shardline.ShardlineValueError, match=r'\d\.parquet: column "c.*" has nulls'):
            list(DataLoader(folder, **options))
        return
    loader = DataLoader(folder, **options)
    batches = list(loader)
    rows = order(batches)
    assert sorted(rows) == list(range(ROWS))
    values = t.numbers(expected) if tensors else expected.to_pylist()
    agree(delivered(batches), [values[row] for row in rows])
    first = DataLoader(folder, **options)
    taken = list(islice(first, stop % len(batches)))
    again = DataLoader(folder, **options)
    again.load_state_dict(first.state_dict())
    rest = list(again)
    assert order(taken) + order(rest) == rows
    agree(delivered(rest), delivered(batches[len(taken) :]))


@examples(250)
@given(
    type_=st.sampled_from([*t.NUMBERS, *t.TEXTS, *t.OTHERS[:2], *t.NESTED[:8]]),
    nulls=st.sampled_from([0, 0.1, 0.5, 1]),
    writer=WRITERS,
    output=st.sampled_from(["torch", "numpy"]),
    policy=st.sampled_from(["fill", "mask"]),
    shuffle=st.booleans(),
    batch=st.integers(1, 40),
    seed=st.integers(0, 1000),
    stop=st.integers(0, 90),
)
def test_nulls_are_filled_and_masked(
    tmp_path_factory, type_, nulls, writer, output, policy, shuffle, batch, seed, stop
):
    """And resumed in mid-epoch, each key as it was."""
    folder = tmp_path_factory.mktemp("nulls")
    expected = written(folder, type_, nulls, seed, **writer)
    options = {"batch_size": batch, "output_format": output, "shuffle": shuffle, "shuffle_buffer_size": 40}
    loader = DataLoader(folder, column_options={"c": ColumnOptions(nulls=policy)}, **options)
    batches = list(loader)
    keys = [key for key in batches[0] if key != "i"]
    values = t.numbers(expected)
    wanted = [values[row] for row in order(batches)]
    agree(delivered(batches), [filled(type_, row) for row in wanted])
    listed = isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType))
    assert keys == (["c"] if policy == "fill" else ["c", "c__mask", *(["c__item__mask"] if listed else [])])
    if policy == "mask":
        assert delivered(batches, "c__mask") == [row is None for row in wanted]
    if policy == "mask" and listed:
        full = [mask_like(type_) if row is None else mask_of(type_, row) for row in wanted]
        assert delivered(batches, "c__item__mask") == full
    first = DataLoader(folder, column_options={"c": ColumnOptions(nulls=policy)}, **options)
    taken = list(islice(first, stop % len(batches)))
    again = DataLoader(folder, column_options={"c": ColumnOptions(nulls=policy)}, **options)
    again.load_state_dict(first.state_dict())
    rest = list(again)
    for key in keys:
        agree(delivered(rest, key), delivered(batches[len(taken) :], key))


def zero_of(type_):
    """What a null number or text is filled with."""
    item = type_
    while isinstance(item, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        item = item.value_type
    if item in t.TEXTS:
        return "" if item in t.TEXTS[:3] else b""
    if pa.types.is_boolean(item):
        return False
    if pa.types.is_floating(item) or pa.types.is_decimal(item):
        return 0.0
    return 0


def filled(type_, row):
    """A row with zeros for nulls, at every depth."""
    if row is None:
        return zero_like(type_)
    if isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        return [filled(type_.value_type, item) for item in row]
    return row


def zero_like(type_):
    """What a null row is filled with: a list of no length has no items, one of a length has all."""
    if isinstance(type_, pa.FixedSizeListType):
        return [zero_like(type_.value_type)] * type_.list_size
    if isinstance(type_, (pa.ListType, pa.LargeListType)):
        return []
    return [0] * type_.byte_width if pa.types.is_fixed_size_binary(type_) else zero_of(type_)


def mask_of(type_, row):
    """Which innermost values of a row are null."""
    if row is None:
        return mask_like(type_)
    if isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        return [mask_of(type_.value_type, item) for item in row]
    return False


def mask_like(type_):
    if isinstance(type_, pa.FixedSizeListType):
        return [mask_like(type_.value_type)] * type_.list_size
    return [] if isinstance(type_, (pa.ListType, pa.LargeListType)) else True


@examples(30)
@given(
    type_=st.sampled_from([*t.INTEGERS[:3], *t.INTEGERS[4:7], *t.FLOATS, *t.DECIMALS, *t.NESTED[6:8]]),
    nulls=st.sampled_from([0, 0.3, 1]),
    seed=st.integers(0, 1000),
)
def test_nulls_are_nan(tmp_path_factory, type_, nulls, seed):
    folder = tmp_path_factory.mktemp("nan")
    expected = t.numbers(written(folder, type_, nulls, seed))
    batches = list(DataLoader(folder, batch_size=17, column_options={"c": ColumnOptions(nulls="nan")}))
    assert batches[0]["c"].dtype.is_floating_point

    def floats(type_, row):
        if isinstance(type_, pa.FixedSizeListType):
            return [floats(type_.value_type, item) for item in (row or [None] * type_.list_size)]
        return float("nan") if row is None else float(row)

    agree(delivered(batches), [floats(type_, row) for row in expected])
