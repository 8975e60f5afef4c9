"""`storage_options` as deltalake takes them, which knows object_store's names, not fsspec's."""

from collections.abc import Mapping
from typing import Any

from shardline.errors import ShardlineValueError

_OURS = frozenset(
    ("retry", "max_requests", "gap_bytes", "request_bytes", "slow_request", "cache_dir", "cache_bytes", "config_kwargs")
)
"""How shardline reads data, of which a log knows nothing."""
_NAMES = {
    "s3": {"key": "access_key_id", "secret": "secret_access_key", "token": "session_token", "endpoint_url": "endpoint"},
    "az": {"endpoint_url": "endpoint"},
    "gs": {"endpoint_url": "base_url"},
}
_PREFIX = {"s3": "aws_", "az": "azure_", "gs": "google_"}
_KINDS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


def deltalake_options(root: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The options of a store for the reading of a table's log.

    Raises:
        ShardlineValueError: Credentials by a function, which deltalake cannot ask.

    >>> deltalake_options("s3://b/t", {"key": "AK", "timeout": 2.0, "retry": {"max_retries": 3}})
    {'aws_access_key_id': 'AK', 'timeout': '2.0s'}
    """
    if options.get("credential_provider") is not None:
        raise ShardlineValueError(
            "storage_options: a credential_provider cannot be asked for the log of a Delta table: give the keys, or "
            "leave them to the environment"
        )
    kind = _KINDS.get(root.partition("://")[0].lower(), "az")
    found: dict[str, str] = {}
    for name, value in options.items():
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
    endpoint = next((found[name] for name in ("aws_endpoint", "azure_endpoint") if name in found), "")
    if endpoint.startswith("http://"):
        found.setdefault("allow_http", "true")
    return found
