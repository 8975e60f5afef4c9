"""The checks of plain arguments: every wrong one is an error that names it and says what would do."""

import operator
from collections.abc import Iterable
from typing import Any, TypeVar

from shardline.errors import ShardlineTypeError, ShardlineValueError

_T = TypeVar("_T")


def check_int(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int in [low, high]; ShardlineTypeError or ShardlineValueError naming the argument otherwise."""
    if isinstance(value, bool):
        raise ShardlineTypeError(f"{name} must be an integer, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise ShardlineTypeError(f"{name} must be an integer, not {value!r} ({type(value).__name__})") from None
    if not low <= number <= high:
        raise ShardlineValueError(f"{name} must be between {low} and {high:,}, not {number}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """`value` if it is True or False; ShardlineTypeError otherwise."""
    if not isinstance(value, bool):
        raise ShardlineTypeError(f"{name} must be True or False, not {value!r}")
    return value


def check_choice(name: str, value: _T, choices: Iterable[_T]) -> _T:
    """`value` if it is one of `choices`; ShardlineValueError that lists them otherwise."""
    known = list(choices)
    if value not in known:
        raise ShardlineValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value
