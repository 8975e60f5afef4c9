"""What was asked of a table: its format, and which version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shardline.errors import ShardlineTypeError, ShardlineValueError

_NOT_OF_TABLES = {
    "partitioning": (None, "its partition columns are the table's"),
    "columns_from": ("first", "its columns are the table's"),
    "missing_columns": ("error", "a file that lacks a column has nulls in it, as the table says"),
    "widen_types": (False, "its types are the table's"),
}


_ARGUMENTS = {"delta": ("version", "timestamp"), "iceberg": ("snapshot", "ref", "as_of")}
"""The arguments that name a version of a table, by its format."""
OF_VERSIONS = tuple(name for names in _ARGUMENTS.values() for name in names)
"""All of them."""


class CatalogTable(Protocol):
    """A table by its name in a catalog."""

    def metadata(self) -> Any:
        """The table's metadata as of now, as pyiceberg has them."""


@dataclass(frozen=True)
class TableRequest:
    """The version of a table: this one, that of a time, that of a branch or tag, or the newest."""

    format: str
    version: int | None = None
    """Delta's version, or Iceberg's snapshot."""
    timestamp: datetime | None = None
    ref: str | None = None
    """A branch or tag of an Iceberg table."""
    reading: str | None = None
    """What changes which rows are read, as a state holds it."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    catalog: CatalogTable | None = field(default=None, repr=False, compare=False)

    @property
    def is_newest(self) -> bool:
        """Whether no version was asked for."""
        return self.version is None and self.timestamp is None and self.ref is None


def request_of(values: Mapping[str, Any]) -> TableRequest | None:
    """What checked arguments ask of a table; None where plain files are read.

    Raises:
        ShardlineValueError: An argument has no meaning for tables, or only for tables of another format.
    """
    chosen = values["format"]
    for kind, names in _ARGUMENTS.items():
        for name in names if kind != chosen else ():
            if values[name] is not None:
                raise ShardlineValueError(f"{name}= is for tables: give format={kind!r} too, or leave it out")
    if chosen not in _ARGUMENTS:
        return None
    for name, (default, why) in _NOT_OF_TABLES.items():
        if values[name] != default:
            raise ShardlineValueError(f"{name}= has no meaning for a table ({why}): leave it out")
    asked = {name: values[name] for name in _ARGUMENTS[chosen] if values[name] is not None}
    if values["plan"] is not None and asked:
        raise ShardlineValueError(
            f"plan= is one version of a table: leave {', '.join(f'{name}=' for name in asked)} out, or give the path"
        )
    return TableRequest(
        chosen,
        version=asked.get("version", asked.get("snapshot")),
        timestamp=asked.get("timestamp", asked.get("as_of")),
        ref=asked.get("ref"),
        reading=values.get("reading"),
        storage_options=dict(values["storage_options"] or {}),
        catalog=values.get("catalog"),
    )


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
