"""What was asked of a table: its format, and which version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shardline.errors import ShardlineTypeError, ShardlineValueError

_NOT_OF_TABLES = {
    "partitioning": (None, "its partition columns are the table's"),
    "columns_from": ("first", "its columns are the table's"),
    "missing_columns": ("error", "a file that lacks a column has nulls in it, as the table says"),
    "widen_types": (False, "its types are the table's"),
}


@dataclass(frozen=True)
class TableRequest:
    """The version of a table: this one, that of a time, or the newest."""

    format: str
    version: int | None = None
    timestamp: datetime | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_newest(self) -> bool:
        """Whether no version was asked for."""
        return self.version is None and self.timestamp is None


def request_of(values: Mapping[str, Any]) -> TableRequest | None:
    """What checked arguments ask of a table; None where plain files are read.

    Raises:
        ShardlineValueError: An argument has no meaning for tables, or only for tables.
    """
    if values["format"] != "delta":
        for name in ("version", "timestamp"):
            if values[name] is not None:
                raise ShardlineValueError(f"{name}= is for tables: give format='delta' too, or leave it out")
        return None
    for name, (default, why) in _NOT_OF_TABLES.items():
        if values[name] != default:
            raise ShardlineValueError(f"{name}= has no meaning for a table ({why}): leave it out")
    if values["plan"] is not None and (values["version"] is not None or values["timestamp"] is not None):
        raise ShardlineValueError(
            "plan= is one version of a table: leave version= and timestamp= out, or give the path"
        )
    return TableRequest("delta", values["version"], values["timestamp"], dict(values["storage_options"] or {}))


def check_timestamp(name: str, value: Any) -> datetime:
    """A point in time, from a datetime with a time zone or from such a text in ISO 8601.

    >>> check_timestamp("timestamp", "2026-01-31T12:00:00Z").isoformat()
    '2026-01-31T12:00:00+00:00'
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ShardlineValueError(
                f"{name}={value!r} is no time in ISO 8601: give it as in '2026-01-31T12:00:00Z'"
            ) from None
    if not isinstance(value, datetime):
        raise ShardlineTypeError(f"{name} must be a datetime or text in ISO 8601, not {value!r}")
    if value.tzinfo is None:
        raise ShardlineValueError(f"{name}={value.isoformat()!r} has no time zone: add one, as Z or +02:00")
    return value
