"""The file table, packed into a state of a few KiB.

>>> unpack(pack([("a.parquet", 10, "00ff00ff00ff00ff")]))
[('a.parquet', 10, '00ff00ff00ff00ff')]
"""

import base64
import json
import zlib
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from shardline._core import Plan

MAX_PACKED_FILES = 10_000
"""A state names the files up to here; beyond, it holds the table's digest only."""
MAX_UNPACKED_BYTES = 64 * 2**20
"""A packed table that unpacks to more is not one of ours."""

MAX_PACKED_GROUPS = 4_096
"""A state holds the row groups up to here, so that a run continues without a file that is gone."""

FileRow = tuple[str, int, str]
"""A file's name relative to the root, its rows, and its footer's hash (16 hex digits)."""


class RowGroups(NamedTuple):
    """The row groups of a file, a value each."""

    rows: list[int]
    bytes: list[int]
    """Uncompressed, all columns."""
    passing: list[int]
    """The rows that pass the filter and the sample."""


def pack(files: Sequence[FileRow], groups: Sequence[RowGroups] = ()) -> str:
    """A file table as text: columns of JSON, deflated, in base64. `groups`: of every file, or nothing."""
    columns: dict[str, Any] = {
        "names": [name for name, _, _ in files],
        "rows": [rows for _, rows, _ in files],
        "hashes": "".join(digest for _, _, digest in files),
    }
    if groups:
        columns["groups"] = groups
    data = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpack(packed: str) -> list[FileRow]:
    """The files of `pack`; ValueError where `packed` is not its work."""
    return unpack_with_groups(packed)[0]


def unpack_with_groups(packed: str) -> tuple[list[FileRow], dict[str, RowGroups]]:
    """The files of `pack`, and their row groups by name: none where they were too many. Raises as `unpack`."""
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED_BYTES)
        if not inflater.eof:
            raise ValueError("it does not end where it should")
        columns = json.loads(data.decode("utf-8", "surrogatepass"))
        names, rows, hashes = columns["names"], columns["rows"], columns["hashes"]
        if not (len(names) == len(rows) == len(hashes) / 16 and all(isinstance(name, str) for name in names)):
            raise ValueError("its columns differ in length")
        files = [(name, int(rows[i]), hashes[16 * i : 16 * i + 16]) for i, name in enumerate(names)]
        groups = [RowGroups(*(list(map(int, part)) for part in of)) for of in columns.get("groups", ())]
        if groups and [sum(of.rows) for of in groups] != [count for _, count, _ in files]:
            raise ValueError("its row groups are not those of its files")
        return files, dict(zip(names, groups, strict=bool(groups)))
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise ValueError(f"the packed file table is damaged: {error}") from error


def files_entry(plan: Plan) -> dict[str, Any]:
    """What a state holds of its files: digest, counts, and, up to MAX_PACKED_FILES, the packed table."""
    groups = _row_groups(plan) if plan.num_row_groups <= MAX_PACKED_GROUPS else ()
    packed = pack(plan.files(), groups) if plan.num_files <= MAX_PACKED_FILES else None
    return {"digest": plan.digest, "count": plan.num_files, "rows": plan.num_rows, "packed": packed}


def _row_groups(plan: Plan) -> list[RowGroups]:
    columns = [iter(column) for column in (plan.group_rows, plan.group_bytes, plan.passing_rows)]
    return [RowGroups(*(list(islice(column, count)) for column in columns)) for count in plan.group_counts]
