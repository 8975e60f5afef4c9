"""OUT's name: what is refused, the folder beside it in which everything is made, and the rename at the end.

Beside `data/out` stands `data/.out.unfinished` while it is written. A folder that is replaced is renamed to
`data/.out.replaced` first, and removed when the new one stands. A crash between the two renames leaves both; the next
call puts the old one back.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shardline.checkpoint.atomic_write import sync_directory
from shardline.errors import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError
from shardline.options.storage import is_remote

log = logging.getLogger("shardline")


class Place:
    """OUT, checked. A context: within it, no other process writes the same."""

    def __init__(self, out: Any, folders: Sequence[Path], files: Sequence[Path], *, overwrite: bool) -> None:
        if not isinstance(out, (str, os.PathLike)) or not os.fspath(out):
            raise ShardlineTypeError(f"out must be the path of a folder, not {out!r}")
        if is_remote(str(out)):
            raise ShardlineValueError(
                f"out={str(out)!r}: rewrite() writes to a local or mounted folder; copy it from there"
            )
        self.given = str(out)
        self.out = Path.cwd() / out
        self.overwrite = overwrite
        if self.out.name in ("", ".."):
            raise ShardlineValueError(f"out={str(out)!r} has no name of its own; give a new folder in it")
        self.work = self.out.with_name(f".{self.out.name}.unfinished")
        self.files = self.work / "out"
        self._replaced = self.out.with_name(f".{self.out.name}.replaced")
        real = self.out.resolve()
        for path in (one.resolve() for one in (*folders, *files)):
            if real in (path, *path.parents):
                raise ShardlineValueError(f"out={str(out)!r} is or holds the input {path}; give another folder")
        for path in (one.resolve() for one in folders):
            if path in real.parents:
                raise ShardlineValueError(f"out={str(out)!r} is in the input's folder {path}; give one outside of it")
        self._lock: Any = None

    def __enter__(self) -> "Place":
        if self._replaced.exists() and not self.out.exists():
            self._replaced.rename(self.out)
            log.info("%s was about to be replaced when a run ended; it is put back", self.out)
        if not self.overwrite and (self.out.exists() or self.out.is_symlink()):
            raise ShardlineValueError(
                f"{self.out} exists; give overwrite=True (--overwrite) to replace it, or another folder"
            )
        self.work.mkdir(parents=True, exist_ok=True)
        self._lock = (self.work / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ShardlineRuntimeError(f"another process is writing {self.out} now") from None
        try:
            lost = not os.path.samestat(os.fstat(self._lock.fileno()), (self.work / "lock").stat())
        except FileNotFoundError:
            lost = True
        if lost:
            self._lock.close()
            raise ShardlineRuntimeError(f"another process wrote {self.out} at this moment")
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def clear(self) -> None:
        """Begins anew."""
        for path in self.work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()

    def abandon(self) -> None:
        """Leaves nothing: there is nothing to go on from."""
        shutil.rmtree(self.work, ignore_errors=True)

    def publish(self) -> None:
        """Gives what was written OUT's name."""
        if not self.overwrite and self.out.exists():
            raise ShardlineValueError(
                f"{self.out} was made by another process meanwhile; what was written is in {self.files}"
            )
        for folder in (*(path for path in self.files.rglob("*") if path.is_dir()), self.files):
            sync_directory(folder)
        if self._replaced.exists():
            _remove(self._replaced)
        if self.out.exists() or self.out.is_symlink():
            self.out.rename(self._replaced)
        self.files.rename(self.out)
        sync_directory(self.out.parent)
        if self._replaced.exists() or self._replaced.is_symlink():
            _remove(self._replaced)
        self.abandon()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)
