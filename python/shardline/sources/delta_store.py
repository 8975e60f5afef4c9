"""`storage_options` as deltalake takes them, which knows object_store's names, not fsspec's."""

import os
from collections.abc import Mapping
from typing import Any

from shardline.errors import ShardlineValueError

_OURS = frozenset(
    ("retry", "max_requests", "gap_bytes", "request_bytes", "slow_request", "cache_dir", "cache_bytes", "config_kwargs")
)
"""How shardline reads data, of which a log knows nothing."""
_PROVIDER = "credential_provider"
_NAMES = {
    "s3": {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token", "endpoint_url": "endpoint"},
    "az": {"endpoint_url": "endpoint"},
    "gs": {"endpoint_url": "base_url"},
}
_PREFIX = {"s3": "aws_", "az": "azure_", "gs": "google_"}
_KINDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}
"""The environment variables that name an endpoint."""


def deltalake_options(root: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The options of a store for the reading of a table's log. A credential_provider is asked once.

    Raises:
        ShardlineValueError: A web server, of which deltalake cannot read a log.

    >>> deltalake_options("s3://b/t", {"key": "AK", "timeout": 2.0, "retry": {"max_retries": 3}})
    {'aws_access_key_id': 'AK', 'timeout': '2.0s'}
    """
    scheme = root.partition("://")[0].lower()
    if scheme in ("http", "https"):
        raise ShardlineValueError(
            f"{root}: a Delta table's log has to be listed, and a web server lists nothing: read it from s3://, gs://, "
            "az:// or a local directory"
        )
    kind = _KINDS.get(scheme, "az")
    given = {name: value for name, value in options.items() if name != _PROVIDER}
    if (provider := options.get(_PROVIDER)) is not None:
        given |= {name: value for name, value in provider().items() if name != "expires_at"}
    found: dict[str, str] = {}
    for name, value in given.items():
        if value is None or name in _OURS or isinstance(value, Mapping):
            continue
        if name == "anon":
            found[f"{_PREFIX[kind]}skip_signature"] = str(value).lower()
        elif name in ("timeout", "connect_timeout"):
            found[name] = f"{value}s" if isinstance(value, (int, float)) else str(value)
        else:
            known = _NAMES[kind].get(name, name)
            bare = known.removeprefix(_PREFIX[kind])
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[bare if bare.startswith(("allow_", "proxy_", "user_agent")) else f"{_PREFIX[kind]}{bare}"] = text
    named = [found.get(f"{_PREFIX[kind]}{name}") for name in ("endpoint", "base_url")]
    endpoint = next((each for each in [*named, *map(os.environ.get, _ENDPOINTS[kind])] if each), "")
    if endpoint.strip().lower().startswith("http://"):
        found.setdefault("allow_http", "true")
    return found
