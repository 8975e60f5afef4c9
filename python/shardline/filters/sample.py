"""A sample: an interval of fractions of every row group's rows, or of the keys in some columns, chosen by a seed.

>>> check_sample(0.1, None, 0)
Sample(low=0.0, high=0.1, seed=0, columns=None)
>>> check_sample(None, (0.9, 1.0), 7, ["user"])
Sample(low=0.9, high=1.0, seed=7, columns=('user',))
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from shardline.errors import ShardlineTypeError, ShardlineValueError

SAMPLE_VERSION = 1
"""Of the keyed fraction that a row has (docs/order.md, "Samples"); a state names it."""


class Sample(NamedTuple):
    """The rows of every row group, or of every key, whose fraction is in [low, high)."""

    low: float
    high: float
    seed: int
    columns: tuple[str, ...] | None = None
    """The columns of the key; None where each row is chosen for itself."""


def check_key(name: str, value: Any) -> tuple[str, ...]:
    """`subset_by=`: the name of a column, or several."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
        raise ShardlineTypeError(f"{name} must be the name of a column, or a list of names, not {value!r}")
    if not names or len(set(names)) < len(names):
        raise ShardlineValueError(f"{name} must name one column or more, each of them once, not {value!r}")
    return tuple(names)


def check_sample(sample: Any, subset: Any, seed: int, columns: Sequence[str] | None = None) -> Sample | None:
    """`sample=` or `subset=`, of the keys in `columns`; None for all rows.

    ShardlineTypeError or ShardlineValueError if it is no fraction.
    """
    if sample is not None and subset is not None:
        raise ShardlineValueError(f"sample={sample} is the same as subset=(0, {sample}): give one of them, not both")
    if sample is not None:
        interval = (0.0, _fraction("sample", sample))
    elif subset is not None:
        if not isinstance(subset, Sequence) or isinstance(subset, str) or len(subset) != 2:
            raise ShardlineTypeError(f"subset must be two fractions, as (0.0, 0.9), not {subset!r}")
        interval = (_fraction("subset", subset[0]), _fraction("subset", subset[1]))
    else:
        return None
    low, high = interval
    if low >= high:
        which = f"sample={sample}" if sample is not None else f"subset=({low}, {high})"
        raise ShardlineValueError(f"{which} holds no row: fractions go up, from 0 to 1")
    key = None if columns is None else tuple(columns)
    return None if interval == (0.0, 1.0) else Sample(low, high, seed, key)


def _fraction(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShardlineTypeError(f"{name} must be a fraction between 0 and 1, not {value!r}")
    if not 0 <= value <= 1:
        raise ShardlineValueError(f"{name} must be between 0 and 1, not {value}")
    return float(value)
