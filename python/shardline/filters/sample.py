"""A sample: an interval of fractions of every row group's rows, chosen by a seed.

>>> check_sample(0.1, None, 0)
(0.0, 0.1, 0)
"""

from collections.abc import Sequence
from typing import Any

from shardline.errors import ShardlineTypeError, ShardlineValueError


def check_sample(sample: Any, split: Any, seed: int) -> tuple[float, float, int] | None:
    """(low, high, seed); None for all rows. ShardlineTypeError or ShardlineValueError for anything but fractions."""
    if sample is not None and split is not None:
        raise ShardlineValueError(f"sample={sample} is the same as split=(0, {sample}): give one of them, not both")
    if sample is not None:
        interval = (0.0, _fraction("sample", sample))
    elif split is not None:
        if not isinstance(split, Sequence) or isinstance(split, str) or len(split) != 2:
            raise ShardlineTypeError(f"split must be two fractions, as (0.0, 0.9), not {split!r}")
        interval = (_fraction("split", split[0]), _fraction("split", split[1]))
    else:
        return None
    low, high = interval
    if low >= high:
        which = f"sample={sample}" if sample is not None else f"split=({low}, {high})"
        raise ShardlineValueError(f"{which} holds no row: fractions go up, from 0 to 1")
    return None if interval == (0.0, 1.0) else (low, high, seed)


def _fraction(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShardlineTypeError(f"{name} must be a fraction between 0 and 1, not {value!r}")
    if not 0 <= value <= 1:
        raise ShardlineValueError(f"{name} must be between 0 and 1, not {value}")
    return float(value)
