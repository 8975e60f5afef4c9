"""Where the checkpoints of a run stand, a disk or an object store: what the rest of the package asks of it.

A checkpoint is a folder of a run's directory, and exists once its manifest does. `Pending` is one that is being
written: nothing of it counts before `commit`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from shardline.checkpoint.atomic_write import Writer, Written

Place = Path | str
"""Of a checkpoint, for people: a path, or the URL of a store."""
Beat = Callable[[], None]
Fill = Callable[[Writer], object]


class Pending(Protocol):
    """A checkpoint that is being written."""

    @property
    def name(self) -> str:
        """What other ranks find it by (`Backend.join`)."""

    def write(self, name: str, fill: Fill, beat: Beat) -> Written:
        """Writes one file; durable when `commit` returns."""

    def pieces_writer(self) -> Any:
        """A writer of torch.distributed.checkpoint for this rank's pieces."""

    def pieces(self, rank: int, beat: Beat) -> dict[str, Written]:
        """What that writer wrote on this rank."""

    def missing(self, files: Mapping[str, Written]) -> list[str]:
        """Those of these files that the first rank does not see."""

    def commit(self, step: int, manifest: bytes, files: Mapping[str, Written], beat: Beat) -> str:
        """Makes it a checkpoint, durably, by its manifest. Returns the name of its folder."""

    def discard(self) -> None:
        """Removes what was written, as far as that can be done."""


class Backend(Protocol):
    """The directory of a run's checkpoints. Its `str` names it in messages; no secret is in it.

    OSError where something cannot be read or written.
    """

    def session(self) -> AbstractContextManager[object]:
        """Within it, connections stay open, and what was read once is not read again."""

    def stop_after(self, seconds: float | None) -> None:
        """Whatever waits ends so many seconds from now, with TimeoutError; None: never."""

    def folders(self) -> list[str]:
        """The folders that may be checkpoints."""

    def exists(self, folder: str) -> bool:
        """Whether there is such a folder still."""

    def place(self, name: str) -> Place:
        """Of what has this name in the directory."""

    def read_text(self, folder: str, name: str) -> str:
        """A small file."""

    def size(self, folder: str, name: str) -> int:
        """Of a file, in bytes."""

    def written(self, folder: str, name: str, beat: Beat) -> Written:
        """What a file holds; reads all of it."""

    def source(self, folder: str, name: str, expected: Written, beat: Beat) -> Any:
        """What `torch.load` loads a file from: its path, or an open file."""

    def pieces_reader(self, folder: str) -> Any:
        """A reader of torch.distributed.checkpoint, which makes nothing but metadata of a pickle."""

    def begin(self, step: int, about: int) -> Pending:
        """A new checkpoint; what killed saves left is removed. `about`: its largest file, in bytes."""

    def join(self, name: str, about: int) -> Pending:
        """The one that the first rank has begun."""

    def remove(self, folder: str) -> None:
        """Removes a checkpoint; killed in between, it is none any more."""

    def write_beside(self, name: str, plan: Any) -> None:
        """Writes a plan into the directory."""

    def beside(self, directory: str) -> "Backend":
        """Another directory of the same bucket."""
