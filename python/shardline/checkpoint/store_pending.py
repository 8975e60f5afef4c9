"""A checkpoint that is being written to a store: streamed from memory, in parts side by side, the manifest last."""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shardline._core import Upload
from shardline.checkpoint.atomic_write import FirstFailure, Written
from shardline.checkpoint.backend import Beat, Fill
from shardline.checkpoint.manifest import NAME
from shardline.checkpoint.store_objects import UPLOADS, WRITER, Listing, StoreObjects
from shardline.checkpoint.store_writers import Writers, about_me
from shardline.errors import CheckpointError, ShardlineError

log = logging.getLogger("shardline")
_PIECE = 2**24
_FINISHING = 4


class UploadWriter:
    """A new object to be written from its beginning: hashes what passes, and calls `beat` now and then."""

    def __init__(self, upload: Upload, beat: Beat) -> None:
        self._upload, self._beat = upload, beat
        self._sha = hashlib.sha256()
        self._bytes = 0
        self._failed = FirstFailure()

    def write(self, data: Any) -> int:
        """All of it, in pieces, so that it is sent while the rest is hashed."""
        view = memoryview(data).cast("B")
        with self._failed.noted():
            for start in range(0, len(view), _PIECE):
                piece = view[start : start + _PIECE]
                self._sha.update(piece)
                self._upload.write(piece)
                self._beat()
        self._bytes += len(view)
        return len(view)

    def filling(self) -> AbstractContextManager[None]:
        """What fails within it fails by what `write` failed by at first."""
        return self._failed.raised()

    def tell(self) -> int:
        """How much was written."""
        return self._bytes

    def flush(self) -> None:
        """Nothing: a part is sent when it is full."""

    def close(self) -> None:
        """Nothing: whoever made it finishes the upload."""

    def written(self) -> Written:
        """What the object will hold."""
        return Written(self._bytes, self._sha.hexdigest())


class StorePending:
    """A folder without a manifest."""

    def __init__(self, objects: StoreObjects, writers: Writers, name: str, about: int) -> None:
        self._objects, self._writers, self._name, self._about = objects, writers, name, about
        self._uploads: list[Upload] = []
        """Those that may not be complete."""
        self._finishing: list[Future[int]] = []
        self._pool = ThreadPoolExecutor(_FINISHING, thread_name_prefix="shardline-upload")
        self._pieces: dict[str, Written] = {}
        self._shared, self._sealed = False, False
        """Whether other processes write here too; whether the manifest may be there."""

    @staticmethod
    def begin(objects: StoreObjects, writers: Writers, step: int, taken: Listing, about: int) -> "StorePending":
        """Reserves the first folder of `step-N`, `step-N.1` … that is not taken."""
        count = 0
        while True:
            name = f"step-{step}.{count}" if count else f"step-{step}"
            count += 1
            if name in taken:
                continue
            me = about_me(save=secrets.token_hex(8))  # no two saves say the same, of one process neither
            created = objects.store.create(f"{name}/{WRITER}", me)
            if created is None:  # without conditional puts, another one's folder is avoided by chance
                name = f"step-{step}.{secrets.randbelow(10**9)}" if taken else name
                objects.store.put(f"{name}/{WRITER}", me)
            if created is not False:
                return StorePending(objects, writers, name, about)

    @property
    def name(self) -> str:
        """Of the folder, which it keeps."""
        return self._name

    @contextmanager
    def stream(self, name: str, beat: Beat) -> Iterator[UploadWriter]:
        """An object to be written; the last of it is sent while the next is being written."""
        journal = f"{self._name}/{UPLOADS}/{name}"
        upload = self._objects.store.upload(f"{self._name}/{name}", journal, self._about)
        self._uploads.append(upload)
        writer = UploadWriter(upload, beat)
        with writer.filling():
            yield writer
        self._finishing.append(self._pool.submit(upload.finish))

    def write(self, name: str, fill: Fill, beat: Beat) -> Written:
        """Streamed."""
        with self.stream(name, beat) as writer:
            fill(writer)  # type: ignore[arg-type]
        return writer.written()

    def finish(self, beat: Beat) -> None:
        """Until all that was written is there; what a store said of one that is not."""
        finishing, self._finishing = self._finishing, []
        for one in finishing:
            while not one.done():
                try:
                    one.exception(timeout=0.2)
                except TimeoutError:
                    if one.done():
                        break
                beat()
            one.result()
        self._uploads = []

    def pieces_writer(self) -> Any:
        """torch's, into objects."""
        from shardline.checkpoint.dcp_store import PieceWriter

        self._shared = True
        return PieceWriter(self)

    def wrote_piece(self, name: str, written: Written) -> None:
        """Noted while it passed."""
        self._pieces[name] = written

    def pieces(self, rank: int, beat: Beat) -> dict[str, Written]:
        """When they are there."""
        self.finish(beat)
        self._pool.shutdown()
        return self._pieces

    def missing(self, files: Mapping[str, Written]) -> list[str]:
        """None: all ranks write to the same store, and `commit` looks."""
        return []

    def commit(self, step: int, manifest: bytes, files: Mapping[str, Written], beat: Beat) -> str:
        """When all files are there as they were written, and nobody else has come to save here."""
        self.finish(beat)
        self._pool.shutdown()
        objects = self._objects.look()
        self._writers.check(objects)
        there = objects.get(self._name, {})
        for name, (size, _) in files.items():
            if name not in there or there[name].bytes != size:
                found = f"has {there[name].bytes:,} bytes" if name in there else "is not there"
                raise OSError(
                    f"{self._objects.place(self._name)}/{name} {found}, after {size:,} were written to it: the store "
                    "lost it, or another process removed it"
                )
        store, key = self._objects.store, f"{self._name}/{NAME}"
        self._sealed = True
        created = store.create(key, manifest)
        if created is None:
            store.put(key, manifest)
        elif not created:
            raise CheckpointError(f"{self._objects.place(key)} was written by another process at the same moment")
        try:
            store.delete([f"{self._name}/{name}" for name in there if name.startswith(f"{UPLOADS}/")])
        except OSError as error:  # they do no harm
            log.warning("what named the uploads of %s could not be removed: %s", self._objects.place(self._name), error)
        return self._name

    def discard(self) -> None:
        """What cannot be removed now is, a day later: what this process or another one has under way may come still."""
        for upload in self._uploads:
            upload.cancel()
        self._pool.shutdown(cancel_futures=True)
        if self._sealed:  # a manifest whose answer was lost makes it a checkpoint
            return
        try:
            names = list(self._objects.folder(self._name))
            if NAME not in names:
                late = self._shared or bool(self._uploads)
                self._objects.take_apart(self._name, names, is_over=not late)
        except (OSError, ShardlineError):
            return
