"""What a caller may ask of a column, checked when it is asked.

>>> ColumnOptions(nulls="fill", fill=0, dtype="float32")
ColumnOptions(nulls='fill', fill=0, dtype=torch.float32)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.near import NamesChecked
from shardline.options.temporal import seconds_of
from shardline.options.validate import check_bool, check_choice, check_int

Fill = bool | int | float | str | bytes | date | time | timedelta | Decimal | np.datetime64 | np.timedelta64
Nulls = Literal["error", "fill", "nan", "mask", "keep"]

# Those that the core casts to.
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", *_FLOATS)
# Options that mean something only beside another: they are given with it, and replaced with it.
_OF_LISTS = ("length", "pad_value", "pad_side", "truncate", "lengths")
_OF_HASHES = ("buckets", "seed")
_OF_CODES = ("vocabulary", "unknown")


@dataclass(frozen=True, repr=False)
class ColumnOptions(metaclass=NamesChecked):
    """How one column is delivered; what is None is as by default. See docs/types.md.

    `nulls`: "error" (default for tensors), "fill" with `fill` (zeros and empty strings by default), "nan" (integers
    and bools become floats), "mask" (filled, and a bool column named with `mask_suffix` beside it, True where there was
    a null), or "keep" (None in lists of Python objects, nulls in Arrow data). A `fill` that is a date, datetime, time,
    timedelta or Decimal is the number that a column of that kind has for it.

    `dtype`: of numbers, dates, ids and raw bytes: a torch or numpy dtype, or its name. A cast that would lose is an
    error that names the row, unless `lossy`. `decimal`: "float64" or "unscaled" (int64).

    `strings`: "objects" (a list of str or bytes) or "bytes" (a tuple of uint8 values and offsets). `errors`: what
    becomes of a string that is not UTF-8: "strict" (default; an error that names the row) or "replace" (U+FFFD in
    place of what is not). With strings="bytes" and encode="hash" any bytes are delivered as they are.

    `lists`: of numbers, as "jagged" nested tensors, "fixed" (n, d), "padded" (n, d) or Python "objects". Padded to the
    longest list of the batch, or to `length` with `truncate` ("right": the end is cut off, or "left"), with `pad_value`
    at `pad_side` ("right" or "left"); `lengths` adds int64 (n,) under the name with `length_suffix`.

    `encode`: ids (int64) for strings, bytes, integers and lists of them. "hash": XXH3-64 with `seed`, modulo `buckets`;
    a null is `buckets`. "codes": places in `vocabulary` (by default that of the data set, in the order of appearance);
    a null is one more than the last; a value that is not there is `unknown`, or an error. `nulls="fill"` and "mask"
    keep the id of nulls, unless a `fill` is given.

    >>> ColumnOptions(lists="fixed")
    ColumnOptions(lists='fixed')
    """

    nulls: Nulls | None = None
    fill: Fill | None = None
    dtype: torch.dtype | np.dtype[Any] | type[np.generic] | str | None = None
    lossy: bool | None = None
    decimal: Literal["float64", "unscaled"] | None = None
    strings: Literal["objects", "bytes"] | None = None
    errors: Literal["strict", "replace"] | None = None
    lists: Literal["jagged", "fixed", "padded", "objects"] | None = None
    length: int | None = None
    pad_value: Fill | None = None
    pad_side: Literal["right", "left"] | None = None
    truncate: Literal["right", "left"] | None = None
    lengths: bool | None = None
    encode: Literal["hash", "codes"] | None = None
    buckets: int | None = None
    seed: int | None = None
    vocabulary: Sequence[str | bytes | int] | None = None
    unknown: int | None = None
    mask_suffix: str | None = None
    length_suffix: str | None = None

    def __post_init__(self) -> None:
        def choice(name: str, choices: Iterable[str]) -> None:
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)

        def number(name: str, low: int, high: int) -> None:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_int(name, getattr(self, name), low, high))

        choice("nulls", ("error", "fill", "nan", "mask", "keep"))
        choice("decimal", ("float64", "unscaled"))
        choice("strings", ("objects", "bytes"))
        choice("errors", ("strict", "replace"))
        choice("lists", ("jagged", "fixed", "padded", "objects"))
        choice("pad_side", ("right", "left"))
        choice("truncate", ("right", "left"))
        choice("encode", ("hash", "codes"))
        number("length", 1, 2**31 - 1)
        number("buckets", 1, 2**62)
        number("seed", 0, 2**64 - 1)
        number("unknown", -(2**63), 2**63 - 1)
        for name in ("lossy", "lengths"):
            if getattr(self, name) is not None:
                check_bool(name, getattr(self, name))
        for name in ("mask_suffix", "length_suffix"):
            suffix = getattr(self, name)
            if suffix is not None and (not isinstance(suffix, str) or not suffix):
                raise ShardlineValueError(f"{name} must be text that is not empty, not {suffix!r}")
        for name in ("fill", "pad_value"):
            object.__setattr__(self, name, _scalar(name, getattr(self, name)))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _dtype(self.dtype))
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", _vocabulary(self.vocabulary))
        self._needs(_OF_LISTS, 'lists="padded"', self.lists == "padded")
        self._needs(_OF_HASHES, 'encode="hash"', self.encode == "hash")
        self._needs(_OF_CODES, 'encode="codes"', self.encode == "codes")
        if self.encode == "hash" and self.buckets is None:
            raise ShardlineValueError('encode="hash" needs buckets=, how many ids there are')
        if self.truncate is not None and self.length is None:
            raise ShardlineValueError("truncate= needs length=: lists padded to the longest are never cut")
        if self.fill is not None and self.nulls not in (None, "fill", "mask"):
            raise ShardlineValueError(f'fill= is for nulls="fill" or "mask", not nulls={self.nulls!r}')

    def _needs(self, names: Iterable[str], what: str, given: bool) -> None:
        for name in names:
            if getattr(self, name) is not None and not given:
                raise ShardlineValueError(f"{name}= is for {what}, which was not asked for")

    @property
    def asked(self) -> dict[str, Any]:
        """What is not as by default."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}

    def over(self, others: "ColumnOptions") -> "ColumnOptions":
        """These, and for what is not asked here, the others'."""
        own, inherited = self.asked, others.asked
        for name, parts in (("lists", _OF_LISTS), ("encode", _OF_HASHES + _OF_CODES), ("nulls", ("fill",))):
            if name in own:
                inherited = {key: value for key, value in inherited.items() if key not in parts}
        return replace(ColumnOptions(), **{**inherited, **own})

    def __repr__(self) -> str:
        shown = (
            f"{name}=<{len(value)} values>" if name == "vocabulary" and len(value) > 8 else f"{name}={value!r}"
            for name, value in self.asked.items()
        )
        return f"ColumnOptions({', '.join(shown)})"


def core_spec(options: ColumnOptions, asked: Iterable[str] = ()) -> dict[str, Any]:
    """What the core takes; `asked`: the options that must concern the column's type."""
    if options.fill is not None and options.nulls not in ("fill", "mask"):
        raise ShardlineValueError(f'fill={options.fill!r} is for nulls="fill" or "mask", which was not asked for')
    dtype = options.dtype
    return {
        "nulls": options.nulls,
        "fill": options.fill if is_plain(options.fill) else None,  # the others are given column by column
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "lossy": options.lossy or False,
        "decimal": options.decimal or "float64",
        "strings": options.strings or "objects",
        "errors": options.errors or "strict",
        "lists": options.lists or "jagged",
        "length": options.length,
        "pad_value": options.pad_value if is_plain(options.pad_value) else None,
        "pad_side": options.pad_side or "right",
        "truncate": options.truncate,
        "lengths": True if options.lengths is None else options.lengths,
        "encode": options.encode,
        "buckets": options.buckets,
        "seed": options.seed or 0,
        "vocabulary": None if options.vocabulary is None else _words(options.vocabulary),
        "unknown": options.unknown,
        "mask_suffix": options.mask_suffix or "__mask",
        "length_suffix": options.length_suffix or "__length",
        "asked": list(asked),
    }


def check_column_options(options: Any) -> dict[str, ColumnOptions]:
    """Options by column name; whether the columns exist is checked against the files later."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ShardlineTypeError(f"column_options must map column names to ColumnOptions, not {options!r}")
    for name, value in options.items():
        if not isinstance(name, str) or not isinstance(value, ColumnOptions):
            raise ShardlineTypeError(
                f"column_options must map column names to ColumnOptions, but holds {name!r}: {value!r}"
            )
    return dict(options)


def check_column_defaults(options: Any) -> ColumnOptions:
    """The options that hold for every column where its own do not say otherwise."""
    if options is None:
        return ColumnOptions()
    if not isinstance(options, ColumnOptions):
        raise ShardlineTypeError(f"column_defaults must be ColumnOptions, not {options!r}")
    return options


class Matrix(NamedTuple):
    """Columns under one key: a matrix, or, of one column given by its name alone, that column."""

    key: str
    columns: tuple[str, ...]
    is_matrix: bool


def check_matrices(matrices: Any) -> tuple[Matrix, ...]:
    """`matrices=` as a tuple; whether the columns exist is checked against the files later."""
    if matrices is None:
        return ()
    if not isinstance(matrices, Mapping):
        raise ShardlineTypeError(f"matrices must map keys to column names, or lists of them, not {matrices!r}")
    made = []
    for key, columns in matrices.items():
        names = [columns] if isinstance(columns, str) else columns
        if not isinstance(key, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
            raise ShardlineTypeError(
                f"matrices must map keys to column names, or lists of them, but holds {key!r}: {columns!r}"
            )
        if not names:
            raise ShardlineValueError(f"matrices: {key!r} has no columns")
        made.append(Matrix(key, tuple(names), not isinstance(columns, str)))
    return tuple(made)


def _dtype(value: Any) -> torch.dtype:
    name = value if isinstance(value, str) else None
    if isinstance(value, torch.dtype):
        name = str(value).removeprefix("torch.")
    elif isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        dtype_ = np.dtype(value)
        name = dtype_.name if dtype_.isnative else None
    if name not in _DTYPES:
        raise ShardlineValueError(f"dtype must be a torch or numpy dtype, one of {', '.join(_DTYPES)}, not {value!r}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def is_plain(value: Any) -> bool:
    """Whether it is the same in every column; dates, times and decimals depend on the column's unit or scale."""
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _scalar(name: str, value: Any) -> Any:
    """A plain value out of one of Python's or numpy's, or one that `fills` makes a number of."""
    timed = isinstance(value, (np.datetime64, np.timedelta64))
    if not is_plain(value) and callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        item = value.item()
        # Of nanoseconds numpy makes an int, of which nobody knows that it counts them.
        value = value if timed and not isinstance(item, (date, timedelta)) else item
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if not is_plain(value) and seconds_of(value) is None:
        raise ShardlineTypeError(
            f"{name} must be a number, text, bytes, a date, a time (without a zone), a duration or a finite decimal, "
            f"not {value!r}"
        )
    if isinstance(value, int) and not -(2**127) <= value < 2**127:
        raise ShardlineValueError(f"{name}={value} fits no column")
    return value


def _vocabulary(values: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Iterable, pa.Array)):
        raise ShardlineTypeError(f"vocabulary must be a list of str, bytes or int, not {values!r}")
    words = tuple(values.to_pylist() if isinstance(values, (pa.Array, pa.ChunkedArray)) else values)
    _words(words)
    return words


def _words(words: Sequence[Any]) -> pa.Array:
    kinds = {type(word) for word in words}
    if len(kinds - {str}) == 0:
        return pa.array(words, pa.large_string())
    if kinds == {bytes}:
        return pa.array(words, pa.large_binary())
    if kinds == {int}:
        try:
            return pa.array(words, pa.int64() if max(words) < 2**63 else pa.uint64())
        except (pa.ArrowInvalid, OverflowError):
            raise ShardlineValueError("vocabulary holds integers of more than 64 bits") from None
    raise ShardlineTypeError(f"vocabulary must be of one of str, bytes or int, not of {_names(kinds)}")


def _names(kinds: Iterable[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))
