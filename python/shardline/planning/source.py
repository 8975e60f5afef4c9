"""What the files of a plan are a version of: `source`, an entry of a state's rows."""

import json
from typing import Any

from shardline._core import Plan

Source = dict[str, Any]
"""kind, table, version, schema and reading, as the table says them; deleted (rows) and deletes (their digest).

Never where the table is, nor how one gets at it.
"""

KEYS: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "table": (str, type(None)),
    "version": (int, type(None)),
    "schema": (str, type(None)),
    "reading": (str, type(None)),
    "deleted": (int,),
    "deletes": (str, type(None)),
}
"""What each of a source's entries may be."""


def source_of(plan: Plan) -> Source | None:
    """The entry of a plan; None for plain files, none of whose rows were deleted."""
    if plan.source is None and plan.deleted is None:
        return None
    said = json.loads(plan.source) if plan.source is not None else {"kind": "files"}
    deleted, digest = plan.deleted or (0, None)
    return {**dict.fromkeys(KEYS), **said, "deleted": deleted, "deletes": digest}


def describe_source(source: Source) -> str:
    """A source for a person.

    >>> describe_source({"kind": "delta", "table": "9c12", "version": 3, "deleted": 1204})
    'Delta table 9c12, version 3, 1,204 rows deleted'
    """
    what = "files" if source["kind"] == "files" else f"{source['kind'].capitalize()} table {source['table']}"
    word = "snapshot" if source["kind"] == "iceberg" else "version"
    version = "" if source.get("version") is None else f", {word} {source['version']}"
    deleted = source["deleted"]
    return f"{what}{version}, {f'{deleted:,}' if deleted else 'no'} row{'s' * (deleted != 1)} deleted"
