"""The checks of plain arguments: a wrong one raises an error that names the argument and says what is accepted.

>>> parse_bytes("split_bytes", "128MiB")
134217728
"""

import importlib.util
import operator
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast, get_args

from shardline._core import Plan
from shardline.errors import ShardlineImportError, ShardlineTypeError, ShardlineValueError
from shardline.options.cpu import usable_cores
from shardline.options.storage import SCHEMES

_T = TypeVar("_T")
Check = Callable[[str, Any], Any]
"""Of (name, value): the value as it is used. Raises an error that names the argument."""

OutputFormat = Literal["torch", "numpy", "arrow", "dict"]
PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]

MAX_ROWS = 2**31
"""The largest number of rows that a batch or a split may be asked to have."""
MAX_BYTES = 2**60

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def check_int(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int in [low, high]; ShardlineTypeError or ShardlineValueError naming the argument otherwise."""
    if isinstance(value, bool):
        raise ShardlineTypeError(f"{name} must be an integer, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise ShardlineTypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__})") from None
    if not low <= number <= high:
        raise ShardlineValueError(f"{name} must be between {low:,} and {high:,}, not {number:,}")
    return number


def integer(low: int, high: int) -> Check:
    """The check of an int in [low, high]."""
    return lambda name, value: check_int(name, value, low, high)


def choice(*choices: Any) -> Check:
    """The check of one of `choices`."""
    return lambda name, value: check_choice(name, value, choices)


def optional(check: Check) -> Check:
    """The check of a value, or of None."""
    return lambda name, value: None if value is None else check(name, value)


def takes_value(check: Callable[[Any], Any]) -> Check:
    """A check that knows its argument's name."""
    return lambda name, value: check(value)


def unchecked(name: str, value: Any) -> Any:
    """The value as it is: it is checked beside others."""
    return value


def check_bool(name: str, value: Any) -> bool:
    """`value` if it is True or False; ShardlineTypeError otherwise."""
    if not isinstance(value, bool):
        raise ShardlineTypeError(f"{name} must be True or False, not {value!r}")
    return value


def check_text(name: str, value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        raise ShardlineTypeError(f"{name} must be text, not {value!r}")
    if not value:
        raise ShardlineValueError(f"{name} is empty text: leave it out, or say what is meant")
    return value


def check_progress(name: str, value: Any) -> bool:
    """True or False; ShardlineImportError where a bar is asked for, and there is no tqdm."""
    if check_bool(name, value) and importlib.util.find_spec("tqdm") is None:
        raise ShardlineImportError(f"{name}=True needs tqdm, which is not installed: pip install tqdm, or leave it out")
    return bool(value)


def check_choice(name: str, value: _T, choices: Iterable[_T]) -> _T:
    """`value` if it is one of `choices`; ShardlineValueError that lists them otherwise."""
    known = list(choices)
    if value not in known:
        raise ShardlineValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value


def check_seconds(name: str, value: Any) -> float:
    """A number of seconds ≥ 0; ShardlineTypeError or ShardlineValueError naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShardlineTypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value <= 1e9:
        raise ShardlineValueError(f"{name} must be between 0 and 1e9 seconds, not {value}")
    return float(value)


def check_function(name: str, value: Any) -> Any:
    """`value` if it is None or a function; ShardlineTypeError otherwise."""
    if value is not None and not callable(value):
        raise ShardlineTypeError(f"{name} must be a function of one batch, not {value!r}")
    return value


def check_output_format(value: str) -> OutputFormat:
    """One of torch, numpy, arrow, dict."""
    return cast(OutputFormat, check_choice("output_format", value, get_args(OutputFormat)))


def parse_bytes(name: str, value: Any) -> int:
    """A number of bytes from an int or from text like "128MiB" or "64 MB" (kB = 1000, KiB = 1024)."""
    if not isinstance(value, str):
        return check_int(name, value, 1, MAX_BYTES)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ShardlineValueError(
            f"{name}={value!r} is not understood: give a number of bytes, or a number with one of "
            "B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024), as in '128MiB'"
        )
    return check_int(name, int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor, 1, MAX_BYTES)


def check_num_threads(value: Any) -> int:
    """A number of threads; by default the cores that this process may use."""
    return usable_cores() if value is None else check_int("num_threads", value, 1, 1024)


def check_num_shards(number: int | None, num_ranks: int) -> int | None:
    """`number`, which must be a multiple of the ranks, or None where none was asked for."""
    if number is not None and number % num_ranks:
        below = number // num_ranks * num_ranks
        near = (below, below + num_ranks)
        would_do = " or ".join(str(each) for each in near if 0 < each <= MAX_ROWS)
        raise ShardlineValueError(
            f"num_shards={number} is not a multiple of the {num_ranks} ranks: {would_do} would do "
            "(every rank must own as many shards as every other)"
        )
    return number


def check_columns(columns: Any) -> tuple[str, ...] | None:
    """Column names in the order asked for, or None for all."""
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ShardlineTypeError(f"columns must be a list of names, not {columns!r}")
    names = tuple(columns)
    for name in names:
        if not isinstance(name, str):
            raise ShardlineTypeError(f"columns must be a list of names, but holds {name!r}")
    return names


def check_paths(path: Any) -> list[str]:
    """Local paths, URLs of stores, and globs of these, as text; ShardlineValueError for URLs of other kinds."""
    items = [path] if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(items, Sequence) or isinstance(items, (bytes, bytearray)):
        raise ShardlineTypeError(f"path must be a path, or a list of paths, not {path!r}")
    texts = []
    for item in items:
        text = os.fspath(item) if isinstance(item, (str, os.PathLike)) else item
        if not isinstance(text, str):
            raise ShardlineTypeError(f"a path must be text or a pathlib.Path, not {item!r}")
        if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
            raise ShardlineValueError(f"a path must be UTF-8 without a zero byte, not {text!r}; rename it")
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
        if scheme and scheme[1].lower() not in ("file", *SCHEMES):
            raise ShardlineValueError(
                f"there is no reader for {scheme[1]}://; copy the files, or mount them as local ones"
            )
        texts.append(text)
    if not texts:
        raise ShardlineValueError("path is an empty list: give at least one path")
    return texts


def check_plan(plan: Any) -> Plan | None:
    """A `Plan` or None."""
    if plan is None or isinstance(plan, Plan):
        return plan
    raise ShardlineTypeError(f"plan must be a Plan (dataset.plan, or Plan.load(path)), not {plan!r}")
