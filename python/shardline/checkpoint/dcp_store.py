"""torch.distributed.checkpoint into and out of an object store: each rank its pieces."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, Protocol

from torch.distributed.checkpoint.filesystem import FileSystemBase, FileSystemWriter

from shardline._core import ObjectStore
from shardline.checkpoint.atomic_write import Written
from shardline.checkpoint.backend import Beat
from shardline.checkpoint.dcp import FOLDER, SafeReader
from shardline.errors import ShardlineFileNotFoundError

_TEMPORARY = ".tmp"


class Streams(Protocol):
    """A checkpoint that is being written to a store."""

    def stream(self, name: str, beat: Beat) -> AbstractContextManager[Any]:
        """An object to be written."""

    def wrote_piece(self, name: str, written: Written) -> None:
        """What was written."""


class _Files(FileSystemBase):
    """A folder of a store as torch wants it: names are those in the checkpoint."""

    def concat_path(self, path: Any, suffix: str) -> str:
        return f"{path}/{suffix}"

    def rename(self, path: Any, new_path: Any) -> None:
        """Nothing: it was written under its name, and counts with the manifest only."""

    def init_path(self, path: Any) -> Any:
        return path

    def mkdir(self, path: Any) -> None:
        pass

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True

    def exists(self, path: Any) -> bool:
        return False

    def rm_file(self, path: Any) -> None:
        pass


class _Writing(_Files):
    def __init__(self, pending: Streams) -> None:
        self._pending = pending

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        name = str(path).removesuffix(_TEMPORARY)
        with self._pending.stream(name, lambda: None) as writer:
            yield writer
        self._pending.wrote_piece(name, writer.written())


class PieceWriter(FileSystemWriter):
    """torch's, into objects."""

    def __init__(self, pending: Streams) -> None:
        super().__init__(FOLDER, single_file_per_rank=True, sync_files=False)
        self.fs = _Writing(pending)  # type: ignore[assignment]  # torch takes any FileSystemBase
        self.path = FOLDER


class _Reading(_Files):
    def __init__(self, store: ObjectStore, folder: str, objects: Mapping[str, Any]) -> None:
        self._store, self._folder, self._objects = store, folder, objects

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        name, key = str(path), f"{self._folder}/{path}"
        if name not in self._objects:
            raise ShardlineFileNotFoundError(f"there is no object {self._store.url}/{key}: it was removed")
        yield _Object(self._store, key, self._objects[name])


class _Object:
    """One object, of which ranges are read."""

    def __init__(self, store: ObjectStore, key: str, about: Any) -> None:
        self._store, self._key, self._about = store, key, about

    def range(self, start: int, end: int) -> bytes:
        size, tag, _ = self._about
        return self._store.read(self._key, start, end, size, tag) if end > start else b""

    def read(self) -> bytes:
        return self.range(0, self._about.bytes)


class PieceReader(SafeReader):
    """torch's, from ranges: one request for each piece."""

    def __init__(self, store: ObjectStore, folder: str, objects: Mapping[str, Any]) -> None:
        super().__init__(FOLDER)
        self.fs = _Reading(store, folder, objects)  # type: ignore[assignment]  # torch takes any FileSystemBase
        self.path = FOLDER

    def _slice_file(self, file: Any, sinfo: Any) -> IO[bytes]:
        return io.BytesIO(file.range(sinfo.offset, sinfo.offset + sinfo.length))
