"""What the output looks like: the arguments of `rewrite()`, checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options import validate

CODECS = ("none", "snappy", "zstd", "lz4", "gzip", "brotli")
_ASCENDING, _DESCENDING = "ascending", "descending"


@dataclass(frozen=True)
class Layout:
    """All of it is in the journal's key: a run with another layout begins anew."""

    row_group_rows: int | None
    row_group_bytes: int
    file_rows: int | None
    file_bytes: int
    codec: str
    codec_level: int | None
    page_index: bool
    page_checksums: bool
    statistics: bool
    dictionary: bool | str | tuple[str, ...]
    fixed_size_lists: bool
    narrow: bool
    sort_by: tuple[tuple[str, str], ...]
    partition_by: tuple[str, ...]
    seed: int | None
    """None: not shuffled."""

    @property
    def two_passes(self) -> bool:
        """Whether rows change their places."""
        return bool(self.sort_by or self.partition_by or self.seed is not None)


def check_layout(
    *,
    row_group_rows: Any,
    row_group_bytes: Any,
    file_rows: Any,
    file_bytes: Any,
    codec: Any,
    codec_level: Any,
    page_index: Any,
    page_checksums: Any,
    statistics: Any,
    dictionary: Any,
    fixed_size_lists: Any,
    narrow: Any,
    sort_by: Any,
    partition_by: Any,
    shuffle: Any,
    seed: Any,
) -> Layout:
    """The layout; ShardlineTypeError or ShardlineValueError names the argument that is wrong."""
    if row_group_rows is not None and row_group_bytes is not None:
        raise ShardlineValueError("row_group_rows= and row_group_bytes= say the same thing in two ways: give one")
    if file_rows is not None and file_bytes is not None:
        raise ShardlineValueError("file_rows= and file_bytes= say the same thing in two ways: give one")
    rows = validate.optional(validate.integer(1, validate.MAX_ROWS))
    files = validate.optional(validate.integer(1, 2**62))
    flags = {"page_index": page_index, "page_checksums": page_checksums, "statistics": statistics, "narrow": narrow}
    for name, value in (flags | {"fixed_size_lists": fixed_size_lists, "shuffle": shuffle}).items():
        validate.check_bool(name, value)
    if page_index and not statistics:
        raise ShardlineValueError("page_index=True needs statistics=True: give page_index=False too")
    sort = _sort_by(sort_by)
    if sort and shuffle:
        raise ShardlineValueError("sort_by= and shuffle=True are two orders of the same rows: give one")
    if seed is not None and not shuffle:
        raise ShardlineValueError("seed= does nothing without shuffle=True")
    partition = _names("partition_by", partition_by)
    twice = sorted(set(partition) & {name for name, _ in sort})
    if twice:
        raise ShardlineValueError(f"sort_by= names {twice[0]!r}, which is one value in each folder of partition_by=")
    return Layout(
        row_group_rows=rows("row_group_rows", row_group_rows),
        row_group_bytes=validate.parse_bytes(
            "row_group_bytes", "16MiB" if row_group_bytes is None else row_group_bytes
        ),
        file_rows=files("file_rows", file_rows),
        file_bytes=validate.parse_bytes("file_bytes", "256MiB" if file_bytes is None else file_bytes),
        codec=_codec(codec, codec_level),
        codec_level=codec_level,
        page_index=page_index,
        page_checksums=page_checksums,
        statistics=statistics,
        dictionary=_dictionary(dictionary),
        fixed_size_lists=fixed_size_lists,
        narrow=narrow,
        sort_by=sort,
        partition_by=partition,
        seed=validate.check_int("seed", 0 if seed is None else seed, 0, 2**64 - 1) if shuffle else None,
    )


def _codec(codec: Any, level: Any) -> str:
    name = "none" if codec is None else codec
    validate.check_choice("codec", name, CODECS)
    if name != "none" and not pa.Codec.is_available(name):
        raise ShardlineValueError(f"codec={name!r}: this pyarrow was built without it; give another")
    if level is None:
        return str(name)
    if name in ("none", "snappy", "lz4"):
        raise ShardlineValueError(f"codec_level= does nothing with codec={name!r}, which has no levels")
    low, high = pa.Codec.minimum_compression_level(name), pa.Codec.maximum_compression_level(name)
    validate.check_int("codec_level", level, low, high)
    return str(name)


def _dictionary(value: Any) -> bool | str | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return validate.check_choice("dictionary", value, ("auto",))
    return _names("dictionary", value)


def _names(name: str, value: Any) -> tuple[str, ...]:
    """Names of columns: one, or several, each once."""
    if value is None:
        return ()
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else None
    if names is None or not all(isinstance(one, str) for one in names):
        raise ShardlineTypeError(f"{name} must be names of columns, not {value!r}")
    for one in names:
        if names.count(one) > 1:
            raise ShardlineValueError(f"{name} names {one!r} twice")
    return names


def _sort_by(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None or isinstance(value, str):
        value = () if value is None else (value,)
    if not isinstance(value, Iterable):
        raise ShardlineTypeError(f"sort_by must be names of columns, or (name, 'descending'), not {value!r}")
    keys = []
    for key in value:
        pair = (key, _ASCENDING) if isinstance(key, str) else tuple(key) if isinstance(key, (list, tuple)) else ()
        if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise ShardlineTypeError(f"sort_by must be names of columns, or (name, 'descending'), but holds {key!r}")
        validate.check_choice(f"sort_by: the direction of {pair[0]!r}", pair[1], (_ASCENDING, _DESCENDING))
        keys.append((pair[0], pair[1]))
    _names("sort_by", [name for name, _ in keys])
    return tuple(keys)
