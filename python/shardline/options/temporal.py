"""What dates, times and durations count: of Arrow's types, and of Python's values. Exact, in fractions of a second."""

import datetime as dt
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

_DAY = Fraction(86_400)
_SECONDS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}
_EPOCH = dt.datetime(1970, 1, 1)


class TimeUnit(NamedTuple):
    """What the integers of a temporal column count."""

    kind: str
    """"instant", "time" (of a day) or "duration"."""
    seconds: Fraction
    """How many seconds one is."""
    zone: str | None = None


def unit_of(dtype: pa.DataType) -> TimeUnit | None:
    """The unit of a column of dates, times or durations; None for other types."""
    types = pa.types
    if types.is_date32(dtype):
        return TimeUnit("instant", _DAY)
    if types.is_date64(dtype):
        return TimeUnit("instant", _SECONDS["ms"])
    if types.is_timestamp(dtype):
        return TimeUnit("instant", _SECONDS[dtype.unit], dtype.tz)
    if types.is_time(dtype):
        return TimeUnit("time", _SECONDS[dtype.unit])
    if types.is_duration(dtype):
        return TimeUnit("duration", _SECONDS[dtype.unit])
    return None


class TimeValue(NamedTuple):
    """One value of Python's, numpy's or pandas', exactly."""

    kind: str
    seconds: Fraction
    zoned: bool


def seconds_of(value: Any) -> TimeValue | None:
    """A date, a time or a duration; None for any other value."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        unit, count = np.datetime_data(value)
        if np.isnat(value) or unit not in _SECONDS:
            return None
        kind = "instant" if isinstance(value, np.datetime64) else "duration"
        return TimeValue(kind, int(value.astype(np.int64)) * count * _SECONDS[unit], False)
    if isinstance(value, (dt.date, dt.timedelta)) and value != value:  # pandas' NaT
        return None
    if isinstance(value, dt.datetime):
        zoned = value.tzinfo is not None
        return TimeValue("instant", _length(value - (_EPOCH.replace(tzinfo=dt.UTC) if zoned else _EPOCH)), zoned)
    if isinstance(value, dt.date):
        return TimeValue("instant", (value - _EPOCH.date()).days * _DAY, False)
    if isinstance(value, dt.time) and value.tzinfo is None:
        whole = dt.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
        return TimeValue("time", _length(whole), False)
    if isinstance(value, dt.timedelta):
        return TimeValue("duration", _length(value), False)
    return None


def _length(value: dt.timedelta) -> Fraction:
    nanoseconds = Fraction(getattr(value, "nanoseconds", 0), 10**9)  # pandas has some
    return value.days * _DAY + value.seconds + Fraction(value.microseconds, 10**6) + nanoseconds
