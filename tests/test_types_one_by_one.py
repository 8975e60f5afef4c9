"""Types that need a test of their own: structs, extensions, casts, decimals, raw strings, odd names, nested fields."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import examples
from support.typed import agree, delivered, order, written

import shardline
from shardline import ColumnOptions, DataLoader


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
    with pytest.raises(ValueError, match=r'6 columns have nulls.* "n", "d", "s", "b", "k", "t";'):
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


VARIABLE = "arrow.variable_shape_tensor"


@examples(20)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_tensors_of_variable_shape_are_the_dict_of_their_storage(tmp_path_factory, seed, dims, batch_size, shuffle):
    folder, rng = tmp_path_factory.mktemp("variable"), np.random.default_rng(seed)
    shapes = rng.integers(0, 4, (20, dims))
    wanted = [rng.standard_normal(shape).astype("f4") for shape in shapes]
    fields = [("data", pa.list_(pa.float32())), ("shape", pa.list_(pa.int32(), dims))]
    rows = [{"data": one.reshape(-1), "shape": list(one.shape)} for one in wanted]
    metadata = {"ARROW:extension:name": VARIABLE, "ARROW:extension:metadata": "{}"}
    schema = pa.schema([pa.field("t", pa.struct(fields), metadata=metadata), ("i", pa.int64())])
    table = pa.table([pa.array(rows, pa.struct(fields)), range(20)], schema=schema)
    pq.write_table(table, folder / "a.parquet", row_group_size=6)
    loader = DataLoader(folder, batch_size=batch_size, shuffle=shuffle)
    seen = 0
    for batch in loader:
        for row, data, shape in zip(batch["i"].tolist(), batch["t"]["data"].unbind(), batch["t"]["shape"], strict=True):
            assert np.array_equal(data.view(tuple(shape.tolist())).numpy(), wanted[row])
            seen += 1
    assert seen == 20
    for batch in DataLoader(folder, batch_size=batch_size, output_format="arrow"):
        assert batch.schema.field("t").type.extension_name == VARIABLE
        assert batch["t"].storage.to_pylist() == [
            {"data": wanted[row].reshape(-1).tolist(), "shape": list(wanted[row].shape)}
            for row in batch["i"].to_pylist()
        ]


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


@pytest.mark.parametrize("output", ["torch", "numpy"])
def test_tensors_of_one_shape_have_it_in_masks_and_structs_too(tmp_path, output):
    numbers = [[1, None, 3, 4, 5, 6], [7, 8, 9, 10, 11, None]]
    storage = pa.array(numbers, pa.list_(pa.float32(), 6))
    image = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 3], permutation=[1, 0]), storage)
    struct = pa.StructArray.from_arrays([image], names=["image"])
    pq.write_table(pa.table({"image": image, "in": struct}), tmp_path / "a.parquet")
    defaults = ColumnOptions(nulls="mask", fill=-1)
    loader = DataLoader(tmp_path, output_format=output, column_defaults=defaults)
    (batch,) = loader
    wanted = np.array([[-1 if x is None else x for x in row] for row in numbers], "f4").reshape(2, 2, 3)
    for found, schema in (
        (batch, loader.dataset.schema),
        (batch["in"], {field.name: field for field in loader.dataset.schema["in"].fields}),
    ):
        assert t.plain(found["image"]) == wanted.transpose(0, 2, 1).tolist()
        assert t.plain(found["image__item__mask"]) == (wanted.transpose(0, 2, 1) == -1).tolist()
        assert found["image__mask"].tolist() == [False, False]
        for name in ("image", "image__item__mask", "image__mask"):
            assert tuple(found[name].shape[1:]) == schema[name].shape


def test_a_mask_in_a_dict_is_described_by_its_own_field(tmp_path):
    type_ = pa.struct([("ab", pa.string()), ("a", pa.float32()), ("a__", pa.list_(pa.int8()))])
    pq.write_table(pa.table({"c": pa.array([{"a": None, "ab": "x"}], type_)}), tmp_path / "a.parquet")
    schema = DataLoader(tmp_path, column_defaults=ColumnOptions(nulls="mask")).dataset.schema["c"]
    assert {field.name: field.type for field in schema.fields} == {
        "ab": pa.string(),
        "ab__mask": pa.string(),
        "a": pa.float32(),
        "a__mask": pa.float32(),
        "a__": type_.field("a__").type,
        "a____mask": type_.field("a__").type,
        "a____item__mask": type_.field("a__").type,
    }


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
    # Batches that cross a window's border too.
    across = DataLoader(tmp_path, columns=[], output_format="arrow", batch_size=2, shuffle=True, shuffle_buffer_size=1)
    assert [batch.num_rows for batch in across] == [2]
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
