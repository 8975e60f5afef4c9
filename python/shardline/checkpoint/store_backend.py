"""Checkpoints in an object store: S3, Google Cloud Storage, Azure, or a web server that can be written to.

    URL/step-150/manifest.json model.pt …   as on a disk; written last, the manifest makes it a checkpoint
    URL/step-150/writer.json                who writes it: reserves the folder, and is removed last
    URL/step-150/.uploads/model.pt          names the upload of a large file while it is under way
    URL/.writers/00000003-….json            who saves here (`store_writers`)

There is no rename in a store: files lie at once where they stay. A folder without a manifest is what a killed save
left, or what another one is filling; the next save removes it when all of it is older than a day, by the store's clock.
"""

import logging
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from shardline._core import ObjectStore, Storage
from shardline.checkpoint.atomic_write import Written
from shardline.checkpoint.backend import Backend, Beat
from shardline.checkpoint.manifest import NAME
from shardline.checkpoint.store_objects import Listing, Stored, StoreObjects
from shardline.checkpoint.store_pending import StorePending
from shardline.checkpoint.store_read import download, piece_reader
from shardline.checkpoint.store_writers import Writers
from shardline.errors import CheckpointError, ShardlineFileNotFoundError

log = logging.getLogger("shardline")
_READERS = 16


class StoreBackend:
    """The prefix of a run."""

    def __init__(self, url: str, storage: Storage) -> None:
        self.store = ObjectStore(storage, url)
        self.url = self.store.url.rstrip("/")
        self._storage = storage
        self._objects, self._writers = StoreObjects(self.store), Writers(self.store)
        self._listed: dict[str, dict[str, Stored]] = {}
        self._manifests: dict[tuple[str, str], str] = {}
        self._held: dict[tuple[str, str], tuple[mmap.mmap | bytes, Written]] = {}
        self._hurries = False

    def __str__(self) -> str:
        return self.url

    @contextmanager
    def session(self) -> Iterator[None]:
        """Connections, and files that were read to be checked, are kept till its end."""
        self.store.open()
        try:
            yield
        finally:
            self._held.clear()
            self.store.close()

    def stop_after(self, seconds: float | None) -> None:
        """Every request ends then."""
        self._hurries = seconds is not None
        self.store.stop_after(seconds)

    def folders(self) -> list[str]:
        """Those with a manifest, all of which are read side by side."""
        self._listed = self._objects.look()
        found = {folder: one[NAME] for folder, one in self._listed.items() if NAME in one}
        known = {(folder, one.tag): folder for folder, one in found.items()}
        self._manifests = {key: text for key, text in self._manifests.items() if key in known}
        new = [key for key in known if key not in self._manifests]
        with ThreadPoolExecutor(_READERS) as pool:
            for key, data in zip(new, pool.map(lambda key: self._try_manifest(key[0]), new), strict=True):
                if data is not None:
                    self._manifests[key] = data
        return list(found)

    def _try_manifest(self, folder: str) -> str | None:
        try:
            data = self.store.get(f"{folder}/{NAME}")
            return None if data is None else data.decode()
        except (OSError, ValueError):  # read_text says so, of this one
            return None

    def exists(self, folder: str) -> bool:
        """Asked of the store."""
        return self.store.get(f"{folder}/{NAME}") is not None

    def place(self, name: str) -> str:
        """Its URL."""
        return f"{self.url}/{name}"

    def read_text(self, folder: str, name: str) -> str:
        """As UTF-8."""
        one = self._listed.get(folder, {}).get(name)
        if one is not None and (kept := self._manifests.get((folder, one.tag))) is not None and name == NAME:
            return kept
        data = self.store.get(f"{folder}/{name}")
        if data is None:
            raise ShardlineFileNotFoundError(f"there is no object {self.place(folder)}/{name}")
        return data.decode()

    def _object(self, folder: str, name: str) -> Stored:
        if folder not in self._listed:
            self._listed[folder] = self._objects.folder(folder)
        if name not in self._listed[folder]:
            raise ShardlineFileNotFoundError(f"there is no object {self.place(folder)}/{name}: it was removed")
        return self._listed[folder][name]

    def size(self, folder: str, name: str) -> int:
        """As the listing says."""
        return self._object(folder, name).bytes

    def written(self, folder: str, name: str, beat: Beat) -> Written:
        """Read in ranges, side by side, and kept for `source`; pieces, which several ranks read, are not kept."""
        for key in [key for key in self._held if key[0] != folder]:  # of a checkpoint that turned out to be damaged
            self._held.pop(key, None)
        one = self._object(folder, name)
        data, found = download(self.store, f"{folder}/{name}", one.bytes, one.tag, beat, keep="/" not in name)
        if data is not None:
            self._held[folder, name] = (data, found)
        return found

    def source(self, folder: str, name: str, expected: Written, beat: Beat) -> Any:
        """In memory; CheckpointError where it is not as it was written."""
        if (folder, name) not in self._held:
            self.written(folder, name, beat)
        data, found = self._held.pop((folder, name))
        if found != expected:
            raise CheckpointError(f"{self.place(folder)}/{name} is not as it was written: its checksum differs")
        return data

    def pieces_reader(self, folder: str) -> Any:
        """torch's, from ranges."""
        return piece_reader(self.store, folder, self._objects.folder(folder))

    def begin(self, step: int, about: int) -> StorePending:
        """In a folder that nobody has."""
        objects = self._writers.claim(self._objects.look)
        if not self._hurries:
            self._sweep(objects)
        return StorePending.begin(self._objects, self._writers, step, objects, about)

    def _sweep(self, objects: Listing) -> None:
        try:
            self._objects.sweep(objects, self._writers.name)
        except OSError as error:  # no right to delete, perhaps: that is no reason not to save
            log.warning("what killed saves left in %s could not be removed: %s", self.url, error)

    def join(self, name: str, about: int) -> StorePending:
        """Every rank writes there itself."""
        return StorePending(self._objects, self._writers, name, about)

    def remove(self, folder: str) -> None:
        """Its manifest first: then it is none."""
        names = self._objects.folder(folder)
        self.store.delete([f"{folder}/{NAME}"])
        self._objects.take_apart(folder, [name for name in names if name != NAME])
        self._listed.pop(folder, None)

    def write_beside(self, name: str, plan: Any) -> None:
        """One object."""
        self.store.put(name, plan.to_bytes())

    def beside(self, directory: str) -> Backend:
        """With the same options."""
        return StoreBackend(directory, self._storage)
