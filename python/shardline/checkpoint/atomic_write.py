"""Files and directories that are there whole, or not at all, after a crash at any moment.

A directory is filled under a temporary name, every file of it is synced to the disk, then it, then it is renamed, and
the directory above is synced. Removal goes the same way back: renamed first, then taken apart.
"""

import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

UNFINISHED, REMOVED = ".unfinished-", ".removed-"
"""How directories begin that are being written, or taken apart."""
_OWNER = re.compile(re.escape(UNFINISHED) + r"(?P<host>.+)-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{32}")
_CHUNK = 2**22
_mine: set[str] = set()  # the directories that this process is filling
_RECENT = 3600.0  # seconds; a save of another host that has written nothing for so long is taken for dead


class Written(NamedTuple):
    """What a file should hold."""

    bytes: int
    sha256: str


class FirstFailure:
    """The error of a write: `torch.save` ends its archive even then, and raises what that fails by."""

    def __init__(self) -> None:
        self._error: Exception | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Around each write."""
        try:
            yield
        except Exception as error:
            self._error = self._error or error
            raise

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Around all of them: where one failed, its error instead of any other."""
        try:
            yield
        except RuntimeError:
            if self._error is not None:
                raise self._error from None
            raise


class Writer:
    """A new file to be written from its beginning, for `torch.save`: hashes what passes, and calls `beat` now and then.

    OSError where the disk is full or the place may not be written to.
    """

    def __init__(self, path: Path | None, beat: Callable[[], None]) -> None:
        """`path`: None to find out only what would be written."""
        self._file = None if path is None else path.open("xb", buffering=2**20)
        self._sha = hashlib.sha256()
        self._bytes = 0
        self._beat = beat
        self.failed = FirstFailure()

    def write(self, data: "bytes | memoryview") -> int:
        """All of it."""
        with self.failed.noted():
            self._sha.update(data)
            if self._file is not None:
                self._file.write(data)
            self._bytes += len(data)
            self._beat()
        return len(data)

    def flush(self) -> None:
        """Nothing: `finish` does."""

    def finish(self) -> Written:
        """On the disk, when this returns."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return Written(self._bytes, self._sha.hexdigest())

    def close(self) -> None:
        """Whether finished or not."""
        if self._file is not None:
            self._file.close()


def write_file(path: Path, fill: Callable[[Writer], object], beat: Callable[[], None]) -> Written:
    """Makes a file, fills it, and brings it to the disk."""
    writer = Writer(path, beat)
    try:
        with writer.failed.raised():
            fill(writer)
        return writer.finish()
    finally:
        writer.close()


def as_written(fill: Callable[[Writer], object], beat: Callable[[], None]) -> Written:
    """What a file would hold that `fill` fills."""
    writer = Writer(None, beat)
    fill(writer)
    return writer.finish()


def read_back(path: Path, beat: Callable[[], None]) -> Written:
    """What a file holds."""
    sha, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
            size += len(chunk)
            beat()
    return Written(size, sha.hexdigest())


def sync_directory(path: Path) -> None:
    """The names in it are on the disk, when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """What was written to it is on the disk, when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def begin(above: Path) -> Path:
    """A new empty directory, under a temporary name; `above` is made where it is not there."""
    if not above.is_dir():
        above.mkdir(parents=True, exist_ok=True)
        sync_directory(above.parent)
    path = above / f"{UNFINISHED}{_host()}-{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex}"
    _mine.add(path.name)
    path.mkdir()
    return path


def commit(unfinished: Path, name: str) -> Path:
    """Gives a filled directory the first of the names `name`, `name.1`, `name.2` … that is free, durably."""
    for folder in (*(path for path in unfinished.rglob("*") if path.is_dir()), unfinished):
        sync_directory(folder)
    above, count = unfinished.parent, 0
    while (path := above / (f"{name}.{count}" if count else name)).exists():
        count += 1
    unfinished.rename(path)
    _mine.discard(unfinished.name)
    sync_directory(above)
    return path


def remove(path: Path) -> None:
    """Out of sight at once, then taken apart; a crash in between leaves what `sweep` removes."""
    try:
        hidden = path.with_name(f"{REMOVED}{uuid.uuid4().hex}")
        path.rename(hidden)
        shutil.rmtree(hidden)
    except FileNotFoundError:  # another process was faster
        return


def discard(unfinished: Path) -> None:
    """Takes apart what could not be finished, as far as that can be done."""
    shutil.rmtree(unfinished, ignore_errors=True)
    _mine.discard(unfinished.name)


def sweep(above: Path) -> list[str]:
    """Removes what earlier processes left unfinished. Returns who else is writing there now, as far as can be told.

    A directory of a process that lives is left alone; of another host's, one that was written to within `_RECENT`.
    """
    writers = []
    for path in above.iterdir() if above.is_dir() else ():
        if path.name.startswith(UNFINISHED) and (writer := _writer(path)):
            writers.append(writer)
        elif path.name.startswith((UNFINISHED, REMOVED)):
            shutil.rmtree(path, ignore_errors=True)
    return writers


def _writer(path: Path) -> str:
    """Who fills this directory at present; "" where nobody does."""
    owner = _OWNER.fullmatch(path.name)
    if owner is None:
        return ""
    host, pid = owner["host"], int(owner["pid"])
    if host == _host():
        lives = owner["start"] == str(_started(pid)) and (pid != os.getpid() or path.name in _mine)
    else:
        lives = _age(path) < _RECENT
    return f"process {pid} on {host}" if lives else ""


def _age(path: Path) -> float:
    """Seconds since anything in it was written, by the clock of the file system as far as there is one."""
    try:
        newest = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:  # it changes
        return 0.0
    return time.time() - newest


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname()) or "unknown"


def _started(pid: int) -> int:
    """When a process began, in ticks since the machine's start, so that a number given anew is another; 0: no such."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return _alive_elsewhere(pid)
    except (OSError, ValueError, IndexError):
        return 0


def _alive_elsewhere(pid: int) -> int:
    """Without /proc: 1 for a process that lives."""
    if Path("/proc/self").exists():
        return 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:
        return 1
    return 1
