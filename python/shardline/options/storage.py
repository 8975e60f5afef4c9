"""`storage_options`: what a caller says of a store, flattened for the core, which knows the names."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from shardline._core import Plan, Storage
from shardline.errors import ShardlineTypeError, ShardlineValueError

SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "azure", "adl", "abfs", "abfss", "http", "https")
"""Of the URLs that name a store."""
_NESTED = ("retry", "client_kwargs", "headers")
_PROVIDER = "credential_provider"
_CACHE = "cache_dir"
_MAX_PATH = 4096
_FSSPEC_ONLY = frozenset(
    (
        *("skip_instance_cache", "use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop"),
        *("default_block_size", "default_cache_type", "default_fill_cache", "cache_regions", "version_aware"),
    )
)
_CREDENTIAL_FILES = frozenset(
    (
        *("service_account", "service_account_path", "application_credentials", "token"),
        *("web_identity_token_file", "federated_token_file", "container_authorization_token_file"),
    )
)


def is_remote(path: str) -> bool:
    """Whether a path or a plan's root is in a store.

    >>> is_remote("s3://bucket/prefix"), is_remote("/data"), is_remote("file:///data")
    (True, False, False)
    """
    scheme, found, _ = path.partition("://")
    return bool(found) and scheme.lower() in SCHEMES


def check_storage(options: Any, paths: Sequence[str] | None, plan: Plan | None) -> Storage | None:
    """How the store of these paths, or of this plan, is read; None for local files.

    ShardlineValueError for a name that is not known there, or a value that cannot be one.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ShardlineTypeError(f"storage_options must be a dict, not a {type(options).__name__}")
    places = paths if paths is not None else [plan.root] if plan is not None else []
    remote = next((place for place in places if is_remote(place)), None)
    if remote is None:
        if options:
            raise ShardlineValueError(
                f"storage_options are for stores (s3://, gs://, az://, https://), and {', '.join(places[:2])} is local"
            )
        return None
    url = remote if paths is not None else _bucket(remote)
    pairs, provider = _flatten(options or {})
    return Storage(url, pairs, provider)


def _bucket(root: str) -> str:
    match = re.match(r"[A-Za-z0-9]+://[^/]*", root)
    return match[0] if match else root


def _flatten(options: Mapping[Any, Any]) -> tuple[list[tuple[str, str]], "_Provider | None"]:
    pairs: list[tuple[str, str]] = []
    provider = None
    for name, value in options.items():
        if not isinstance(name, str):
            raise ShardlineTypeError(f"storage_options has a name that is no text: {name!r}")
        if name in _FSSPEC_ONLY:
            raise ShardlineValueError(
                f"storage_options: {name} is an option of fsspec's own caches, which are not used here: leave it out"
            )
        if name == _PROVIDER:
            if value is not None and not callable(value):
                raise ShardlineTypeError(f"storage_options: {_PROVIDER} must be a function without arguments")
            provider = None if value is None else _Provider(value)
        elif name == "config_kwargs":
            pairs.append((name, ""))  # the core says what replaces it
        elif name in _NESTED:
            if not isinstance(value, Mapping):
                raise ShardlineTypeError(f"storage_options: {name} must be a dict, not a {type(value).__name__}")
            inner = dict(value)
            if name == "client_kwargs" and isinstance(inner.get("headers"), Mapping):
                headers = inner.pop("headers")
                pairs += [(f"headers.{key}", _text(key, each)) for key, each in headers.items()]
            pairs += [(f"{name}.{key}", _text(f"{name}[{key!r}]", each)) for key, each in inner.items()]
        elif value is not None:
            pairs.append((name, _place(name, value) or _text(name, value)))
    return pairs, provider


def _place(name: str, value: Any) -> str | None:
    """A local path as the absolute one that it is now, for it is used later too; None if the option is no path.

    An option that may be the name of a file of credentials is one if there is such a file.
    """
    if not isinstance(value, (str, os.PathLike)):
        return None
    text = os.fspath(value)
    if not isinstance(text, str):
        return None
    if name == _CACHE:
        return str(Path(text).expanduser().absolute())
    bare = name.lower()
    for prefix in ("aws_", "google_", "azure_"):
        bare = bare.removeprefix(prefix)
    is_file = bare in _CREDENTIAL_FILES and len(text) < _MAX_PATH and "\0" not in text and Path(text).is_file()
    return str(Path(text).absolute()) if is_file else None


def _text(name: str, value: Any) -> str:
    """A value as text; an error never shows it, for it may be a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ShardlineTypeError(f"storage_options: {name} must be text, a number or a bool, not a {type(value).__name__}")


class _Provider:
    """What the caller's function returns, as text by name."""

    def __init__(self, function: Callable[[], Mapping[str, Any]]) -> None:
        self.function = function

    def __call__(self) -> dict[str, str]:
        keys = {}
        for name, value in self.function().items():
            if isinstance(value, datetime):
                keys[name] = str(value.timestamp())
            elif value is not None:
                keys[name] = str(value)
        return keys
