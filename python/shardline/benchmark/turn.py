"""One measurement: what a process is given to do, and what it comes to. Both are pickled."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from shardline._core import Plan

Kind = Literal["loader", "loop", "pages"]


@dataclass(frozen=True)
class Turn:
    """A reader's turn: so many seconds over the data, from their start, again and again if they are short."""

    kind: Kind
    plan: Plan
    arguments: dict[str, Any]
    """Of the loader, but the plan."""
    threads: int
    batch_size: int
    transform: Any = None
    """The function, or its place."""
    num_workers: int = 0
    step_seconds: float | None = None
    """The time that a model's step takes, where there is one."""
    seconds: float = 1.0


class Result(NamedTuple):
    """What was read in a turn. The first batch is in `first_seconds`, and in nothing else."""

    rows: int
    batches: int
    seconds: float
    """From the first batch on."""
    first_seconds: float
    """From nothing but the plan to the first batch."""
    peak_bytes: int
    """The most memory, over what the process began with."""
    row_bytes: float = 0.0
    """Decoded bytes of a row, where it is known."""
    waited_seconds: float = 0.0
    """Of the loop, for batches."""
    verdict: str = ""
    """The loader's."""
    page_bytes: float = 0.0
    """The average page, decompressed."""


@dataclass(frozen=True)
class Failed:
    """A turn that came to nothing: why."""

    why: str
