"""A bucket that can be written to, with faults; and paths in one that look like those of a disk.

`WritableStore` speaks as much of S3's protocol as checkpoints need: puts, conditional ones too, uploads in parts, and
deletes. `BucketPath` is a path for tests that look at files, whether they lie on a disk or in a store.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from support.store import BUCKET, Fault, Handler, Store, etag

LOST = "lost"
"""A fault: the request is done, and its answer lost."""
HIDDEN = (".writers", "writer.json", ".uploads")
"""What a store has beside what a disk has."""


def environ(endpoint: str) -> dict[str, str]:
    """What a process needs to find a store."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
        "AWS_REGION": "us-east-1",
    }


class _Handler(Handler):
    server: Any

    def do_PUT(self) -> None:
        self.change(self.put)

    def do_POST(self) -> None:
        self.change(self.post)

    def do_DELETE(self) -> None:
        self.change(self.delete)

    def change(self, do: Callable[[str, dict[str, str], bytes], tuple[int, bytes, dict[str, str]]]) -> None:
        store = self.server.store
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        given = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        length = int(self.headers.get("Content-Length") or 0)
        request = store.log(self.command, key, None, self)
        fault = store.faults(request)
        kind = None if fault is None else fault.kind
        if kind == "cut":
            self.rfile.read(length // 2)
            return self.reset()
        body = self.rfile.read(length)
        if kind == "stall":
            store.hold()
            return self.reset()
        if kind == "reset":
            return self.reset()
        if isinstance(kind, int):
            text = f"<Error><Code>{store.words}</Code><Message>{key}</Message></Error>".encode()
            return self.send(kind, text)
        if bucket != BUCKET:
            return self.send(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        with store.writing:
            status, answer, headers = do(key, given, body)
        if kind == LOST:
            return self.reset()
        return self.send(status, answer, headers)

    def put(self, key: str, given: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        store = self.server.store
        if "uploadId" in given:
            parts = store.uploads.get(given["uploadId"])
            if parts is None:
                return 404, b"<Error><Code>NoSuchUpload</Code></Error>", {}
            parts[int(given["partNumber"])] = body
            return 200, b"", {"ETag": etag(body)}
        if self.headers.get("If-None-Match") == "*":
            if not store.conditional:
                return 501, b"<Error><Code>NotImplemented</Code></Error>", {}
            if key in store.objects:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        store.write(key, body)
        return 200, b"", {"ETag": etag(body)}

    def post(self, key: str, given: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        store = self.server.store
        if "uploads" in given:
            name = f"upload-{len(store.begun)}"
            store.begun.append(key)
            store.uploads[name] = {}
            return (
                200,
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode(),
                {},
            )
        parts = store.uploads.pop(given["uploadId"], None)
        if parts is None:
            return 404, b"<Error><Code>NoSuchUpload</Code></Error>", {}
        store.write(key, whole := b"".join(parts[number] for number in sorted(parts)))
        answer = f"<CompleteMultipartUploadResult><ETag>{etag(whole)}</ETag></CompleteMultipartUploadResult>"
        return 200, answer.encode(), {}

    def delete(self, key: str, given: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        store = self.server.store
        if "uploadId" in given:
            store.uploads.pop(given["uploadId"], None)
        else:
            store.remove(key)
        return 204, b"", {}


class WritableStore(Store):
    """The server. `conditional`: whether it knows puts that replace nothing. `now`: its clock, in seconds of 2024."""

    handler = _Handler

    def __init__(self, **options: Any) -> None:
        self.writing = threading.Lock()
        self.conditional = True
        self.now = 0
        self.uploads: dict[str, dict[int, bytes]] = {}
        """Those under way: their parts by number."""
        self.begun: list[str] = []
        """The keys of all that were ever begun."""
        super().__init__(**options)

    @property
    def url(self) -> str:
        return Url(f"s3://{BUCKET}")

    def write(self, key: str, body: bytes) -> None:
        self.objects[key] = body
        self.seconds[key] = self.now

    def remove(self, key: str) -> None:
        self.objects.pop(key, None)

    @property
    def root(self) -> BucketPath:
        return BucketPath(self, PurePosixPath())

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to find it."""
        return environ(self.endpoint)


class Url(str):
    """A URL that is put together as a path is; the processes of a job may have it."""

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self}/{name}")


class BucketPath:
    """An object or a prefix of a store of this process, as tests look at files. `os.fspath` is its URL."""

    def __init__(self, store: WritableStore, path: PurePosixPath) -> None:
        self._store, self._path = store, path

    def __fspath__(self) -> str:
        return f"s3://{BUCKET}/{self._path}".removesuffix("/.")

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f"BucketPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(self._store, self._path / name)

    @property
    def name(self) -> str:
        return self._path.name

    def _keys(self) -> list[str]:
        prefix = f"{self._path}/" if self._path.name else ""
        return [key for key in sorted(self._store.objects) if key.startswith(prefix)]

    def iterdir(self) -> Iterator[BucketPath]:
        """Without what only a store has."""
        depth = len(self._path.parts)
        names = dict.fromkeys(PurePosixPath(key).parts[depth] for key in self._keys())
        return iter([self / name for name in names if name not in HIDDEN])

    def glob(self, pattern: str) -> Iterator[BucketPath]:
        return iter([one for one in self.iterdir() if one._path.match(pattern)])

    def exists(self) -> bool:
        return str(self._path) in self._store.objects or bool(self._keys())

    def is_dir(self) -> bool:
        return bool(self._keys())

    def mkdir(self) -> None:
        """A prefix is there when something lies under it."""

    def read_bytes(self) -> bytes:
        if str(self._path) not in self._store.objects:
            raise FileNotFoundError(str(self))
        return self._store.objects[str(self._path)]

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        self._store.write(str(self._path), data)

    def unlink(self) -> None:
        del self._store.objects[str(self._path)]

    def size(self) -> int:
        return len(self.read_bytes())


class KeptStore(WritableStore):
    """Its objects outlive it in a folder: each is there whole, or not at all. Uploads under way do not."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        super().__init__(port=port)
        self.objects.update({unquote(path.name): path.read_bytes() for path in folder.glob("[!.]*")})

    def write(self, key: str, body: bytes) -> None:
        hidden = self.folder / f".{threading.get_ident()}"
        hidden.write_bytes(body)
        hidden.replace(self.folder / quote(key, safe="").replace(".", "%2E"))
        super().write(key, body)

    def remove(self, key: str) -> None:
        (self.folder / quote(key, safe="").replace(".", "%2E")).unlink(missing_ok=True)
        super().remove(key)


__all__ = ["LOST", "BucketPath", "Fault", "KeptStore", "Url", "WritableStore", "environ"]

if __name__ == "__main__":
    with KeptStore(Path(sys.argv[1]), int(sys.argv[2])):
        print("ready", flush=True)
        time.sleep(3600)
