"""`storage_options` of what a catalog says of a table's store."""

import time
from collections.abc import Mapping
from typing import Any

from shardline.errors import ShardlineValueError

_S3 = {
    "s3.endpoint": "endpoint_url",
    "s3.access-key-id": "key",
    "client.access-key-id": "key",
    "s3.secret-access-key": "secret",
    "client.secret-access-key": "secret",
    "s3.session-token": "token",
    "client.session-token": "token",
    "s3.region": "region",
    "client.region": "region",
    "s3.anonymous": "anon",
    "s3.proxy-uri": "proxy_url",
}
_GS = {"gcs.service.host": "endpoint_url"}
_AZURE = {
    "adls.account-name": "account_name",
    "adls.account-key": "account_key",
    "adls.tenant-id": "tenant_id",
    "adls.client-id": "client_id",
    "adls.client-secret": "client_secret",
    "adls.connection-string": "connection_string",
    "adls.anon": "anon",
}
_NAMES = {"s3": _S3, "gs": _GS, "az": _AZURE}
_UNREAD = {
    "s3.signer": "has its catalog sign each request",
    "s3.role-arn": "wants a role to be assumed",
    "client.role-arn": "wants a role to be assumed",
    "s3.profile-name": "wants a profile of ~/.aws",
    "client.profile-name": "wants a profile of ~/.aws",
}
_EXPIRY = ("s3.session-token-expires-at-ms", "gcs.oauth2.token-expires-at", "adls.sas-token-expires-at-ms")
_LIFE = 900
"""Seconds that vended credentials are used for where nothing is said: the shortest that stores give."""


def _kind(location: str) -> str:
    scheme = location.partition("://")[0] if "://" in location else ""
    return {"s3": "s3", "gs": "gs", "http": "", "https": "", "": ""}.get(scheme, "az")


def storage_options(location: str, properties: Mapping[str, Any], table: str) -> dict[str, Any]:
    """What of a table's properties says how its store is read, without what is vended for a time.

    Args:
        location: The table's, normalized.
        properties: Of pyiceberg's FileIO.
        table: Its name, for messages.

    Raises:
        ShardlineValueError: They want what shardline does not do.

    >>> storage_options("s3://b/t", {"s3.endpoint": "http://localhost:9000", "s3.region": "x", "uri": "…"}, "db.t")
    {'endpoint_url': 'http://localhost:9000', 'region': 'x'}
    """
    kind = _kind(location)
    if kind == "s3":
        for name, what in _UNREAD.items():
            if properties.get(name):
                raise ShardlineValueError(
                    f"the store of the Iceberg table {table} {what} ({name}), which shardline does not do: give keys "
                    "by storage_options=, or a function that returns them (credential_provider)"
                )
    vended = is_vended(location, properties)
    found: dict[str, Any] = {}
    for name, ours in _NAMES.get(kind, {}).items():
        value = properties.get(name)
        if value in (None, "") or (vended and ours in ("key", "secret", "token")):
            continue
        found.setdefault(ours, str(value).lower() == "true" if ours == "anon" else value)
    if kind == "az" and (token := _sas(properties)) is not None:
        found["sas_token"] = token
    return found


def is_vended(location: str, properties: Mapping[str, Any]) -> bool:
    """Whether the credentials among the properties are of those that expire."""
    kind = _kind(location)
    if kind == "s3":
        return bool(properties.get("s3.session-token") or properties.get("client.session-token"))
    return (kind == "gs" and bool(properties.get("gcs.oauth2.token"))) or (
        kind == "az" and bool(properties.get("adls.token"))
    )


def vended_keys(location: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Credentials as a `credential_provider` returns them.

    >>> keys = vended_keys("gs://b/t", {"gcs.oauth2.token": "T", "gcs.oauth2.token-expires-at": "1000"})
    >>> keys
    {'bearer_token': 'T', 'expires_at': 1.0}
    """
    kind = _kind(location)
    said = next((properties[name] for name in _EXPIRY if properties.get(name)), None)
    expires = time.time() + _LIFE if said is None else int(said) / 1000
    if kind != "s3":
        return {
            "bearer_token": properties.get("gcs.oauth2.token" if kind == "gs" else "adls.token"),
            "expires_at": expires,
        }

    def of(name: str) -> Any:
        return properties.get(f"s3.{name}") or properties.get(f"client.{name}")

    return {
        "access_key_id": of("access-key-id"),
        "secret_access_key": of("secret-access-key"),
        "session_token": of("session-token"),
        "expires_at": expires,
    }


def _sas(properties: Mapping[str, Any]) -> Any:
    """A shared access signature: of the account, or of one that is named."""
    for name, value in properties.items():
        if (name == "adls.sas-token" or name.startswith("adls.sas-token.")) and value:
            return value
    return None
