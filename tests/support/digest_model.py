"""A model of the digest of rows, in numpy: what the core has to agree with, for every type."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

Hashes = npt.NDArray[np.uint64]
_MASK = 2**64 - 1
_NULL = np.uint64(0x9E6C63D0876A9A47)
_NAN = np.uint64(0x7FF8000000000000)
_A, _B, _C = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9FB21C651E98DF25)
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def digest(batch: pa.RecordBatch) -> tuple[int, int, int]:
    """The number of rows, and two sums of their hashes."""
    if batch.num_rows == 0:
        return 0, 0, 0
    hashes = _row_hashes({name: _without_views(batch.column(name)) for name in batch.schema.names})
    low, high = (int(_finish(hashes, factor).sum(dtype=np.uint64)) for factor in (_A, _B))
    return batch.num_rows, low, high


def _without_views(array: pa.Array) -> pa.Array:
    """Texts end to end: a slice of views counts, and casts, all that they point into."""
    return array.cast(pa.large_binary()) if array.type in (pa.string_view(), pa.binary_view()) else array


def _row_hashes(columns: dict[str, pa.Array]) -> Hashes:
    total: Any = np.uint64(0)
    for name, column in columns.items():
        total = total + _weigh(_values_of(column), _constant(name))
    return np.asarray(total)


def _finish(hashes: Hashes, factor: np.uint64) -> Hashes:
    mixed = hashes ^ (hashes >> np.uint64(31))
    mixed *= factor
    mixed ^= mixed >> np.uint64(29)
    mixed *= _C
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _weigh(values: Hashes, factor: Any) -> Hashes:
    """The values' parts of a sum. High bits are mixed into low ones first: a product loses what is high."""
    mixed = values >> np.uint64(32)
    mixed ^= values
    mixed *= factor
    return mixed


@cache
def _constant(name: str) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(name.encode()) | 1)


def _weights(size: int) -> Hashes:
    """Odd random constants for the places of a list or a text."""
    places = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed: Hashes = _finish(places, _A) | np.uint64(1)
    return mixed


_TABLE = _weights(4096)
_SHORT = np.array([2 ** (8 * i) - 1 for i in range(9)], np.uint64)
"""The bits of a word's first bytes."""


def _values_of(array: pa.Array) -> Hashes:
    """64 bits for each value, as far as they can tell values apart."""
    values = _kind(array.type)(array)
    if array.null_count:
        values = np.where(array.is_valid().to_numpy(zero_copy_only=False), values, _NULL)
    return values


def _kind(type_: pa.DataType) -> "Callable[[Any], Hashes]":
    types = pa.types
    for holds, function in (
        (types.is_null(type_), lambda array: np.full(len(array), _NULL)),
        (types.is_dictionary(type_), _dictionary),
        (types.is_integer(type_), _integers),
        (types.is_floating(type_), _floats),
        (types.is_boolean(type_), lambda array: _integers(array.cast(pa.uint8()))),
        (types.is_temporal(type_) and not types.is_interval(type_), _times),
        (types.is_decimal(type_), _decimals),
        (types.is_fixed_size_binary(type_), lambda array: _texts(array.cast(pa.binary()))),
        (type_ in (pa.string_view(), pa.binary_view()), lambda array: _texts(_without_views(array))),
        (types.is_string(type_) or types.is_binary(type_), _texts),
        (types.is_large_string(type_) or types.is_large_binary(type_), _texts),
        (types.is_struct(type_), _structs),
        (types.is_map(type_), _maps),
        (types.is_list(type_) or types.is_large_list(type_), _lists),
        (types.is_fixed_size_list(type_), _fixed_lists),
        (isinstance(type_, pa.BaseExtensionType), lambda array: _values_of(array.storage)),
    ):
        if holds:
            return function
    raise TypeError(type_)


def _buffer(array: pa.Array, dtype: Any, width: int = 1) -> npt.NDArray[Any]:
    """The stored values, those under nulls among them."""
    stored = array.buffers()[1]
    if len(array) == 0 or stored is None:
        return np.zeros(len(array) * width, dtype)
    start = array.offset * width
    return np.frombuffer(stored, dtype, (len(array) + array.offset) * width)[start:]


def _integers(array: pa.Array) -> Hashes:
    sign = "u" if pa.types.is_unsigned_integer(array.type) else "i"
    return _wide(_buffer(array, f"{sign}{array.type.bit_width // 8}"))


def _wide(values: npt.NDArray[Any]) -> Hashes:
    if values.dtype.kind == "i":
        values = values.astype(np.int64, copy=False)
    return values.view(np.uint64) if values.dtype.itemsize == 8 else values.astype(np.uint64)


def _floats(array: pa.Array) -> Hashes:
    with np.errstate(invalid="ignore"):  # a signalling NaN
        floats = _buffer(array, f"f{array.type.bit_width // 8}").astype(np.float64, copy=False)
    values, absent = floats.view(np.uint64), np.isnan(floats)
    return np.where(absent, _NAN, values) if absent.any() else values


def _times(array: pa.Array) -> Hashes:
    values = _wide(_buffer(array, f"i{array.type.bit_width // 8}"))
    if pa.types.is_date32(array.type):
        scale = 86_400 * 10**9
    elif pa.types.is_date64(array.type):
        scale = 10**6
    else:
        scale = _NANOSECONDS[array.type.unit]
    return values if scale == 1 else values * np.uint64(scale)  # wraps, as all arithmetic here


def _decimals(array: pa.Array) -> Hashes:
    width = array.type.bit_width // 64
    if width < 2:
        return _wide(_buffer(array, f"i{array.type.bit_width // 8}"))
    words = _buffer(array, np.int64, width).reshape(-1, width)
    values = words[:, 0].view(np.uint64).copy()
    for i in range(1, width):  # a higher word counts where it is not the lower one's sign
        more = words[:, i] - (words[:, i - 1] >> 63)
        values += more.view(np.uint64) * _TABLE[i]
    return values


def _dictionary(array: pa.Array) -> Hashes:
    if len(array.dictionary) > len(array):
        return _values_of(array.dictionary_decode())
    codes = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return _values_of(array.dictionary)[codes] if len(array.dictionary) else np.full(len(array), _NULL)


def _texts(array: pa.Array) -> Hashes:
    kind = array.type
    large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    _, places, stored = array.buffers()
    if len(array) == 0 or places is None:
        return np.zeros(len(array), np.uint64)
    offsets = np.frombuffer(places, np.int64 if large else np.int32, len(array) + array.offset + 1)[array.offset :]
    offsets = offsets.astype(np.int64)
    first, last = offsets[0], offsets[-1]
    text = np.zeros(last - first + 8, np.uint8)
    if last > first:
        text[: last - first] = np.frombuffer(stored, np.uint8, last)[first:]
    words_at = np.ndarray((len(text) - 7,), "<u8", text, strides=(1,))
    lengths = np.diff(offsets)
    if lengths.max() <= 8:
        words = words_at[offsets[:-1] - first] & _SHORT[lengths]
        return _finish(_weigh(words, _TABLE[0]), _B) + lengths.astype(np.uint64) * _A
    counts = (lengths + 7) >> 3
    ends = np.cumsum(counts)
    at = np.repeat(offsets[:-1] - first - 8 * (ends - counts), counts)
    at += 8 * np.arange(len(at))
    words = words_at[at]
    partly = np.flatnonzero(lengths & 7)  # the last word of these has bytes of the next text
    words[ends[partly] - 1] &= _SHORT[lengths[partly] & 7]
    folded = _folded(words, counts, ends)
    folded += lengths.astype(np.uint64) * _A
    return folded


def _folded(values: Hashes, counts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Hashes:
    """One hash for each run of values: their sum, weighed by place, mixed."""
    longest = int(counts.max(initial=0))
    if longest * len(counts) == len(values):  # all of one length
        return _folded_evenly(values.reshape(len(counts), longest))
    table = _TABLE if longest <= len(_TABLE) else _weights(longest)
    place = np.arange(len(values)) - np.repeat(ends - counts, counts)
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(_weigh(values, table[place]), out=sums[1:])
    return _finish(sums[ends] - sums[ends - counts], _B)


def _folded_evenly(values: Hashes) -> Hashes:
    size = values.shape[1]
    table = _TABLE if size <= len(_TABLE) else _weights(size)
    sums: Hashes = _weigh(values, table[:size]).sum(1, dtype=np.uint64)
    return _finish(sums, _B)


def _lists(array: pa.Array) -> Hashes:
    offsets = array.offsets.to_numpy().astype(np.int64)
    if len(array) == 0:
        return np.zeros(0, np.uint64)
    first = offsets[0]
    items = _values_of(array.values.slice(first, offsets[-1] - first))
    counts = np.diff(offsets)
    folded = _folded(items, counts, offsets[1:] - first)
    folded += counts.astype(np.uint64) * _A
    return folded


def _fixed_lists(array: pa.Array) -> Hashes:
    size = array.type.list_size
    items = _values_of(array.values.slice(array.offset * size, len(array) * size))
    folded = _folded_evenly(items.reshape(len(array), size))
    folded += np.uint64(size * int(_A) & _MASK)
    return folded


def _structs(array: pa.Array) -> Hashes:
    names = [field.name for field in array.type]
    return _fields(len(array), [(name, array.field(i)) for i, name in enumerate(names)])


def _fields(rows: int, fields: list[tuple[str, pa.Array]]) -> Hashes:
    total = np.zeros(rows, np.uint64)
    for name, values in fields:
        total += _weigh(_values_of(values), _constant(name))
    return _finish(total, _B)


def _maps(array: pa.Array) -> Hashes:
    offsets = array.offsets.to_numpy().astype(np.int64)
    if len(array) == 0:
        return np.zeros(0, np.uint64)
    first, length = offsets[0], offsets[-1] - offsets[0]
    entries = [("key", array.keys.slice(first, length)), ("value", array.items.slice(first, length))]
    counts = np.diff(offsets)
    folded = _folded(_fields(int(length), entries), counts, offsets[1:] - first)
    folded += counts.astype(np.uint64) * _A
    return folded
