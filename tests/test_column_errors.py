"""Values that a column cannot deliver: each an error that names the column, the row where it helps, and what to do."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline import ColumnOptions, DataLoader


def write(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet", row_group_size=16)
    return folder


def test_invalid_utf8_is_named(tmp_path):
    write(tmp_path, s=pa.array(["hello"] * 40))
    data = (tmp_path / "a.parquet").read_bytes()
    at = data.index(b"hello", 8)
    (tmp_path / "a.parquet").write_bytes(data[:at] + b"\xff\xfello" + data[at + 5 :])
    with pytest.raises(shardline.ShardlineValueError, match=r'(?i)a\.parquet: column "s".*utf-?8'):
        list(DataLoader(tmp_path))


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.list_(pa.string()), [["a"], ["b", None]]),
        (pa.list_(pa.int32()), [[1], [2, None]]),
        (pa.map_(pa.string(), pa.int8()), [[("a", 1)], [("b", None)]]),
        (pa.list_(pa.list_(pa.int32())), [[[1]], [[2], None]]),
        (pa.list_(pa.struct([("x", pa.int8())])), [[{"x": 1}], [{"x": None}]]),
        (pa.struct([("x", pa.int8())]), [{"x": 1}, {"x": None}]),
        (pa.list_(pa.int8(), 2), [[1, 2], [3, None]]),
    ],
    ids=str,
)
def test_nested_nulls_are_named(tmp_path, type_, values):
    pq.write_table(pa.table({"c": pa.array(values, type_)}), tmp_path / "a.parquet", write_statistics=False)
    with pytest.raises(
        shardline.ShardlineValueError, match=r'a\.parquet: column "c.*" has nulls \(the first at row 1\)'
    ):
        list(DataLoader(tmp_path))


@pytest.mark.parametrize("output", ["arrow", "dict"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_more_different_values_than_the_codes_of_files_number_is_an_error_that_says_what_to_do(
    tmp_path, output, shuffle
):
    for number in range(3):
        words = pa.array([f"{number} {n}" for n in range(100)]).dictionary_encode()
        words = words.cast(pa.dictionary(pa.int8(), pa.string()))
        pq.write_table(pa.table({"s": words}), tmp_path / f"{number}.parquet")
    given = {"batch_size": 150, "output_format": output, "shuffle": shuffle}
    with pytest.raises(shardline.ShardlineTypeError, match=r'column "s".*Int8.*encode="codes"'):
        list(DataLoader(tmp_path, **given))
    codes = list(DataLoader(tmp_path, **given, column_options={"s": ColumnOptions(encode="codes")}))
    assert sum(len(batch["s"]) for batch in codes) == 300


@pytest.mark.parametrize(
    ("values", "policies"),
    [
        (pa.array(["a", None]), '"fill" or "mask" or "keep"'),
        (pa.array([["a"], None]), '"fill" or "mask" or "keep"'),
        (pa.array([True, None]), '"fill" or "nan" or "mask"'),
        (pa.array([1, None]), '"fill" or "nan" or "mask"'),
        (pa.array([[1, None]]), '"fill" or "nan" or "mask"'),
    ],
)
def test_an_error_of_nulls_names_the_policies_that_the_column_takes(tmp_path, values, policies):
    write(tmp_path, c=values)
    with pytest.raises(shardline.ShardlineValueError) as caught:
        list(DataLoader(tmp_path))
    assert f"ColumnOptions(nulls={policies})" in str(caught.value)
    for policy in policies.split(" or "):
        fill = {"fill": 0 if pa.types.is_integer(values.type) else "b"} if policy == '"fill"' else {}
        if pa.types.is_boolean(values.type) and fill:
            fill = {"fill": False}
        if pa.types.is_list(values.type) and fill:
            fill = {"fill": 0} if pa.types.is_integer(values.type.value_type) else {}
        list(DataLoader(tmp_path, column_options={"c": ColumnOptions(nulls=policy.strip('"'), **fill)}))


def test_the_row_of_a_null_is_the_files_under_a_filter_too(tmp_path):
    write(tmp_path, i=pa.array(range(100)), c=pa.array([None if n == 95 else n for n in range(100)]))
    with pytest.raises(shardline.ShardlineValueError, match="the first at row 95"):
        list(DataLoader(tmp_path, filters=[("i", ">=", 90)], columns=["c"]))
