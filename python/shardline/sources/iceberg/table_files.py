"""The bytes of a table's files: on this machine, or in a store by shardline's own options, retries and credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from shardline._core import ObjectStore, Storage
from shardline.errors import ShardlineFileNotFoundError, ShardlineOSError, ShardlinePermissionError, ShardlineValueError
from shardline.ranged_file import RangedFile
from shardline.sources.iceberg.locations import base_of, normalized

HINT = "version-hint.text"


class TableFiles:
    """Opens files by their locations; a context, in which connections are kept."""

    def __init__(self, storage: Storage | None) -> None:
        self._storage = storage
        self._stores: dict[str, ObjectStore] = {}

    def __enter__(self) -> "TableFiles":
        return self

    def __exit__(self, *_: object) -> None:
        while self._stores:
            self._stores.popitem()[1].close()

    def read(self, location: str) -> bytes:
        """All of a file.

        Raises:
            ShardlineFileNotFoundError: There is none.
        """
        place = normalized(location)
        if base := base_of(place):
            found = self._store(base).get(place[len(base) + 1 :])
            if found is None:
                raise ShardlineFileNotFoundError(f"{place}: there is no such object")
            return found
        with _errors(place):
            return Path(place).read_bytes()

    def read_range(self, location: str, start: int, length: int, size: int) -> bytes:
        """A part of a file of so many bytes; less where the file ends before."""
        with pa.PythonFile(self.open(location, size), "r") as file:
            file.seek(start)
            return bytes(file.read(length))

    def open(self, location: str, size: int) -> Any:
        """A file to read parts of. `size`: as the table says."""
        place = normalized(location)
        if base := base_of(place):
            return _ObjectFile(self._store(base), place[len(base) + 1 :], size)
        with _errors(place):
            return Path(place).open("rb")

    def names(self, directory: str) -> list[str]:
        """The names of the files in a directory; none where there is no such directory."""
        place = normalized(directory).rstrip("/")
        if base := base_of(place):
            prefix = place[len(base) + 1 :]
            found = self._store(base).list(prefix)
            inside = (key.removeprefix(f"{prefix}/") for key, *_ in found if key.startswith(f"{prefix}/"))
            return [name for name in inside if "/" not in name]
        try:
            return [entry.name for entry in Path(place).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _store(self, base: str) -> ObjectStore:
        if base not in self._stores:
            if self._storage is None:
                raise ShardlineValueError(
                    f"{base}: the Iceberg table has files here, and its metadata are on this machine: give the path of "
                    "the metadata in the store"
                )
            store = ObjectStore(self._storage, base)
            store.open()
            self._stores[base] = store
        return self._stores[base]


class _ObjectFile(RangedFile):
    """An object."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__(size)
        self._store, self._key = store, key

    def fetch(self, start: int, end: int) -> bytes:
        return self._store.read(self._key, start, end, self._size, "")


@contextmanager
def _errors(path: str) -> Iterator[None]:
    """Errors of the operating system by shardline's names."""
    try:
        yield
    except FileNotFoundError:
        raise ShardlineFileNotFoundError(f"{path}: there is no such file") from None
    except PermissionError as error:
        raise ShardlinePermissionError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise ShardlineOSError(f"{path}: {error}") from error
