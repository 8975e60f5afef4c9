"""A REST catalog of Iceberg in a thread of this process: one table, as the protocol has it."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RestCatalog:
    """The server. A context manager; `answer` is asked for the status and body of each load of a table."""

    def __init__(self, answer: Callable[[], tuple[int, dict[str, Any]]], *, holds: bool = False) -> None:
        self.answer = answer
        self.holds = holds
        self.loads = 0
        self._stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.catalog = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def config(self) -> dict[str, Any]:
        return {"type": "rest", "uri": f"http://127.0.0.1:{self._server.server_address[1]}"}

    def hold(self) -> None:
        """Waits until the server is closed, if it holds answers back."""
        if self.holds:
            self._stop.wait(60)

    def __enter__(self) -> "RestCatalog":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        catalog = self.server.catalog
        if self.path.startswith("/v1/config"):
            status, body = 200, {"defaults": {}, "overrides": {}}
        else:
            catalog.loads += 1
            catalog.hold()
            status, body = catalog.answer()
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
