"""What a caller may ask for, checked: every wrong argument is an error that names it and says what would do.

>>> parse_bytes("split_bytes", "128MiB")
134217728
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast, get_args

from shardline._core import Plan, Storage
from shardline.checks import check_bool as check_bool
from shardline.checks import check_choice as check_choice
from shardline.checks import check_int as check_int
from shardline.column_options import ColumnOptions as ColumnOptions
from shardline.column_options import check_column_defaults as check_column_defaults
from shardline.column_options import check_column_options as check_column_options
from shardline.column_options import check_groups as check_groups
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.selection import Rows
from shardline.storage import SCHEMES

OutputFormat = Literal["torch", "numpy", "arrow", "dict"]
PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]

MAX_ROWS = 2**31
"""The largest number of rows that a batch or a split may be asked to have."""
MAX_BYTES = 2**60
DEFAULT_PREFETCH_BYTES = 256 * 2**20

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


@dataclass(frozen=True)
class Settings:
    """What a dataset's constructor was asked, checked. Plain and picklable; `None` is "not asked"."""

    batch_size: int
    drop_last: bool
    columns: tuple[str, ...] | None
    shuffle: bool
    shuffle_seed: int | None
    shuffle_buffer_size: int | None
    shuffle_strands: int
    split_bytes: int
    split_rows: int | None
    num_shards: int | None
    rank: int
    num_ranks: int
    num_threads: int
    prefetch_bytes: int
    output_format: OutputFormat
    column_options: Mapping[str, ColumnOptions]
    column_defaults: ColumnOptions
    groups: tuple[tuple[str, tuple[str, ...], bool], ...]
    schema: str
    widen: bool
    files: str
    plan_timeout: float
    transform: Callable[[Any], Any] | None
    rows: Rows
    storage: Storage | None = field(default=None, repr=False, compare=False)

    @property
    def wants_tensors(self) -> bool:
        """Whether every column must have a tensor (torch and numpy output)."""
        return self.output_format in ("torch", "numpy")


class DatasetOptions(TypedDict, total=False):
    """The keywords of `StructuredDataset` that a loader passes on (beside batch_size, shuffle and drop_last)."""

    format: str
    columns: Sequence[str] | None
    filters: Any
    sample: float | None
    split: Sequence[float] | None
    sample_seed: int
    shuffle_seed: int | None
    shuffle_buffer_size: int | None
    shuffle_strands: int
    split_bytes: int | str
    split_rows: int | None
    output_format: OutputFormat
    column_options: Mapping[str, ColumnOptions] | None
    column_defaults: ColumnOptions | None
    groups: Mapping[str, str | Sequence[str]] | None
    storage_options: Mapping[str, Any] | None
    partitioning: Any
    transform: Any
    schema: str
    widen: bool
    files: str
    plan: Plan | None
    num_ranks: int | None
    rank: int | None
    mesh: Any
    process_group: Any
    plan_timeout: float
    num_shards: int | None
    num_threads: int | None
    prefetch_bytes: int | str


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


def check_format(value: str) -> None:
    """Only Parquet is read."""
    if value != "parquet":
        raise ShardlineValueError(f"format must be 'parquet', the one format that shardline reads, not {value!r}")


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


def check_num_shards(num_shards: Any, num_ranks: int) -> int | None:
    """A multiple of the ranks, or None where none was asked for."""
    if num_shards is None:
        return None
    number = check_int("num_shards", num_shards, 1, MAX_ROWS)
    if number % num_ranks:
        below = number // num_ranks * num_ranks
        would_do = f"{below} or {below + num_ranks}" if below else f"{num_ranks}"
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
