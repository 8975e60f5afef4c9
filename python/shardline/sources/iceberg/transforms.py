"""What the value of a partition says of a column: between which values those of its rows are, or in which bucket.

Only the specification's transforms are known; of others nothing is said.
"""

import re
import struct
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pyarrow as pa

_BUCKET = re.compile(r"bucket\[(\d+)\]")
_TRUNCATE = re.compile(r"truncate\[(\d+)\]")
_HOUR, _DAY = 3600, 86_400
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = date(1970, 1, 1)
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

Bounds = tuple[Any, Any] | None
"""The least and the greatest value, as whole numbers of units, text or bytes; None where nothing is known."""


def bounds_of(transform: str, value: Any, kind: pa.DataType) -> Bounds:
    """Between which values a column's are in a partition of a value that is not null.

    Args:
        transform: As Iceberg names it.
        value: The partition's.
        kind: The column's type.

    >>> bounds_of("truncate[10]", -10, pa.int32()), bounds_of("day", 1, pa.timestamp("s"))
    ((-10, -1), (86400, 172799))
    """
    if transform == "identity":
        value = value.bytes if isinstance(value, UUID) else value
        return None if isinstance(value, float) and value != value else (value, value)
    if match := _TRUNCATE.fullmatch(transform):
        return _truncated(value, int(match[1]), kind)
    if transform in ("year", "month", "day", "hour"):
        return _of_time(transform, value, kind)
    return None


def bucket_of(transform: str, kind: pa.DataType) -> Callable[[Any], int] | None:
    """The bucket of a value that is given as a filter compares it: a whole number of units, or bytes.

    >>> bucket = bucket_of("bucket[100]", pa.int64())
    >>> bucket(34)
    79
    """
    match = _BUCKET.fullmatch(transform)
    encode = _encoding(kind)
    if match is None or encode is None:
        return None
    from mmh3 import hash as murmur  # which pyiceberg needs too

    count = int(match[1])

    def bucket(value: Any) -> int:
        return (int(murmur(encode(value))) & 0x7FFF_FFFF) % count

    return bucket


def _encoding(kind: pa.DataType) -> Callable[[Any], bytes] | None:
    """How the values of a type are hashed."""
    types = pa.types
    if types.is_decimal(kind):
        return _least_bytes
    if types.is_integer(kind) or types.is_date32(kind) or (types.is_temporal(kind) and kind.unit == "us"):
        return _eight_bytes
    if types.is_string(kind) or types.is_binary(kind) or types.is_fixed_size_binary(kind):
        return bytes
    return None


def _eight_bytes(value: int) -> bytes:
    # What no column holds is equal to none of its values, whatever its bucket.
    return struct.pack("<q", max(-(2**63), min(2**63 - 1, value)))


def _least_bytes(value: int) -> bytes:
    """Two's complement, the high byte first, of as few bytes as it needs."""
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)


def _truncated(value: Any, width: int, kind: pa.DataType) -> Bounds:
    end: str | bytes | None
    if isinstance(value, str):
        end = value if len(value) < width else _after(value)
    elif isinstance(value, bytes):
        stem = value.rstrip(b"\xff")
        end = value if len(value) < width else stem[:-1] + bytes([stem[-1] + 1]) if stem else None
    elif pa.types.is_decimal(kind):
        return value, value + (width - 1) * type(value)(1).scaleb(-kind.scale)
    else:
        return value, value + width - 1
    return None if end is None else (value, end)


def _after(text: str) -> str | None:
    """A text that is greater than all that begin with this one."""
    stem = text.rstrip(chr(_LAST_CHARACTER))
    if not stem:
        return None
    code = ord(stem[-1]) + 1
    return stem[:-1] + chr(_SURROGATES.stop if code in _SURROGATES else code)


def _of_time(transform: str, value: Any, kind: pa.DataType) -> Bounds:
    value = (value - _EPOCH).days if isinstance(value, date) else int(value)
    # Iceberg up to 0.10 wrote the values of times before 1970 one too large.
    first, last = value - 1 if value <= 0 else value, value
    if transform == "hour":
        if pa.types.is_date32(kind):
            return None
        start, stop = first * _HOUR, (last + 1) * _HOUR
    else:
        start, stop = _start(transform, first) * _DAY, _start(transform, last + 1) * _DAY
    if pa.types.is_date32(kind):
        return start // _DAY, stop // _DAY - 1
    unit = _UNITS[kind.unit]
    return start * unit, stop * unit - 1


def _start(transform: str, count: int) -> int:
    """The day, counted from 1970 on, on which the year, month or day of a number begins."""
    if transform == "day":
        return count
    years, month = (count, 0) if transform == "year" else divmod(count, 12)
    year = 1970 + years
    # Before or after the years that there are dates of: by the cycle of the calendar, 400 years of 146,097 days.
    cycles, place = divmod(year - 1, 400)
    return (date(place + 1, month + 1, 1) - _EPOCH).days + cycles * 146_097
