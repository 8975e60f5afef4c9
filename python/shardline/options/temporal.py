"""What dates, times and durations count: of Arrow's types, and of Python's values. Exact, in fractions of a second."""

import datetime as dt
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

_DAY = Fraction(86_400)
_SECONDS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}
_EPOCH = dt.datetime(1970, 1, 1)


def unit_of(dtype: pa.DataType) -> tuple[tuple[str, Fraction] | None, str | None]:
    """(kind, seconds that one is), zone; None where it is no time."""
    types = pa.types
    if types.is_date32(dtype):
        return ("instant", _DAY), None
    if types.is_date64(dtype):
        return ("instant", _SECONDS["ms"]), None
    if types.is_timestamp(dtype):
        return ("instant", _SECONDS[dtype.unit]), dtype.tz
    if types.is_time(dtype):
        return ("time", _SECONDS[dtype.unit]), None
    if types.is_duration(dtype):
        return ("duration", _SECONDS[dtype.unit]), None
    return None, None


def seconds_of(value: Any) -> tuple[str, Fraction, bool] | None:
    """(kind, seconds, whether it has a time zone) of one of Python's, numpy's or pandas' values; None for any other."""
    if isinstance(value, (np.datetime64, np.timedelta64)):
        unit, count = np.datetime_data(value)
        if np.isnat(value) or unit not in _SECONDS:
            return None
        kind = "instant" if isinstance(value, np.datetime64) else "duration"
        return kind, int(value.astype(np.int64)) * count * _SECONDS[unit], False
    if isinstance(value, (dt.date, dt.timedelta)) and value != value:  # pandas' NaT
        return None
    if isinstance(value, dt.datetime):
        zoned = value.tzinfo is not None
        return "instant", _length(value - (_EPOCH.replace(tzinfo=dt.UTC) if zoned else _EPOCH)), zoned
    if isinstance(value, dt.date):
        return "instant", (value - _EPOCH.date()).days * _DAY, False
    if isinstance(value, dt.time) and value.tzinfo is None:
        whole = dt.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
        return "time", _length(whole), False
    if isinstance(value, dt.timedelta):
        return "duration", _length(value), False
    return None


def _length(value: dt.timedelta) -> Fraction:
    nanoseconds = Fraction(getattr(value, "nanoseconds", 0), 10**9)  # pandas has some
    return value.days * _DAY + value.seconds + Fraction(value.microseconds, 10**6) + nanoseconds
