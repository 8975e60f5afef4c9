"""Random Arrow data of every type, what shardline should make of it, and delivered batches as plain Python."""

import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import torch

UNITS = ("s", "ms", "us", "ns")
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
TIMES = [
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in UNITS),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ns", "Europe/Berlin"),
    *(pa.duration(unit) for unit in UNITS),
]
DECIMALS = [pa.decimal128(7, 2), pa.decimal128(18, 0), pa.decimal128(38, 20), pa.decimal256(60, 25)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
NUMBERS = [*INTEGERS, *FLOATS, pa.bool_(), *TIMES, *DECIMALS]
NESTED = [
    pa.list_(pa.int32()),
    pa.large_list(pa.float64()),
    pa.list_(pa.bool_()),
    pa.list_(pa.timestamp("us")),
    pa.list_(pa.decimal128(9, 3)),
    pa.list_(pa.list_(pa.int16(), 3)),
    pa.list_(pa.float32(), 4),
    pa.list_(pa.list_(pa.int8(), 2), 3),
    pa.list_(pa.string()),
    pa.list_(pa.list_(pa.int32())),
    pa.list_(pa.struct([("a", pa.int32()), ("b", pa.string())])),
    pa.map_(pa.string(), pa.int32()),
    pa.struct([("n", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.float32()))]),
    pa.struct([("inner", pa.struct([("x", pa.float32()), ("t", pa.date32())])), ("flag", pa.bool_())]),
]
OTHERS = [
    pa.binary(5),
    pa.binary(8),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]
ALL = [*NUMBERS, *TEXTS, *NESTED, *OTHERS]


def random_array(rng: np.random.Generator, type_: pa.DataType, count: int, nulls: float) -> pa.Array:
    """`count` values, each null with this probability, at every depth."""
    valid = rng.random(count) >= nulls
    if nulls and count:
        valid[rng.integers(count)] = False
    return _values(rng, type_, count, nulls, valid)


def _values(rng: np.random.Generator, type_: pa.DataType, count: int, nulls: float, valid: Any) -> pa.Array:
    mask = ~valid
    if pa.types.is_null(type_):
        return pa.nulls(count)
    if pa.types.is_integer(type_):
        info = np.iinfo(type_.to_pandas_dtype())
        few = rng.random() < 0.5
        low, high = (0, 5) if few else (info.min, info.max)
        values = rng.integers(low, high, count, dtype=type_.to_pandas_dtype(), endpoint=True)
        return pa.array(values, type_, mask=mask)
    if pa.types.is_floating(type_):
        values = rng.standard_normal(count).astype(type_.to_pandas_dtype())
        values[: min(count, 4)] = [0.0, -0.0, np.inf, np.nan][: min(count, 4)]
        return pa.array(values, type_, mask=mask)
    if pa.types.is_boolean(type_):
        return pa.array(rng.integers(0, 2, count).astype(bool), mask=mask)
    if pa.types.is_date32(type_) or pa.types.is_time32(type_):
        values = rng.integers(0, 80_000, count, dtype=np.int32)
        return pa.Array.from_buffers(type_, count, [_bits(valid), pa.py_buffer(values)])
    if pa.types.is_temporal(type_):
        values = rng.integers(0, 80_000_000, count, dtype=np.int64)
        if pa.types.is_date64(type_):
            values *= 86_400_000 // 100_000
            values -= values % 86_400_000
        return pa.Array.from_buffers(type_, count, [_bits(valid), pa.py_buffer(values)])
    if pa.types.is_decimal(type_):
        digits = min(type_.precision, int(rng.integers(1, 39)))
        texts = [str(int(rng.integers(0, 10**9)) * 7**20)[:digits] for _ in range(count)]
        scaled = [
            Decimal(t).scaleb(-type_.scale) * (-1) ** i if ok else None
            for i, (t, ok) in enumerate(zip(texts, valid, strict=True))
        ]
        return pa.array(scaled, type_)
    if pa.types.is_fixed_size_binary(type_):
        return pa.array([rng.bytes(type_.byte_width) if ok else None for ok in valid], type_)
    if type_ in TEXTS:
        words = ["", "a", "ü€😀", "x" * 30, "long " * 9, *(f"w{i}" for i in range(20))]
        texts = [words[i] if ok else None for i, ok in zip(rng.integers(len(words), size=count), valid, strict=True)]
        if type_ in TEXTS[3:]:
            texts = [None if text is None else text.encode() for text in texts]
        return pa.array(texts, type_)
    if pa.types.is_dictionary(type_):
        texts = ["c", "a", "b", "ü", "unused"]
        words = pa.array(texts, type_.value_type) if type_.value_type in TEXTS else None
        if words is None:
            words = random_array(rng, type_.value_type, len(texts), 0)
        codes = pa.array(
            rng.integers(0, 4, count).astype(type_.index_type.to_pandas_dtype()), type_.index_type, mask=mask
        )
        return pa.DictionaryArray.from_arrays(codes, words)
    if pa.types.is_fixed_size_list(type_):
        items = random_array(rng, type_.value_type, count * type_.list_size, nulls)
        return pa.FixedSizeListArray.from_arrays(items, type=type_, mask=pa.array(mask))
    if pa.types.is_struct(type_):
        children = [random_array(rng, field.type, count, nulls) for field in type_]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=pa.array(mask))
    lengths = np.where(valid, rng.integers(0, 5, count), 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    large = pa.types.is_large_list(type_)
    places = pa.array(offsets.astype("i8" if large else "i4"))
    total = int(offsets[-1])
    if pa.types.is_map(type_):
        keys = random_array(rng, type_.key_type, total, 0)
        items = random_array(rng, type_.item_type, total, nulls)
        entries = pa.StructArray.from_arrays([keys, items], fields=[type_.key_field, type_.item_field])
        return pa.Array.from_buffers(type_, count, [_bits(valid), places.buffers()[1]], children=[entries])
    items = random_array(rng, type_.value_type, total, nulls)
    return pa.Array.from_buffers(type_, count, [_bits(valid), places.buffers()[1]], children=[items])


def _bits(valid: Any) -> pa.Buffer:
    return pa.array(valid).buffers()[1]


def numbers(array: pa.Array) -> list[Any]:
    """What tensors hold of an array, None where it is null: dates as integers, decimals as floats, bytes as numbers."""
    type_ = array.type
    if pa.types.is_date32(type_) or pa.types.is_time32(type_):
        return array.cast(pa.int32()).to_pylist()
    if pa.types.is_temporal(type_):
        return array.cast(pa.int64()).to_pylist()
    if pa.types.is_dictionary(type_):
        return array.indices.to_pylist()
    if pa.types.is_decimal(type_):
        return [None if value is None else float(value) for value in array.to_pylist()]
    if pa.types.is_fixed_size_binary(type_):
        return [None if value is None else list(value) for value in array.to_pylist()]
    if pa.types.is_struct(type_):
        columns = {field.name: numbers(array.field(i)) for i, field in enumerate(type_)}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return [row if ok else None for row, ok in zip(rows, array.is_valid().to_pylist(), strict=True)]
    if isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)) and is_numeric(type_.value_type):
        if isinstance(type_, pa.FixedSizeListType):
            size, start = type_.list_size, array.offset * type_.list_size
            items = numbers(array.values.slice(start, len(array) * size))
            rows = [items[i * size : (i + 1) * size] for i in range(len(array))]
        else:
            items, offsets = numbers(array.values), array.offsets.to_pylist()
            rows = [items[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
        return [row if ok else None for row, ok in zip(rows, array.is_valid().to_pylist(), strict=True)]
    return array.to_pylist()


def is_numeric(type_: pa.DataType) -> bool:
    """Whether values of the type have a tensor of one shape."""
    if isinstance(type_, pa.FixedSizeListType):
        return is_numeric(type_.value_type)
    return type_ in NUMBERS or pa.types.is_decimal(type_) or pa.types.is_fixed_size_binary(type_)


def plain(value: Any) -> list[Any]:
    """A delivered column as lists, row by row."""
    if isinstance(value, dict):
        columns = {key: plain(column) for key, column in value.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(value, tuple):
        values, offsets = value[0].tolist(), value[1].tolist()
        return [values[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            return plain((value.values(), value.offsets()))
        return value.tolist()
    if isinstance(value, pa.Array):
        return value.to_pylist()
    return value.tolist() if isinstance(value, np.ndarray) else value


def same(found: Any, expected: Any) -> bool:
    """Equal, floats bit for bit."""
    if isinstance(expected, float) and isinstance(found, float):
        return (math.isnan(found) and math.isnan(expected)) or struct.pack("d", found) == struct.pack("d", expected)
    if isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict) and isinstance(found, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    return type(found) is type(expected) and bool(found == expected)


def replaced(value: Any, fill: Any) -> Any:
    """Every None replaced, in lists and dicts too."""
    if value is None:
        return fill
    if isinstance(value, list):
        return [replaced(item, fill) for item in value]
    return value
