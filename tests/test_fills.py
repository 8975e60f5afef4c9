"""Fills that are dates, times, durations and decimals: the number that the column itself has for them."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import columns as t

import shardline
from shardline import ColumnOptions, DataLoader

DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 7000)
BERLIN = dt.timezone(dt.timedelta(hours=1))


def write(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder


def options(value):
    return ColumnOptions(nulls="fill", fill=value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pa.date32(), DAY),
        (pa.date32(), dt.datetime(1969, 12, 31)),
        (pa.date64(), DAY),
        (pa.timestamp("s"), NOON.replace(microsecond=0)),
        (pa.timestamp("ms"), NOON),
        (pa.timestamp("ns"), NOON),
        (pa.timestamp("us", "Europe/Berlin"), NOON.replace(tzinfo=BERLIN)),
        (pa.timestamp("us"), np.datetime64(NOON, "us")),
        (pa.time32("ms"), NOON.time()),
        (pa.time64("ns"), dt.time(23, 59, 59, 999_999)),
        (pa.duration("s"), dt.timedelta(days=-1)),
        (pa.duration("us"), dt.timedelta(microseconds=-1)),
        (pa.decimal128(9, 2), Decimal("-1.5")),
        (pa.decimal128(38, 20), Decimal("12345678901.1234567890123456789")),
        (pa.decimal256(60, 5), Decimal("1e40")),
        (pa.list_(pa.timestamp("ms")), NOON),
        (pa.list_(pa.decimal128(5, 1), 2), Decimal("0.1")),
    ],
    ids=str,
)
def test_a_fill_is_the_columns_own_number(tmp_path, type_, value):
    """As the column delivers it where it stands in the file."""
    plain = value.item() if isinstance(value, np.generic) else value
    nested = not (pa.types.is_primitive(type_) or pa.types.is_decimal(type_))
    values = [[plain, plain], [plain, None]] if nested else [plain, None]
    write(tmp_path, c=pa.array(values, type_))
    for output in ("torch", "arrow"):
        loader = DataLoader(tmp_path, output_format=output, column_options={"c": options(value)})
        (batch,) = loader
        found = t.plain(batch["c"])
        assert found[0] == found[1]
        assert None not in (found[1] if nested else found)


def test_nanoseconds_are_not_lost(tmp_path):
    pd = pytest.importorskip("pandas")
    write(tmp_path, c=pa.array([None], pa.timestamp("ns")), d=pa.array([None], pa.duration("ns")))
    for instant, duration in (
        (pd.Timestamp("2024-01-01T00:00:00.000000001"), pd.Timedelta(5, "ns")),
        (np.datetime64("2024-01-01T00:00:00.000000001"), np.timedelta64(5, "ns")),
    ):
        (batch,) = DataLoader(tmp_path, column_options={"c": options(instant), "d": options(duration)})
        assert (batch["c"].item(), batch["d"].item()) == (1_704_067_200_000_000_001, 5)


def test_unscaled_decimals_and_casts(tmp_path):
    write(tmp_path, d=pa.array([None], pa.decimal128(9, 2)), t=pa.array([None], pa.timestamp("ms")))
    asked = {
        "d": ColumnOptions(nulls="fill", fill=Decimal("1.25"), decimal="unscaled", dtype="int16"),
        "t": ColumnOptions(nulls="fill", fill=dt.datetime(1970, 1, 2), dtype="float64"),
    }
    (batch,) = DataLoader(tmp_path, column_options=asked)
    assert (batch["d"].item(), batch["t"].item()) == (125, 86_400_000.0)


def test_one_fill_for_columns_of_several_units(tmp_path):
    struct = pa.struct([("us", pa.timestamp("us")), ("day", pa.date32())])
    columns = {
        "ns": pa.array([None], pa.timestamp("ns")),
        "in": pa.array([None], struct),
        "n": pa.array([None], pa.int8()),
        "a": pa.array([None], pa.timestamp("ms")),
        "b": pa.array([None], pa.timestamp("ms")),
        "l": pa.array([[DAY], []], pa.list_(pa.date32())).slice(1),
    }
    write(tmp_path, **columns)
    loader = DataLoader(
        tmp_path,
        columns=["ns", "in", "n", "l"],
        matrices={"x": ["a", "b"]},
        column_defaults=ColumnOptions(nulls="mask", fill=DAY),
        column_options={
            "n": ColumnOptions(nulls="fill", fill=-1),
            "in.day": ColumnOptions(nulls="fill", fill=dt.date(1970, 1, 1)),
            "x": ColumnOptions(nulls="fill", fill=NOON),
            "l": ColumnOptions(lists="padded", length=1, pad_value=DAY),
        },
    )
    (batch,) = loader
    seconds = int(dt.datetime(2024, 2, 29, tzinfo=dt.UTC).timestamp())
    assert batch["ns"].item() == seconds * 10**9
    assert batch["in"]["us"].item() == seconds * 10**6
    assert batch["in"]["us__mask"].item()
    assert (batch["in"]["day"].item(), batch["n"].item()) == (0, -1)
    assert batch["x"].tolist() == [[(seconds + 43_200) * 1000 + 7] * 2]
    assert batch["l"].tolist() == [[seconds // 86_400]]
    assert batch["l"].dtype == torch.int32


@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        (pa.date32(), NOON, "whole"),
        (pa.duration("s"), dt.timedelta(0, 1, 1), "whole"),
        (pa.timestamp("ns"), dt.datetime(9999, 1, 1), "64 bits"),
        (pa.timestamp("us"), NOON.replace(tzinfo=BERLIN), "without a time zone"),
        (pa.timestamp("us", "UTC"), NOON, "with a time zone"),
        (pa.timestamp("us", "UTC"), DAY, "with a time zone"),
        (pa.time64("us"), NOON, "time64"),
        (pa.duration("us"), dt.time(1), "duration"),
        (pa.int64(), DAY, "int64"),
        (pa.string(), DAY, "string"),
        (pa.list_(pa.string()), DAY, "string"),
        (pa.float64(), Decimal("0.5"), "double"),
        (pa.decimal128(5, 1), Decimal("0.25"), "1 of them after the point"),
        (pa.decimal128(5, 1), Decimal("10000"), "5 digits"),
        (pa.dictionary(pa.int8(), pa.string()), DAY, "dictionary"),
    ],
    ids=str,
)
def test_a_fill_that_does_not_fit_is_refused(tmp_path, type_, value, words):
    write(tmp_path, c=pa.nulls(1, type_))
    with pytest.raises(shardline.ShardlineValueError, match=rf"fill=.* does not fit column 'c'.*{words}"):
        DataLoader(tmp_path, column_options={"c": ColumnOptions(nulls="mask", fill=value)})


def test_a_fill_without_a_policy_is_shown_as_it_was_given(tmp_path):
    write(tmp_path, c=pa.array([None], pa.date32()))
    with pytest.raises(shardline.ShardlineValueError, match=r"fill=datetime\.date\(2024, 2, 29\) is for nulls"):
        DataLoader(tmp_path, column_defaults=ColumnOptions(fill=DAY))


def test_an_id_is_an_integer(tmp_path):
    write(tmp_path, c=pa.array([None], pa.date32()))
    asked = ColumnOptions(nulls="fill", fill=DAY, encode="hash", buckets=9)
    with pytest.raises(shardline.ShardlineValueError, match="'c'.*ids.*an integer"):
        DataLoader(tmp_path, column_options={"c": asked})


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("NaT"),
        np.timedelta64(1, "M"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        dt.time(1, tzinfo=dt.UTC),
    ],
    ids=str,
)
def test_what_is_no_value_is_no_fill(value):
    with pytest.raises(shardline.ShardlineError, match="fill"):
        ColumnOptions(nulls="fill", fill=value)


def test_pandas_nat_is_no_fill():
    pd = pytest.importorskip("pandas")
    with pytest.raises(shardline.ShardlineError, match="fill"):
        ColumnOptions(nulls="fill", fill=pd.NaT)
