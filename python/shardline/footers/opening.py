"""Files by their names in a plan, opened by pyarrow: on disk, or in a store with the same options."""

import os
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from shardline._core import Storage
from shardline.errors import ShardlineOSError, ShardlineValueError
from shardline.options.storage import is_remote
from shardline.ranged_file import RangedFile

_SECONDS = 30
"""To wait for a web server."""

Open = Callable[[str], Any]
"""Opens a file by its name relative to the root."""


def opener(root: str, storage: Storage | None) -> Open:
    """What opens the files under a plan's root.

    Raises:
        ShardlineValueError: pyarrow cannot read this kind of store.
    """
    if not is_remote(root):
        folder = Path(root.removeprefix("file://"))
        return lambda name: pa.OSFile(str(folder / name))
    scheme, _, below = root.partition("://")
    options = _options(storage)
    if scheme.lower() in ("http", "https"):
        headers = {
            name.removeprefix("headers."): value for name, value in options.items() if name.startswith("headers.")
        }
        return lambda name: pa.PythonFile(_WebFile(f"{root.rstrip('/')}/{quote(name)}", headers), "r")
    files = _filesystem(scheme.lower(), root, options)

    def open_remote(name: str) -> Any:
        try:
            return files.open_input_file(f"{below.rstrip('/')}/{name}")
        except OSError as error:
            raise ShardlineOSError(f"{root}/{name}: {error}") from error

    return open_remote


def _options(storage: Storage | None) -> Mapping[str, str]:
    """The store's options by object_store's short names, credentials of a function included."""
    if storage is None:
        return {}
    _, pairs, keys = storage.__reduce__()[1]
    found = {**dict(pairs), **({} if keys is None else keys())}
    short: dict[str, str] = {}
    for name, value in found.items():
        bare = name.lower().removeprefix("client_kwargs.")
        for prefix in ("aws_", "google_", "azure_storage_", "azure_"):
            bare = bare.removeprefix(prefix)
        short[bare] = value
    return short


def _filesystem(scheme: str, root: str, options: Mapping[str, str]) -> Any:
    from pyarrow import fs

    def option(*names: str) -> str | None:
        return next((options[name] for name in names if name in options), None)

    endpoint = option("endpoint", "endpoint_url")
    anonymous = option("skip_signature", "anon", "anonymous", "no_sign_request") == "true"
    if scheme in ("s3", "s3a"):
        endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        keys = {
            "access_key": option("access_key_id", "key"),
            "secret_key": option("secret_access_key", "secret"),
            "session_token": option("session_token", "token"),
            "region": option("region", "default_region", "region_name") or os.environ.get("AWS_REGION"),
            "endpoint_override": endpoint,
        }
        return fs.S3FileSystem(anonymous=anonymous, **{name: value for name, value in keys.items() if value})
    if scheme in ("gs", "gcs"):
        place = (
            {"endpoint_override": endpoint.partition("://")[2], "scheme": endpoint.partition("://")[0]}
            if endpoint
            else {}
        )
        return fs.GcsFileSystem(anonymous=anonymous, **place)
    raise ShardlineValueError(
        f"{root}: what footers say in detail is read by pyarrow, from local files, s3://, gs:// and https:// only. "
        "Copy a few of the files to a disk and look at these"
    )


class _WebFile(RangedFile):
    """A file on a web server."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = url, dict(headers)
        with self._ask({}, "HEAD") as answer:
            super().__init__(int(answer.headers["Content-Length"]))

    def _ask(self, headers: Mapping[str, str], method: str = "GET") -> Any:
        request = urllib.request.Request(self._url, headers={**self._headers, **headers}, method=method)
        return urllib.request.urlopen(request, timeout=_SECONDS)

    def fetch(self, start: int, end: int) -> bytes:
        with self._ask({"Range": f"bytes={start}-{end - 1}"}) as answer:
            data: bytes = answer.read()
        if answer.status != 206 or len(data) != end - start:
            raise ShardlineOSError(f"{self._url}: the server does not answer with the range that was asked for")
        return data
