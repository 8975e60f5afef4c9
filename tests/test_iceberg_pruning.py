"""Files that a filter rules out by their partitions, hidden ones too: rows are the same with it and without."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.transforms import parse_transform
from pyiceberg.types import DateType, DecimalType, LongType, StringType, TimestampType
from support import duck, examples, ids
from support.iceberg import Table

from shardline import ShardlineValueError, StructuredDataset
from shardline.sources.iceberg.transforms import bounds_of, bucket_of

_DAY, _MICRO = datetime.date(1970, 1, 1), datetime.timedelta(microseconds=1)
_START = datetime.datetime(1970, 1, 1)
KINDS = {
    "long": (LongType(), pa.int64(), st.integers(-60, 60)),
    "string": (StringType(), pa.string(), st.text("aß\U0010ffff\ud7ff", max_size=4)),
    "decimal(9, 2)": (
        DecimalType(9, 2),
        pa.decimal128(9, 2),
        st.integers(-3000, 3000).map(lambda n: Decimal(n).scaleb(-2)),
    ),
    "date": (DateType(), pa.date32(), st.integers(-800, 800).map(lambda n: _DAY + datetime.timedelta(n))),
    "timestamp": (
        TimestampType(),
        pa.timestamp("us"),
        st.integers(-(10**9), 10**9).map(lambda n: _START + datetime.timedelta(seconds=n / 37)),
    ),
}
TRANSFORMS = {
    "long": ["identity", "bucket[3]", "truncate[7]"],
    "string": ["identity", "bucket[3]", "truncate[2]"],
    "decimal(9, 2)": ["identity", "bucket[3]", "truncate[50]"],
    "date": ["identity", "bucket[3]", "year", "month", "day"],
    "timestamp": ["identity", "bucket[3]", "year", "month", "day", "hour"],
}
PAIRS = [(kind, transform) for kind, of in TRANSFORMS.items() for transform in of]


def stored(kind, value):
    """A value as manifests and filters have it: times as counts of units."""
    if isinstance(value, datetime.datetime):
        return (value - _START) // _MICRO
    return (value - _DAY).days if isinstance(value, datetime.date) else value


def partition(kind, transform, value):
    """As pyiceberg has it."""
    return parse_transform(transform).transform(KINDS[kind][0])(stored(kind, value))


@pytest.mark.parametrize(("kind", "transform"), PAIRS)
@examples(100)
@given(st.data())
def test_a_value_lies_within_its_partition_s_bounds(kind, transform, data):
    _, arrow, values = KINDS[kind]
    value = data.draw(values)
    of = partition(kind, transform, value)
    if (bucket := bucket_of(transform, arrow)) is not None:
        given = stored(kind, value)
        given = given.encode() if isinstance(given, str) else given
        assert bucket(int(given.scaleb(2)) if isinstance(given, Decimal) else given) == of
        return
    found = bounds_of(transform, of, arrow)
    if found is None:
        assert set(of) == {"\U0010ffff"}, "after which there is no text"
    else:
        assert found[0] <= stored(kind, value) <= found[1]
    if transform in ("year", "month", "day", "hour") and of < 0:
        # Iceberg up to 0.10 wrote the partition of times before 1970 one too large.
        low, high = bounds_of(transform, of + 1, arrow)
        assert low <= stored(kind, value) <= high


@pytest.mark.parametrize("value", [34, -1, 2**40])
def test_buckets_are_those_that_duckdb_finds(value):
    assert bucket_of("bucket[16]", pa.int64())(value) == duck.call("iceberg_bucket", 16, value)
    assert bucket_of("bucket[16]", pa.string())(str(value).encode()) == duck.call("iceberg_bucket", 16, str(value))


def numbered(kind, values, start=0):
    _, arrow, _ = KINDS[kind]
    return pa.table({"i": pa.array(range(start, start + len(values)), pa.int64()), "k": pa.array(values, arrow)})


def partitioned(path, kind, transforms, values):
    """A file for each value: of a spec for each transform in turn."""
    fields = [(1, "i", "long"), (2, "k", kind)]
    table = Table.create(path, fields)
    for number, transform in enumerate(transforms):
        table.repartition([(2, 1000 + number, f"k {number}", transform)])
        files = [
            table.data_file(numbered(kind, [each], at), (None if each is None else partition(kind, transform, each),))
            for at, each in enumerate(values, number * len(values))
        ]
        table.commit(files)
    return table


OPERATORS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@pytest.mark.parametrize("kind", KINDS)
@examples(12)
@given(st.data())
def test_rows_are_the_same_with_it_and_without(tmp_path_factory, kind, data):
    values = data.draw(st.lists(st.none() | KINDS[kind][2], min_size=1, max_size=5))
    transforms = data.draw(st.lists(st.sampled_from(TRANSFORMS[kind]), min_size=1, max_size=2))
    table = partitioned(tmp_path_factory.mktemp("pruned") / "t", kind, transforms, values)
    rows = list(enumerate(values * len(transforms)))
    for _ in range(4):
        asked = data.draw(KINDS[kind][2] | st.sampled_from([each for each in values if each is not None] or [None]))
        if asked is None:
            continue
        operator = data.draw(st.sampled_from([*OPERATORS, "in"]))
        if operator == "in":
            filters, passes = [("k", "in", [asked])], OPERATORS["="]
        else:
            filters, passes = [("k", operator, asked)], OPERATORS[operator]
        wanted = [i for i, value in rows if value is not None and passes(value, asked)]
        if data.draw(st.booleans()):
            filters.append(("i", ">=", 1))
            wanted = [i for i in wanted if i >= 1]
        make = {"format": "iceberg", "columns": ["i"], "batch_size": 100, "filters": filters}
        if not wanted:
            with pytest.raises(ShardlineValueError, match="no row passes"):
                StructuredDataset(table.path, **make)
            continue
        dataset = StructuredDataset(table.path, **make)
        assert sorted(row for batch in ids(dataset) for row in batch) == wanted


TIMES = [datetime.datetime(2024, 1, day, 5) for day in (1, 2, 3, 4)]
DAYS = [datetime.date(2024, month, 5) for month in (1, 2, 3, 4)]
KEPT = [
    ("timestamp", "day", TIMES, [("k", ">=", TIMES[2])], 2),
    ("timestamp", "hour", TIMES, [("k", "=", TIMES[1])], 1),
    ("timestamp", "month", TIMES, [("k", ">=", TIMES[3])], 4),
    ("date", "month", DAYS, [("k", "<", datetime.date(2024, 3, 1))], 2),
    ("date", "year", DAYS, [("k", "<", datetime.date(2024, 3, 1))], 4),
    ("long", "truncate[10]", [5, 15, 25, None], [("k", ">", 19)], 1),
    ("long", "bucket[16]", [1, 3, 4, None], [("k", "=", 3)], 1),
    ("long", "bucket[16]", [1, 3, 4, None], [("k", "in", [1, 3])], 2),
    ("long", "bucket[16]", [1, 3, 4, None], [("k", ">", 3)], 3),
    ("string", "truncate[2]", ["abc", "abd", "b", None], [("k", "=", "abd")], 2),
    ("decimal(9, 2)", "bucket[16]", [Decimal("1.00"), Decimal("2.00")], [("k", "=", Decimal("2.00"))], 1),
]


@pytest.mark.parametrize(("kind", "transform", "values", "filters", "kept"), KEPT)
def test_files_of_other_partitions_are_not_even_opened(tmp_path, kind, transform, values, filters, kept):
    table = partitioned(tmp_path / "t", kind, [transform], values)
    dataset = StructuredDataset(table.path, format="iceberg", filters=filters, batch_size=9)
    assert dataset.plan.num_files == kept


def test_a_filter_that_all_partitions_rule_out(tmp_path):
    table = partitioned(tmp_path / "t", "timestamp", ["day"], TIMES)
    with pytest.raises(ShardlineValueError, match="the partitions of all 4 files rule them out"):
        StructuredDataset(table.path, format="iceberg", filters=[("k", "<", datetime.datetime(2023, 1, 1))])
