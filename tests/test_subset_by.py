"""`subset_by=`: rows with equal keys stay together, and which keys are in a subset is what docs/order.md says."""

import datetime as dt
import math
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

import shardline
from shardline import DataLoader


def form(value):
    """A value's canonical form, written from docs/order.md alone."""

    def integer(tag, number):
        return bytes([tag]) + int(number).to_bytes(16, "little", signed=True)

    if value is None:
        return b"\0"
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return b"\6" + struct.pack("<Q", len(data)) + data
    if isinstance(value, dt.datetime):
        return integer(3, (value - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) * 1000)
    if isinstance(value, dt.date):
        return integer(3, (value - dt.date(1970, 1, 1)).days * 86_400 * 10**9)
    if isinstance(value, dt.time):
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return integer(4, (seconds * 10**6 + value.microsecond) * 1000)
    if isinstance(value, dt.timedelta):
        return integer(5, value // dt.timedelta(microseconds=1) * 1000)
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return integer(1, value)
        value = float(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2.0**64:
            return integer(1, value)
        return b"\2" + struct.pack("<d", math.nan if math.isnan(value) else value)
    return integer(1, value)


def is_in(values, low, high, seed):
    place = xxhash.xxh3_64_intdigest(b"".join(map(form, values)), seed=seed)
    return int(low * 2.0**64) <= place < int(high * 2.0**64)


ints = st.integers(-(2**31), 2**31 - 1)
COLUMNS = {
    pa.int8(): st.integers(-128, 127),
    pa.int32(): ints,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.bool_(): st.booleans(),
    pa.float32(): st.floats(width=32) | ints.map(lambda v: float(np.float32(v))),
    pa.float64(): st.floats() | st.integers(-(2**53), 2**53).map(float),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    pa.binary(): st.binary(max_size=5),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.date32(): st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    pa.timestamp("ms"): st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(
        lambda v: v.replace(microsecond=v.microsecond // 1000 * 1000)
    ),
    pa.timestamp("us"): st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)),
    pa.time64("us"): st.times(),
    pa.duration("us"): st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    pa.decimal128(12, 2): st.integers(-(10**11), 10**11).map(lambda v: Decimal(v).scaleb(-2)),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["a", "b", "c", ""]),
    pa.dictionary(pa.int32(), pa.int64()): ints,
}


@st.composite
def tables(draw):
    types = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    rows = draw(st.integers(1, 60))
    of = [draw(st.lists(st.none() | COLUMNS[type_], min_size=rows, max_size=rows)) for type_ in types]
    columns = {f"k{n}": pa.array(values, type_) for n, (type_, values) in enumerate(zip(types, of, strict=True))}
    return pa.table({"row": np.arange(rows), **columns}), of


def rows_of(path, **options):
    return [row for batch in DataLoader(path, columns=["row"], **options) for row in batch["row"].tolist()]


@settings(max_examples=100)
@given(made=tables(), cut=st.floats(0, 1), seed=st.integers(0, 2**64 - 1), group=st.integers(1, 40))
def test_the_keys_of_a_subset_are_those_of_the_formula(tmp_path_factory, made, cut, seed, group):
    table, values = made
    path = tmp_path_factory.mktemp("keys") / "a.parquet"
    pq.write_table(table, path, row_group_size=group)
    names = table.column_names[1:]
    found = []
    for low, high in ((0.0, cut), (cut, 1.0)):
        wanted = [row for row, key in enumerate(zip(*values, strict=True)) if is_in(key, low, high, seed)]
        found += wanted
        options = {"subset": (low, high), "subset_by": names, "sample_seed": seed}
        if low < high and (low, high) != (0.0, 1.0):
            if not wanted:
                with pytest.raises(shardline.ShardlineValueError, match="no row passes"):
                    rows_of(path, **options)
            else:
                assert rows_of(path, **options) == wanted
    assert sorted(found) == list(range(table.num_rows))


def test_the_same_key_of_another_type_is_the_same_key(tmp_path):
    keys = np.arange(500)
    stored = {
        "int32": pa.array(keys, pa.int32()),
        "uint64": pa.array(keys, pa.uint64()),
        "dictionary": pa.array(keys, pa.int64()).dictionary_encode(),
        "float64": pa.array(keys.astype(float)),
        "decimal": pa.array([Decimal(int(key)) for key in keys], pa.decimal128(10, 3)),
    }
    found = {}
    for name, column in stored.items():
        pq.write_table(pa.table({"row": keys, "user": column}), tmp_path / f"{name}.parquet")
        found[name] = rows_of(tmp_path / f"{name}.parquet", subset=(0.2, 0.6), subset_by="user")
    assert all(rows == found["int32"] for rows in found.values())
    assert 150 < len(found["int32"]) < 250
    text = pa.table({"row": keys, "user": [str(key) for key in keys]})
    pq.write_table(text, tmp_path / "text.parquet")
    assert rows_of(tmp_path / "text.parquet", subset=(0.2, 0.6), subset_by="user") != found["int32"]


def users(folder, files=3, rows=400):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(files):
        user = random.integers(0, 50, rows)
        table = pa.table({"row": np.arange(number * rows, (number + 1) * rows), "user": user, "x": random.random(rows)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=64)
    return folder


def test_no_user_is_on_both_sides(tmp_path):
    path = users(tmp_path / "users")
    sides = []
    for subset in ((0.0, 0.7), (0.7, 1.0)):
        loader = DataLoader(path, subset=subset, subset_by="user", shuffle=True, num_shards=2)
        sides.append({user for batch in loader for user in batch["user"].tolist()})
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(range(50))
    assert 25 <= len(sides[0]) <= 44


@pytest.mark.parametrize("rule", [[("x", ">", 0.5)], pc.greater(pc.field("x"), 0.5), pc.sin(pc.field("x")) > 0.4])
def test_a_filter_beside_it(tmp_path, rule):
    path = users(tmp_path / "users")
    table = pa.concat_tables(pq.read_table(file) for file in sorted(path.iterdir()))
    passes = (
        table["x"].to_numpy() > 0.5
        if not (isinstance(rule, pc.Expression) and "sin" in str(rule))
        else (np.sin(table["x"].to_numpy()) > 0.4)
    )
    inside = np.array([is_in([user], 0.0, 0.5, 3) for user in table["user"].to_pylist()])
    wanted = table["row"].to_numpy()[passes & inside].tolist()
    assert rows_of(path, filters=rule, sample=0.5, subset_by=["user"], sample_seed=3) == wanted


def test_a_column_of_the_folders_is_a_key(tmp_path):
    for day in range(12):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(pa.table({"row": [day, day]}), tmp_path / f"day={day}" / "a.parquet")
    options = {"partitioning": "hive", "subset": (0.0, 0.5), "subset_by": "day"}
    wanted = [day for day in range(12) for _ in range(2) if is_in([day], 0.0, 0.5, 0)]
    assert sorted(rows_of(tmp_path, **options)) == wanted


def test_a_state_says_by_which_columns(tmp_path):
    path = users(tmp_path / "users")
    options = {"subset": (0.0, 0.7), "subset_by": "user", "columns": ["row"], "batch_size": 32, "shuffle": True}
    loader = DataLoader(path, **options)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = [batch["row"].tolist() for batch in batches]
    fresh = DataLoader(path, **options)
    fresh.load_state_dict(state)
    assert [batch["row"].tolist() for batch in fresh] == rest
    with pytest.raises(shardline.CheckpointMismatchError, match="subset_by"):
        DataLoader(path, **{**options, "subset_by": None}).load_state_dict(state)
    with pytest.raises(shardline.CheckpointMismatchError, match="subset_by"):
        DataLoader(path, **{**options, "subset_by": ["user", "x"]}).load_state_dict(state)
    assert "user" in repr(loader.dataset)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"subset_by": "user"}, shardline.ShardlineValueError, "subset_by.*(sample|subset)"),
        ({"subset": (0, 0.5), "subset_by": "usr"}, shardline.ColumnNotFoundError, "subset_by=.*user"),
        ({"subset": (0, 0.5), "subset_by": []}, shardline.ShardlineValueError, "subset_by must name one column"),
        ({"subset": (0, 0.5), "subset_by": ["x", "x"]}, shardline.ShardlineValueError, "once"),
        ({"subset": (0, 0.5), "subset_by": 7}, shardline.ShardlineTypeError, "subset_by must be the name"),
        ({"subset": (0, 0.5), "subset_by": "items"}, shardline.ShardlineTypeError, "subset_by.*items.*List"),
        ({"subset": (0, 0.5), "subset_by": "place.x"}, shardline.ColumnNotFoundError, "subset_by.*whole columns"),
    ],
)
def test_what_is_no_key(tmp_path, options, error, words):
    table = pa.table({"user": [1, 2], "x": [1.0, 2.0], "items": [[1], [2]], "place": [{"x": 1}, {"x": 2}]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(error, match=words):
        DataLoader(tmp_path, columns=["x"], **options)
