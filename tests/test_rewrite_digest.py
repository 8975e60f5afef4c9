"""The digest: the same for the same rows in any order and storage, another one for any other rows."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import digest_model, examples

from shardline import DataLoader, rewrite, row_digest
from shardline.errors import ShardlineTypeError
from shardline.rewrite.digest import Digest, digest
from shardline.rewrite.types import stored_schema


def of(values, type_=None, name="x"):
    return digest(pa.record_batch({name: pa.array(values, type_)}))


@examples(150)
@given(type_=st.sampled_from(t.ALL), nulls=st.sampled_from([0, 0.3]), seed=st.integers(0, 1000), cut=st.integers(0, 40))
def test_order_and_cuts_do_not_count_and_values_do(type_, nulls, seed, cut):
    """By a row that is another one by Python's word, and for any type."""
    rng = np.random.default_rng(seed)
    array = t.random_array(rng, type_, 40, nulls)
    whole = digest(pa.record_batch({"x": array}))
    assert whole == digest_model.digest(pa.record_batch({"x": array}))
    assert whole.rows == 40
    assert digest(pa.record_batch({"x": array[:cut]})) + digest(pa.record_batch({"x": array[cut:]})) == whole
    stored = pa.Table.from_arrays([array], ["x"]).cast(stored_schema(pa.schema([("x", type_)])))
    order = rng.permutation(40)
    mixed = stored.combine_chunks().to_batches()[0].take(pa.array(order))
    assert digest(mixed) == whole  # and without dictionaries and views
    other = t.random_array(rng, type_, 40, nulls)
    rows, others = sorted(map(repr, array.to_pylist())), sorted(map(repr, other.to_pylist()))
    assert (digest(pa.record_batch({"x": other})) == whole) == (rows == others)
    assert digest(mixed.slice(0, 39)) != whole


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (([1, 2, None], pa.int64()), ([1, 2, None], pa.int8())),
        (([1.5, None, math.nan], pa.float64()), ([1.5, None, math.nan], pa.float32())),
        (([0.0, -0.0], pa.float32()), ([-0.0, 0.0], pa.float16())),
        ((["a", None, ""], pa.string()), (["a", None, ""], pa.large_string())),
        ((["a", None, ""], pa.string()), (["a", None, ""], pa.dictionary(pa.int32(), pa.string()))),
        (([[1, 2], [3, 4]], pa.list_(pa.int64())), ([[1, 2], [3, 4]], pa.list_(pa.int16(), 2))),
        (([5], pa.timestamp("s")), ([5_000], pa.timestamp("ms"))),
        (
            ([Decimal("1.5"), Decimal("-1.5")], pa.decimal128(9, 1)),
            ([Decimal("1.5"), Decimal("-1.5")], pa.decimal256(60, 1)),
        ),
        (([Decimal("-0.1")], pa.decimal32(3, 1)), ([Decimal("-0.1")], pa.decimal128(30, 1))),
    ],
)
def test_storage_does_not_count(one, other):
    assert of(*one) == of(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0.0], [-0.0]),
        ([None], [0]),
        (["ab", "c"], ["a", "bc"]),
        (["a"], ["a\0"]),
        ([""], [None]),
        (["12345678", ""], ["1234567", "8"]),
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([[]], [None]),
        ([[None]], [[]]),
        ([[1, 2]], [[2, 1]]),
        ([{"a": 1, "b": 2}], [{"a": 2, "b": 1}]),
        ([{"a": None}], [None]),
        ([1, 1, 2], [1, 2, 2]),
        ([2**63, 1], [2**63 + 1, 0]),
    ],
)
def test_other_rows_are_others(one, other):
    kind = pa.uint64() if one == [2**63, 1] else None
    kind = pa.float64() if one == [0.0] else pa.array(one + other).type if kind is None else kind
    assert of(one, kind) != of(other, kind)


def test_values_that_change_places_between_columns_or_rows_are_seen():
    rows = pa.record_batch({"x": [1, 2], "y": [3, 4]})
    assert digest(rows) != digest(pa.record_batch({"y": [1, 2], "x": [3, 4]}))
    assert digest(rows) != digest(pa.record_batch({"x": [1, 2], "y": [4, 3]}))
    assert digest(rows) == digest(rows.select(["y", "x"]))
    # Both signs turned: the highest bits, which a product loses first.
    pair = digest(pa.record_batch({"x": [1.0], "y": [1.0]}))
    assert pair != digest(pa.record_batch({"x": [-1.0], "y": [-1.0]}))


def test_sums_are_uniform():
    """Of 2,000 small numbers: every bit is set half the time."""
    sums = [digest(pa.record_batch({"x": [i]})) for i in range(2_000)]
    bits = np.array([[d.low >> b & 1 for b in range(64)] + [d.high >> b & 1 for b in range(64)] for d in sums])
    assert abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / math.sqrt(len(sums))
    assert len({(d.low, d.high) for d in sums}) == len(sums)


def test_long_values_slices_and_bytes_at_odd_addresses():
    """As the model has it: values beyond the tables and the blocks, and arrays that begin in the middle of others."""
    rng = np.random.default_rng(0)
    long = [rng.bytes(size) for size in (0, 7, 8, 9, 8_191, 8_192, 100_003)]
    numbers = [rng.integers(0, 9, size) for size in (0, 1, 1_023, 1_025, 70_000)]
    odd = np.frombuffer(b"\0" * 3 + rng.bytes(8 * 50), np.uint8)[3:]
    arrays = [
        pa.array(long * 3, pa.large_binary()),
        pa.array(numbers, pa.list_(pa.int64())),
        pa.array([list(enumerate(each.tolist())) for each in numbers], pa.map_(pa.int32(), pa.int64())),
        pa.array([str(i % 7) for i in range(20_000)]).dictionary_encode(),
        pa.array([None, "a"] * 3_000, pa.string_view()),
        pa.array([[[i % 128], [None]] for i in range(9_000)], pa.list_(pa.list_(pa.int8(), 1), 2)),
        pa.Array.from_buffers(pa.decimal128(30, 2), 25, [None, pa.py_buffer(odd)]),
        pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string())),
    ]
    for array in arrays:
        for part in (array, array.slice(1), array.slice(1, max(1, len(array) - 2))):
            batch = pa.record_batch({"x": part})
            assert digest(batch) == digest_model.digest(batch), array.type


def test_what_has_no_value_is_named():
    intervals = pa.array([pa.MonthDayNano([1, 2, 3])])
    with pytest.raises(ShardlineTypeError, match=r"column 'when': Interval\(MonthDayNano\) has no digest"):
        digest(pa.record_batch({"when": intervals}))


def test_it_does_not_change():
    """It may have been written down: other digits are another digest, and would be said in the changelog."""
    rows = {"x": [1, None, 3], "y": ["a", "bc", "a longer text"], "z": [[1.5], [], None]}
    assert str(digest(pa.record_batch(rows))) == "8b3124c6ea3767bac0c2f00bfb54b5e8"


def test_no_rows():
    assert digest(pa.record_batch({"x": pa.array([], pa.int64())})) == Digest()
    assert str(Digest()) == "0" * 32


def test_a_data_set_has_the_digest_that_rewrite_verified(rows, tmp_path):
    """In whatever files, and of the rows and columns that are meant."""
    folder = rows([[100, 50], [7]])
    report = rewrite(folder, tmp_path / "out", shuffle=True, narrow=True, row_group_rows=20, file_rows=60)
    assert row_digest(folder) == row_digest(tmp_path / "out", num_threads=1) == report.digest
    assert row_digest([tmp_path / "out"], filters=[("i", "<", 100)], columns=["x", "i"]) == row_digest(
        folder, filters=[("i", "<", 100)]
    )
    assert row_digest(folder, columns=["i"]) != report.digest
    assert len(DataLoader(tmp_path / "out").dataset.plan.files()) > 1
    with pytest.raises(ShardlineTypeError, match="there is no argument 'shuffle' here"):
        row_digest(folder, shuffle=True)
