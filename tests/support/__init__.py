"""What several test modules use."""

from collections.abc import Iterable
from itertools import islice
from typing import Any


def ids(batches: Iterable[Any]) -> list[list[int]]:
    """The row numbers of each batch."""
    return [batch["i"].tolist() for batch in batches]


def take(batches: Iterable[Any], count: int) -> list[list[int]]:
    """The row numbers of the next `count` batches; the end of the epoch is not asked for."""
    return ids(islice(batches, count))
