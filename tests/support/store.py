"""A store that fails when it is told to: an S3 server (and plain HTTP with ranges) in threads of this process.

It lists as Azure's does too, for who asks it that way: a stand-in, since no server of Azure's can be had.

`Store(folder)` serves the files of a folder as the bucket `bucket`. `store.faults` is asked before every request; what
it returns is done to that request.
"""

import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
AZURE = "devstoreaccount1/"
"""What a path of Azure's emulator begins with."""


def open_store(store: "Store", path: Any = None, **arguments: Any) -> Any:
    """A dataset of what the store serves, or of one path in it."""
    import shardline

    arguments = {"batch_size": 7, "storage_options": store.options, **arguments}
    return shardline.StructuredDataset(store.url if path is None else path, **arguments)


@dataclass(frozen=True)
class Request:
    """`number`: counted from 0. `range`: of the bytes asked for, or None. `key`: "" for a listing."""

    number: int
    method: str
    key: str
    range: tuple[int, int] | None


@dataclass(frozen=True)
class Fault:
    """What is done to a request: `kind` is a status code, or one of reset, stall, cut, short, drip, flip.

    reset: no answer, the connection breaks. stall: headers never come. cut: half of the body, then it breaks.
    short: half of the body, then an orderly end. drip: half of the body, then nothing. flip: one byte is another.
    """

    kind: int | str
    retry_after: float | None = None


Faults = Callable[[Request], Fault | None]


@lru_cache(32)
def etag(data: bytes) -> str:
    return '"' + hashlib.md5(data).hexdigest() + '"'


class Store:
    """The server. A context manager; `stall` is how long it holds a stalled connection."""

    handler: "type[BaseHTTPRequestHandler]"

    def __init__(
        self,
        folder: Path | None = None,
        *,
        page: int = 1000,
        stall: float = 30,
        latency: float = 0,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: Faults = lambda request: None
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        """With the queries."""
        self.page = page
        self.stall = stall
        self.latency = latency
        self.no_ranges = False
        self.tagged = {"listing", "answers"}
        """What has ETags."""
        self.dated = True
        """Whether anything says when an object was written: at the beginning of 2024, and so many seconds after it."""
        self.seconds: dict[str, int] = {}
        self.words = "Test"
        self.together, self.alone = 0, 0
        self._waiting: list[threading.Event] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        if folder is not None:
            self.put_folder(folder)
        self._server = _Server(("127.0.0.1", port), self.handler)
        self._server.store = self
        self.connections = 0
        self._host = "http://127.0.0.1"
        if tls is not None:
            self._host = "https://localhost"
            # The handshake is for the thread of the connection: this one goes on to accept others.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def put_folder(self, folder: Path, prefix: str = "data") -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.objects[f"{prefix}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()

    @property
    def endpoint(self) -> str:
        return f"{self._host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/data"

    @property
    def http_urls(self) -> list[str]:
        return [f"{self.endpoint}/{BUCKET}/{quote(key)}" for key in self.objects]

    @property
    def options(self) -> dict[str, Any]:
        """For tests: short pauses, and keys that are nobody's."""
        return {
            "endpoint_url": self.endpoint,
            "key": "AKIDTEST",
            "secret": "secret-of-the-tests",
            "timeout": 1.0,
            "retry": {"init_backoff": 0.001, "max_backoff": 0.02, "max_retries": 10},
        }

    def time(self, key: str) -> datetime:
        """When an object was written."""
        return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds.get(key, 0))

    def count(self, method: str | None = None) -> int:
        return sum(method is None or request.method == method for request in self.requests)

    def log(self, method: str, key: str, span: tuple[int, int] | None, handler: BaseHTTPRequestHandler) -> Request:
        with self._lock:
            request = Request(len(self.requests), method, key, span)
            self.requests.append(request)
            self.headers.append(dict(handler.headers))
            self.paths.append(handler.path)
            return request

    def meet(self) -> None:
        """Waits until `together` requests are under way; `alone` counts those that waited in vain."""
        with self._lock:
            self._waiting.append(met := threading.Event())
            if len(self._waiting) == self.together:
                for one in self._waiting:
                    one.set()
                self._waiting.clear()
        if not met.wait(2):
            with self._lock:
                if not met.is_set():
                    self._waiting.remove(met)
                    self.alone += 1

    def hold(self) -> None:
        self._stop.wait(self.stall)

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    store: Store

    def process_request(self, request: Any, client_address: Any) -> None:
        self.store.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_PROPFIND(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.send(405, b"")

    def answer(self) -> None:
        store = self.server.store
        if store.latency:
            time.sleep(store.latency)
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).lstrip("/").removeprefix(AZURE).partition("/")
        span = None
        if (self.headers.get("Range") or "").startswith("bytes=") and not store.no_ranges:
            first, _, last = self.headers["Range"][6:].partition("-")
            span = (int(first), int(last) + 1)
        request = store.log(self.command, key, span, self)
        if key and store.together:
            store.meet()
        fault = store.faults(request)
        if fault is not None and isinstance(fault.kind, int):
            extra = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            body = f"<Error><Code>{store.words}</Code><Message>{escape(self.path)}</Message></Error>".encode()
            return self.send(fault.kind, b"" if self.command == "HEAD" else body, extra)
        if fault is not None and fault.kind == "reset":
            return self.reset()
        if fault is not None and fault.kind == "stall":
            store.hold()
            return self.reset()
        if not key and (query := parse_qs(parts.query)):
            return self.send(200, self.blobs(query) if "comp" in query else self.listing(query))
        data = store.objects.get(key)
        if data is None:
            return self.send(404, b"<Error><Code>NoSuchKey</Code></Error>" if self.command == "GET" else b"")
        headers = {"Accept-Ranges": "bytes"}
        if "answers" in store.tagged:
            headers["ETag"] = etag(data)
        if store.dated:
            headers["Last-Modified"] = format_datetime(store.time(key), usegmt=True)
        status, body = 200, data
        if span is not None:
            if span[0] >= len(data):
                return self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            body = data[span[0] : span[1]]
            headers["Content-Range"] = f"bytes {span[0]}-{span[0] + len(body) - 1}/{len(data)}"
            status = 206
        return self.send(status, body, headers, fault)

    def send(self, status: int, body: bytes, extra: dict[str, str] | None = None, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        kind = None if fault is None else fault.kind
        if kind == "flip" and body:
            at = len(body) // 2
            body = body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]
        if kind in ("cut", "short", "drip"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "cut":
                self.reset()
            elif kind == "drip":
                self.server.store.hold()
            self.close_connection = True
        else:
            self.wfile.write(body)

    def reset(self) -> None:
        """Ends the connection at once, without a farewell."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def page(self, prefix: str, delimiter: str, after: str) -> tuple[list[str], list[str], str]:
        """The keys and prefixes after one, and where the next page begins, if there is one."""
        store = self.server.store
        keys: list[str] = []
        prefixes: list[str] = []
        last = ""
        for key in sorted(store.objects):
            if not key.startswith(prefix) or key <= after or (after.endswith("/") and key.startswith(after)):
                continue
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at >= 0 and prefixes and prefixes[-1] == key[: at + 1]:
                continue
            if len(keys) + len(prefixes) >= store.page:
                return keys, prefixes, last
            last = key if at < 0 else key[: at + 1]
            (keys if at < 0 else prefixes).append(last)
        return keys, prefixes, ""

    def listing(self, query: dict[str, list[str]]) -> bytes:
        """As S3 lists."""
        given = {name: values[0] for name, values in query.items()}
        after = max(given.get("start-after", ""), given.get("continuation-token", ""))
        keys, prefixes, more = self.page(given.get("prefix", ""), given.get("delimiter", ""), after)
        store, objects = self.server.store, self.server.store.objects
        found = ""
        for key in keys:
            tag = f"<ETag>{escape(etag(objects[key]))}</ETag>" if "listing" in store.tagged else ""
            when = f"<LastModified>{store.time(key):%Y-%m-%dT%H:%M:%S}.750Z</LastModified>"
            found += f"<Contents><Key>{escape(key)}</Key>{when}{tag}<Size>{len(objects[key])}</Size></Contents>"
        found += "".join(f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>" for key in prefixes)
        # Some servers send an empty one at the end.
        token = f"<NextContinuationToken>{escape(more)}</NextContinuationToken>"
        return (
            f'<?xml version="1.0"?><ListBucketResult><Name>{BUCKET}</Name><KeyCount>{len(keys)}</KeyCount>'
            f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{token}{found}</ListBucketResult>"
        ).encode()

    def blobs(self, query: dict[str, list[str]]) -> bytes:
        """As Azure lists."""
        given = {name: values[0] for name, values in query.items()}
        keys, prefixes, more = self.page(given.get("prefix", ""), given.get("delimiter", ""), given.get("marker", ""))
        objects = self.server.store.objects
        found = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified>"
            f"<Etag>{escape(etag(objects[key]))}</Etag><Content-Length>{len(objects[key])}</Content-Length>"
            f"<Content-Type>application/parquet</Content-Type></Properties></Blob>"
            for key in keys
        )
        found += "".join(f"<BlobPrefix><Name>{escape(key)}</Name></BlobPrefix>" for key in prefixes)
        return (
            f'<?xml version="1.0"?><EnumerationResults><Blobs>{found}</Blobs>'
            f"<NextMarker>{escape(more)}</NextMarker></EnumerationResults>"
        ).encode()


Store.handler = Handler
