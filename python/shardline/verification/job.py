"""What a process of a verification is given to do, and what it says of it. Both are pickled."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shardline.verification.digest import Digests


@dataclass(frozen=True)
class Job:
    """One rank of a run: the batches from `start` up to `stop`, counted over all ranks and through the epochs."""

    path: Any
    arguments: dict[str, Any]
    """Of the loader, but what is below."""
    transform: Any
    """The function, or its place."""
    epoch_batches: int
    start: int
    stop: int
    rank: int = 0
    num_ranks: int = 1
    num_workers: int = 0
    state: dict[str, Any] | None = None
    """A run that goes on from here; None: one that begins at `start`."""
    replay: bool = False
    """Whether the transform is given every batch again and again."""
    torch_threads: int | None = None


class Record(NamedTuple):
    """A batch: what the reader made, and what the transform made of that."""

    read: Digests
    made: Digests


class Wrong(NamedTuple):
    """An error in the process."""

    where: str
    """"data", "transform" or "process"."""
    text: str
    trace: str


@dataclass
class Outcome:
    """What came of a job."""

    records: list[Record] = field(default_factory=list)
    state: dict[str, Any] | None = None
    """The loader's, after the last batch."""
    replayed: list[list[Digests]] = field(default_factory=list)
    """Of each batch, what the transform made of it each time, the generators seeded alike."""
    suspects: list[str] = field(default_factory=list)
    """What the transform uses that may be why, in words."""
    wrong: Wrong | None = None
