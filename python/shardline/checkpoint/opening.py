"""The directory of a run, from what a caller calls it: a path, or the URL of a store."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from shardline.checkpoint.backend import Backend
from shardline.checkpoint.disk_backend import DiskBackend
from shardline.checkpoint.manifest import NAME
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.storage import check_storage, is_remote

_HOST = 3  # parts of a URL that are its scheme and its bucket


def open_directory(directory: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Backend:
    """ShardlineTypeError or ShardlineValueError where it is neither a path nor the URL of a store."""
    if not isinstance(directory, str | os.PathLike):
        raise ShardlineTypeError(f"directory must be a path or the URL of a store, not {directory!r}")
    text = os.fspath(directory)
    if is_remote(text):
        from shardline.checkpoint.store_backend import StoreBackend

        storage = check_storage(options, [text], None)
        assert storage is not None
        return StoreBackend(text, storage)
    check_storage(options, [text], None)
    if text.startswith("file://"):
        return DiskBackend(Path(unquote(urlsplit(text).path)))
    scheme, found, _ = text.partition("://")
    if found and scheme.isalnum():
        raise ShardlineValueError(
            f"directory: {scheme}:// is no store that checkpoints are saved to; give a path, or s3://, gs://, az://, https://"
        )
    return DiskBackend(Path(text).absolute())  # the same, wherever the process goes


def elsewhere(place: str | os.PathLike[str], here: Backend) -> tuple[Backend, str | None]:
    """(the directory of a checkpoint anywhere, its folder), or (a directory, None)."""
    if not is_remote(text := os.fspath(place)):
        path = Path(text).absolute()
        return (DiskBackend(path.parent), path.name) if (path / NAME).exists() else (DiskBackend(path), None)
    above, _, name = text.rstrip("/").rpartition("/")
    if len(above.split("/")) >= _HOST:
        directory = directory_of(above, here)
        if directory.exists(name):
            return directory, name
    return directory_of(text, here), None


def directory_of(text: str, here: Backend) -> Backend:
    """Another directory; in the same bucket, with the same options."""
    same = is_remote(text) and text.split("/")[:_HOST] == str(here).split("/")[:_HOST]
    return here.beside(text) if same else open_directory(text)
