"""Every type of Arrow, in every output, with nulls of every policy, over what writers can choose: as pyarrow has it."""

from itertools import islice

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
from shardline import ColumnOptions, DataLoader

ROWS = 90


def written(folder, type_, nulls, seed, **writer):
    """Three files of a column `c` and row numbers `i`; and all of it as pyarrow reads it."""
    rng = np.random.default_rng(seed)
    for number in range(3):
        array = t.random_array(rng, type_, ROWS // 3, nulls)
        rows = pa.array(range(number * ROWS // 3, (number + 1) * ROWS // 3), pa.int64())
        pq.write_table(
            pa.table({"c": array, "i": rows}), folder / f"{number}.parquet", **{"row_group_size": 11, **writer}
        )
    parts = [pq.read_table(folder / f"{number}.parquet")["c"].combine_chunks() for number in range(3)]
    whole = pa.chunked_array(parts).combine_chunks()
    return whole.cast(type_) if pa.types.is_date64(type_) else whole  # pyarrow reads date32


def delivered(batches, name="c"):
    """A column of all batches, row by row."""
    return [row for batch in batches for row in t.plain(batch[name])]


def order(batches):
    return [int(i) for batch in batches for i in t.plain(batch["i"])]


def agree(found, expected):
    wrong = [(row, f, e) for row, (f, e) in enumerate(zip(found, expected, strict=True)) if not t.same(f, e)]
    assert not wrong, wrong[:3]


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
)
def test_nulls_are_filled_and_masked(tmp_path_factory, type_, nulls, writer, output, policy, shuffle, batch, seed):
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


@pytest.mark.parametrize("type_", [*t.TEXTS, *t.NESTED[8:12]], ids=str)
@pytest.mark.parametrize("output", ["torch", "numpy"])
def test_nulls_are_kept_in_python_objects(tmp_path, type_, output):
    expected = written(tmp_path, type_, 0.3, 5)
    options = ColumnOptions(nulls="keep")
    batches = list(DataLoader(tmp_path, batch_size=13, output_format=output, column_options={"c": options}))
    agree(delivered(batches), expected.to_pylist())
    masked = list(DataLoader(tmp_path, batch_size=13, column_options={"c": ColumnOptions(nulls="mask")}))
    assert delivered(masked, "c__mask") == [row is None for row in expected.to_pylist()]


@pytest.mark.parametrize("nulls", [0, 0.4])
def test_structs_are_dicts_with_policies_for_their_fields(tmp_path, nulls):
    type_ = pa.struct(
        [
            ("n", pa.int32()),
            ("s", pa.string()),
            ("l", pa.list_(pa.float32())),
            ("in", pa.struct([("d", pa.date32()), ("b", pa.bool_())])),
        ]
    )
    expected = t.numbers(written(tmp_path, type_, nulls, 3))
    options = {
        "c": ColumnOptions(nulls="mask"),
        "c.s": ColumnOptions(nulls="keep"),
        "c.n": ColumnOptions(nulls="fill", fill=-1, dtype=torch.float64),
    }
    loader = DataLoader(tmp_path, batch_size=16, columns=["c"], column_options=options)
    batches = list(loader)
    assert list(batches[0]) == ["c", "c__mask"]
    assert list(batches[0]["c"]) == ["n", "s", "l", "l__mask", "l__item__mask", "in", "in__mask"]
    assert list(batches[0]["c"]["in"]) == ["d", "d__mask", "b", "b__mask"]
    found = delivered(batches)
    assert delivered(batches, "c__mask") == [row is None for row in expected]
    for row, whole in zip(found, expected, strict=True):
        whole = whole or {}
        inner = whole.get("in") or {}
        assert row["n"] == (-1.0 if whole.get("n") is None else float(whole["n"]))
        assert row["s"] == whole.get("s")
        assert row["l__mask"] == (whole.get("l") is None)
        assert t.same(row["l"], t.replaced(whole.get("l") or [], 0.0))
        assert row["l__item__mask"] == [item is None for item in whole.get("l") or []]
        assert row["in__mask"] == (whole.get("in") is None)
        assert (row["in"]["d"], row["in"]["d__mask"]) == (inner.get("d") or 0, inner.get("d") is None)
        assert (row["in"]["b"], row["in"]["b__mask"]) == (inner.get("b") or False, inner.get("b") is None)
    schema = loader.dataset.schema["c"]
    assert [field.name for field in schema.fields] == list(batches[0]["c"])
    assert (schema.fields[0].dtype, schema.fields[0].nulls) == (torch.float64, "fill")


def test_policies_work_on_arrow_data_too(tmp_path):
    table = pa.table(
        {
            "n": pa.array([1, None, 3], pa.int32()),
            "d": pa.array([1, None, 3], pa.date32()),
            "s": pa.array(["a", None, "c"], pa.string_view()),
            "b": pa.array([True, None, False]),
            "l": pa.array([[1, None], None, []], pa.list_(pa.int8())),
            "p": pa.array([[True, None], None, []], pa.list_(pa.bool_())),
            "k": pa.array([None, 2.5, 1e9], pa.float64()),
            "t": pa.array([{"x": 1}, None, {"x": None}], pa.struct([("x", pa.int16())])),
            "f": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    options = {
        "column_defaults": ColumnOptions(nulls="fill"),
        "column_options": {
            "d": ColumnOptions(nulls="fill", fill=7),
            "b": ColumnOptions(nulls="mask"),
            "l": ColumnOptions(nulls="fill", fill=9),
            "p": ColumnOptions(nulls="mask", lists="padded", length=3),
            "k": ColumnOptions(nulls="keep", dtype="float32"),
        },
    }
    (batch,) = DataLoader(tmp_path, output_format="arrow", **options)
    assert batch.schema.field("d").type == pa.date32()
    assert batch.schema.field("k").type == pa.float32()
    wanted = {
        "n": [1, 0, 3],
        "d": table["d"].fill_null(pa.scalar(7, pa.int32()).cast(pa.date32())).to_pylist(),
        "s": ["a", "", "c"],
        "b": [True, False, False],
        "b__mask": [False, True, False],
        "l": [[1, 9], [], []],
        "p": [[True, False, False], [False] * 3, [False] * 3],
        "p__mask": [False, True, False],
        "p__item__mask": [[False, True, False], [False] * 3, [False] * 3],
        "p__length": [2, 0, 0],
        "k": [None, 2.5, 1e9],
        "t": [{"x": 1}, {"x": 0}, {"x": 0}],
        "f": [[1, 2], [0, 0], [3, 0]],
    }
    assert batch.to_pydict() == wanted
    (batch,) = DataLoader(tmp_path, output_format="dict", **options)
    assert batch == wanted
    with pytest.raises(ValueError, match=r'column "n" has nulls'):
        list(DataLoader(tmp_path, output_format="arrow", column_defaults=ColumnOptions(nulls="error")))


def test_a_column_of_nothing_but_nulls(tmp_path):
    pq.write_table(pa.table({"z": pa.nulls(3)}), tmp_path / "a.parquet")
    assert list(DataLoader(tmp_path, output_format="dict")) == [{"z": [None] * 3}]
    with pytest.raises(ValueError, match='"z" has nulls'):
        list(DataLoader(tmp_path))
    of = lambda **options: next(iter(DataLoader(tmp_path, column_options={"z": ColumnOptions(**options)})))["z"]  # noqa: E731
    assert of(nulls="fill", fill=2.5).tolist() == [2.5] * 3
    assert of(nulls="fill", fill=3, dtype="int8").dtype == torch.int8
    assert of(nulls="nan").isnan().all()


def test_int96_timestamps(tmp_path):
    values = pa.array([0, 1_700_000_000_123_456_789, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"t": values}), tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    options = {"t": ColumnOptions(nulls="fill", fill=-1)}
    loader = DataLoader(tmp_path, column_options=options)
    assert next(iter(loader))["t"].tolist() == [0, 1_700_000_000_123_456_789, -1]
    assert loader.dataset.schema["t"].unit == "ns"


def test_extension_types_and_raw_bytes(tmp_path):
    rng = np.random.default_rng(1)
    shaped = pa.fixed_shape_tensor(pa.float32(), [2, 3], permutation=[1, 0])
    raw = rng.integers(0, 255, (5, 6), dtype=np.uint8).astype("f4")
    columns = {
        "id": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([rng.bytes(16) for _ in range(5)], pa.binary(16))),
        "image": pa.ExtensionArray.from_storage(
            shaped, pa.FixedSizeListArray.from_arrays(pa.array(raw.reshape(-1)), 6)
        ),
        "brain": pa.array(
            [torch.tensor([x]).to(torch.bfloat16).view(torch.uint8).numpy().tobytes() for x in (0.5, -2, 3, 4, 5)],
            pa.binary(2),
        ),
        "halves": pa.array([np.array([i, -i], "<f2").tobytes() for i in range(5)], pa.binary(4)),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=3)
    options = {"brain": ColumnOptions(dtype=torch.bfloat16), "halves": ColumnOptions(dtype=torch.float16)}
    loader = DataLoader(tmp_path, batch_size=5, column_options=options)
    (batch,) = loader
    assert [bytes(row) for row in batch["id"].tolist()] == columns["id"].storage.to_pylist()
    assert torch.equal(batch["image"], torch.from_numpy(raw).view(5, 2, 3).permute(0, 2, 1))
    assert batch["brain"].dtype == torch.bfloat16
    assert batch["brain"].tolist() == [0.5, -2, 3, 4, 5]
    assert batch["halves"].tolist() == [[i, -i] for i in range(5)]
    shapes = {name: (column.dtype, column.shape) for name, column in loader.dataset.schema.items()}
    assert shapes == {name: (column.dtype, column.shape[1:]) for name, column in batch.items()}
    (arrow,) = DataLoader(tmp_path, batch_size=5, output_format="arrow")
    assert arrow.schema.field("id").type == pa.uuid()
    assert arrow.schema.field("image").type == shaped


CASTS = [
    (pa.int64(), [1, 2, 300], "int16", [1, 2, 300]),
    (pa.int64(), [1, 2, 300], "int8", "row 2.*300.*int8"),
    (pa.float64(), [0.1, 2.5], "float32", [np.float32(0.1).item(), 2.5]),
    (pa.float64(), [0.5, 1e300], "float32", "row 1.*float32"),
    (pa.float64(), [1.0, 2.5], "int32", "row 1.*2.5.*int32"),
    (pa.int64(), [2**53 + 1], "float64", "row 0.*9007199254740993"),
    (pa.uint64(), [2**64 - 1], "int64", "row 0.*18446744073709551615"),
    (pa.bool_(), [True, False], "float32", [1.0, 0.0]),
    (pa.int8(), [0, 1, 2], "bool", "row 2.*bool"),
    (pa.float32(), [1.0, -0.5], "bfloat16", [1.0, -0.5]),
    (pa.date32(), [1, 20_000], "float32", [1.0, 20_000.0]),
    (pa.decimal128(12, 2), None, "float32", [1.25, -3.5]),
]


@pytest.mark.parametrize(("type_", "values", "dtype", "wanted"), CASTS, ids=str)
def test_casts_are_refused_where_they_would_lose(tmp_path, type_, values, dtype, wanted):
    array = pa.array(values, type_) if values else pa.array([1.25, -3.5]).cast(type_)
    pq.write_table(pa.table({"c": array}), tmp_path / "a.parquet")
    options = {"c": ColumnOptions(dtype=dtype)}
    if isinstance(wanted, str):
        with pytest.raises(shardline.ShardlineValueError, match=r'a\.parquet: column "c" has .*at row') as caught:
            list(DataLoader(tmp_path, column_options=options))
        assert all(word in str(caught.value) for word in wanted.split(".*")), caught.value
        (batch,) = DataLoader(tmp_path, column_options={"c": ColumnOptions(dtype=dtype, lossy=True)})
        assert batch["c"].dtype == getattr(torch, dtype)
    else:
        loader = DataLoader(tmp_path, column_options=options)
        (batch,) = loader
        assert (batch["c"].dtype, batch["c"].tolist()) == (getattr(torch, dtype), wanted)
        assert loader.dataset.schema["c"].dtype == getattr(torch, dtype)


def test_decimals_unscaled(tmp_path):
    values = pa.array([1.25, None, -3.5]).cast(pa.decimal256(50, 2))
    pq.write_table(pa.table({"c": values}), tmp_path / "a.parquet")
    options = ColumnOptions(decimal="unscaled", nulls="fill", fill=-1)
    (batch,) = DataLoader(tmp_path, column_options={"c": options})
    assert batch["c"].tolist() == [125, -1, -350]
    big = pa.array([10**25], pa.decimal128(38, 0))
    pq.write_table(pa.table({"c": big}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet.*row 0.*float64"):
        list(DataLoader(tmp_path, column_options={"c": ColumnOptions(decimal="unscaled")}))


def test_strings_as_bytes_and_offsets(tmp_path):
    expected = written(tmp_path, pa.string(), 0.3, 1)
    options = ColumnOptions(strings="bytes", nulls="fill", fill="none")
    for output in ("torch", "numpy"):
        batches = list(
            DataLoader(tmp_path, batch_size=17, shuffle=True, output_format=output, column_options={"c": options})
        )
        wanted = expected.take(pa.array(order(batches))).fill_null("none").to_pylist()
        assert [bytes(row).decode() for row in delivered(batches)] == wanted
        assert all(int(batch["c"][1][0]) == 0 for batch in batches)


def test_odd_names_many_columns_and_none(tmp_path):
    names = ["a.b", "a", "A", "ü", " ", "", "class", "select", "i__mask", "\n", "x" * 500, "a.b.c"]
    table = pa.table([pa.array([number, number + 100]) for number in range(len(names))], names=names)
    pq.write_table(table, tmp_path / "a.parquet")
    loader = DataLoader(tmp_path)
    assert {name: column.tolist() for name, column in next(iter(loader)).items()} == table.to_pydict()
    for name in names:
        assert list(next(iter(DataLoader(tmp_path, columns=[name])))) == [name]
    assert loader.dataset.schema.names == names
    for output in ("torch", "numpy", "dict"):
        assert list(DataLoader(tmp_path, columns=[], output_format=output, batch_size=1)) == [{}, {}]
    empty = list(DataLoader(tmp_path, columns=[], output_format="arrow", batch_size=1))
    assert [(batch.num_rows, batch.num_columns) for batch in empty] == [(1, 0), (1, 0)]

    many = {f"c{i}": np.arange(20, dtype="f4") + i for i in range(2000)}
    pq.write_table(pa.table(many), tmp_path / "a.parquet", row_group_size=10)
    batches = list(DataLoader(tmp_path, batch_size=8, shuffle=True, shuffle_buffer_size=8))
    assert len(batches[0]) == 2000
    row = torch.cat([batch["c0"] for batch in batches])
    assert torch.equal(torch.cat([batch["c1999"] for batch in batches]), row + 1999)


def test_nested_projection_reads_those_leaves_only(tmp_path):
    item = pa.struct([("name", pa.string()), ("price", pa.float32())])
    user = pa.struct(
        [("age", pa.int32()), ("home", pa.struct([("zip", pa.string()), ("geo", pa.list_(pa.float64(), 2))]))]
    )
    rng = np.random.default_rng(0)
    table = pa.table({"user": t.random_array(rng, user, 60, 0), "items": t.random_array(rng, pa.list_(item), 60, 0)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=25)
    columns = ["user.age", "items.list.element.price", "user.home.geo", "user.home"]
    batches = list(DataLoader(tmp_path, columns=columns, batch_size=7))
    assert list(batches[0]) == columns
    users, items = table["user"].to_pylist(), table["items"].to_pylist()
    agree(delivered(batches, "user.age"), [row["age"] for row in users])
    agree(delivered(batches, "user.home.geo"), [row["home"]["geo"] for row in users])
    agree(delivered(batches, "user.home"), [row["home"] for row in users])
    agree(delivered(batches, "items.list.element.price"), [[one["price"] for one in row] for row in items])

    nulls = pa.table(
        {"user": t.random_array(rng, user, 60, 0.3), "items": t.random_array(rng, pa.list_(item), 60, 0.3)}
    )
    pq.write_table(nulls, tmp_path / "a.parquet", row_group_size=25)
    options = ColumnOptions(nulls="mask")
    batches = list(DataLoader(tmp_path, columns=["user.age", "items.price"], batch_size=7, column_defaults=options))
    users, items = nulls["user"].to_pylist(), nulls["items"].to_pylist()
    assert delivered(batches, "user.age__mask") == [row is None or row["age"] is None for row in users]
    assert delivered(batches, "items.price__mask") == [row is None for row in items]
    wanted = [[one is None or one["price"] is None for one in row or []] for row in items]
    assert delivered(batches, "items.price__item__mask") == wanted
    for name in ("user.nothing", "items.list.element.nothing", "user.age.deeper"):
        with pytest.raises(KeyError, match=name):
            DataLoader(tmp_path, columns=[name])
