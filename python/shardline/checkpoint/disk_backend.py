"""Checkpoints on a disk: files and directories that are complete, or absent."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shardline.checkpoint import atomic_write
from shardline.checkpoint.atomic_write import Written
from shardline.checkpoint.backend import Backend, Beat, Fill
from shardline.checkpoint.manifest import NAME

log = logging.getLogger("shardline")
_SHARDED = "sharded"


class DiskBackend:
    """The directory of a run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._swept = False
        self._end: float | None = None

    def __str__(self) -> str:
        return str(self.directory)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Nothing is to be kept open."""
        yield

    def stop_after(self, seconds: float | None) -> None:
        """Looked at whenever something is written."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def check_time(self) -> None:
        """TimeoutError where it is over."""
        if self._end is not None and time.monotonic() >= self._end:
            raise TimeoutError("the time that was given for it is over")

    def folders(self) -> list[str]:
        """All directories and files."""
        return [path.name for path in self.directory.iterdir()] if self.directory.exists() else []

    def exists(self, folder: str) -> bool:
        """Or it was removed at this moment."""
        return (self.directory / folder).exists()

    def place(self, name: str) -> Path:
        """Its path."""
        return self.directory / name

    def read_text(self, folder: str, name: str) -> str:
        """As UTF-8."""
        return (self.directory / folder / name).read_text(encoding="utf-8")

    def size(self, folder: str, name: str) -> int:
        """As the file system says."""
        return (self.directory / folder / name).stat().st_size

    def written(self, folder: str, name: str, beat: Beat) -> Written:
        """Read in pieces."""
        return atomic_write.read_back(self.directory / folder / name, beat)

    def source(self, folder: str, name: str, expected: Written, beat: Beat) -> Path:
        """Its path: it was checked before."""
        return self.directory / folder / name

    def pieces_reader(self, folder: str) -> Any:
        """torch's, from files."""
        from shardline.checkpoint import dcp

        return dcp.SafeReader(self.directory / folder / dcp.FOLDER)

    def begin(self, step: int, about: int) -> "DiskPending":
        """Under a temporary name."""
        if not self._swept:
            self._warn_of(atomic_write.sweep(self.directory))
            self._swept = True
        return DiskPending(self, atomic_write.begin(self.directory))

    def join(self, name: str, about: int) -> "DiskPending":
        """In the directory that all ranks see."""
        return DiskPending(self, self.directory / name)

    def remove(self, folder: str) -> None:
        """Renamed first."""
        atomic_write.remove(self.directory / folder)

    def write_beside(self, name: str, plan: Any) -> None:
        """It goes through a temporary name itself."""
        plan.save(self.directory / name)

    def beside(self, directory: str) -> Backend:
        """Any other."""
        return DiskBackend(Path(directory))

    def _warn_of(self, writers: list[str]) -> None:
        if writers:
            log.warning(
                "%s is writing a checkpoint to %s too: two runs in one directory restore and remove each other's "
                "checkpoints. Give each run a directory of its own",
                *(" and ".join(writers), self.directory),
            )


class DiskPending:
    """A directory under a temporary name."""

    def __init__(self, backend: DiskBackend, folder: Path) -> None:
        self._backend, self.folder = backend, folder

    @property
    def name(self) -> str:
        """The temporary one."""
        return self.folder.name

    def write(self, name: str, fill: Fill, beat: Beat) -> Written:
        """Synced to the disk when it returns."""

        def timed() -> None:
            self._backend.check_time()
            beat()

        return atomic_write.write_file(self.folder / name, fill, timed)

    def pieces_writer(self) -> Any:
        """torch's, into files."""
        from torch.distributed.checkpoint.filesystem import FileSystemWriter

        return FileSystemWriter(self.folder / _SHARDED, single_file_per_rank=True, sync_files=True)

    def pieces(self, rank: int, beat: Beat) -> dict[str, Written]:
        """Read back: torch wrote them."""
        from shardline.checkpoint import dcp

        names = dcp.written_by(self.folder, rank)
        return {name: atomic_write.read_back(self.folder / name, beat) for name in names}

    def missing(self, files: Mapping[str, Written]) -> list[str]:
        """Written on another machine, into a directory of that one's."""
        return [name for name in files if not (self.folder / name).exists()]

    def commit(self, step: int, manifest: bytes, files: Mapping[str, Written], beat: Beat) -> str:
        """Manifest, sync, name, sync."""
        self.write(NAME, lambda file: file.write(manifest), beat)
        return atomic_write.commit(self.folder, f"step-{step}").name

    def discard(self) -> None:
        """Taken apart."""
        atomic_write.discard(self.folder)
