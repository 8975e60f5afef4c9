"""A table's metadata, and the snapshot in it that is asked for."""

import gzip
import json
import re
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shardline.errors import ShardlineFileNotFoundError, ShardlineImportError, ShardlineValueError
from shardline.options.near import near
from shardline.sources.iceberg.table_files import HINT, TableFiles
from shardline.sources.request import TableRequest

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

_FORMAT = 3
"""The newest version of the format that is read."""
_METADATA = re.compile(r"(?:v?(\d+)(?:-[^/]*)?)(?:\.gz)?\.metadata\.json(?:\.gz)?")
_NAMED = 3


def find_metadata(place: str, files: TableFiles) -> str:
    """The location of the newest metadata file under a table's directory; or the file that was given.

    It is the one that `version-hint.text` names, else that of the highest number.

    Raises:
        ShardlineFileNotFoundError: There is none.
    """
    if place.endswith((".metadata.json", ".metadata.json.gz")):
        return place
    folder = f"{place.rstrip('/')}/metadata"
    names = [name for name in files.names(folder) if _METADATA.fullmatch(name)]
    if not names:
        raise ShardlineFileNotFoundError(
            f"{place}: there is no Iceberg table here ({folder} has no *.metadata.json): give the table's directory, "
            "or its newest metadata file"
        )
    return f"{folder}/{_hinted(folder, names, files) or max(names, key=_number)}"


def _hinted(folder: str, names: list[str], files: TableFiles) -> str | None:
    if HINT not in files.names(folder):
        return None
    hint = files.read(f"{folder}/{HINT}").decode("utf-8", "replace").strip()
    wanted = {hint, f"v{hint}.metadata.json", f"{hint}.metadata.json", f"v{hint}.gz.metadata.json"}
    return next((name for name in names if name in wanted), None)


def _number(name: str) -> tuple[int, str]:
    match = _METADATA.fullmatch(name)
    assert match is not None
    return int(match[1]), name


def load_metadata(location: str, files: TableFiles) -> "TableMetadata":
    """What a metadata file says.

    Raises:
        ShardlineImportError: pyiceberg is not installed.
        ShardlineFileNotFoundError: There is no such file.
        ShardlineValueError: It is damaged, or of a format that is not known.
    """
    data = files.read(location)
    try:
        said = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        if not isinstance(said, dict):
            raise ValueError("it is no object")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ShardlineValueError(f"{location}: the metadata of the Iceberg table are damaged: {error}") from error
    return parse_metadata(said, location)


def parse_metadata(said: dict[str, Any], location: str) -> "TableMetadata":
    """Metadata as pyiceberg has them, after what shardline refuses by name."""
    check_pyiceberg()
    from pyiceberg.table.metadata import TableMetadataUtil

    version = said.get("format-version")
    if not isinstance(version, int) or not 1 <= version <= _FORMAT:
        raise ShardlineValueError(
            f"{location}: the Iceberg table is of format version {version!r}, and shardline reads 1 to {_FORMAT}"
        )
    if said.get("encryption-keys") or (said.get("properties") or {}).get("encryption.key-id"):
        raise ShardlineValueError(
            f"{location}: the Iceberg table is encrypted, which shardline does not read: write its rows into a table "
            "without encryption"
        )
    try:
        return TableMetadataUtil.parse_obj(said)
    except Exception as error:  # pydantic's, and pyiceberg's own of many kinds
        what = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ShardlineValueError(f"{location}: the metadata of the Iceberg table cannot be read: {what}") from error


def choose_snapshot(metadata: "TableMetadata", where: str, request: TableRequest) -> "Snapshot":
    """The snapshot that was asked for.

    Raises:
        ShardlineFileNotFoundError: The table has none at all.
        ShardlineValueError: It does not have that one.
    """
    if request.version is not None:
        return _by_id(metadata, where, request.version, f"snapshot={request.version}")
    if request.ref is not None:
        if (ref := metadata.refs.get(request.ref)) is None:
            known = ", ".join(sorted(metadata.refs)[:_NAMED]) or "none"
            hint = near(request.ref, metadata.refs, "{}")
            raise ShardlineValueError(
                f"{where}: the Iceberg table has no branch or tag {request.ref!r}{hint}; it has: {known}"
            )
        return _by_id(metadata, where, ref.snapshot_id, f"ref={request.ref!r}")
    if request.timestamp is not None:
        return _by_time(metadata, where, request.timestamp)
    if metadata.current_snapshot_id is None:
        raise ShardlineFileNotFoundError(f"{where}: the Iceberg table has no snapshot: nothing was written to it yet")
    return _by_id(metadata, where, metadata.current_snapshot_id, "its current snapshot")


def newer_snapshots(metadata: "TableMetadata", snapshot: "Snapshot") -> int:
    """How many snapshots the table got after this one, of any branch."""
    place = (snapshot.sequence_number or 0, snapshot.timestamp_ms)
    return sum((each.sequence_number or 0, each.timestamp_ms) > place for each in metadata.snapshots)


def is_tag(metadata: "TableMetadata", ref: str) -> bool:
    """Whether a ref is a tag."""
    found = metadata.refs.get(ref)
    return found is not None and str(found.snapshot_ref_type) == "tag"


def _by_id(metadata: "TableMetadata", where: str, number: int, asked: str) -> "Snapshot":
    found = metadata.snapshot_by_id(number)
    if found is not None:
        return found
    kept = sorted(metadata.snapshots, key=lambda each: each.timestamp_ms)
    are = (
        f"; of the {len(kept)} that it has, {_said(kept[0])} is the oldest and {_said(kept[-1])} the newest"
        if kept
        else ""
    )
    was = ", any more: it was expired" if any(one.snapshot_id == number for one in metadata.snapshot_log) else ""
    raise ShardlineValueError(f"{where}: the Iceberg table has no snapshot {number} ({asked}){was}{are}")


def _by_time(metadata: "TableMetadata", where: str, when: datetime) -> "Snapshot":
    at = when.timestamp() * 1000
    before = [entry for entry in metadata.snapshot_log if entry.timestamp_ms <= at]
    if before:
        return _by_id(metadata, where, before[-1].snapshot_id, f"as_of={when.isoformat()!r}")
    oldest = min(metadata.snapshot_log, key=lambda entry: entry.timestamp_ms, default=None)
    of = "it has none" if oldest is None else f"the oldest is {oldest.snapshot_id} of {_time(oldest.timestamp_ms)}"
    raise ShardlineValueError(
        f"{where}: no snapshot in the history of the Iceberg table is as old as as_of={when.isoformat()!r}; {of}"
    )


def _said(snapshot: "Snapshot") -> str:
    return f"{snapshot.snapshot_id} ({_time(snapshot.timestamp_ms)})"


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def check_pyiceberg() -> None:
    """pyiceberg must be there.

    Raises:
        ShardlineImportError: It is not.
    """
    try:
        import pyiceberg.table  # noqa: F401  (slow: only where it is needed)
    except ImportError as error:
        raise ShardlineImportError('Iceberg tables need pyiceberg: pip install "shardline[iceberg]"') from error


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
