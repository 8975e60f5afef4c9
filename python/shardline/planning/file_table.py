"""The file table, packed into a state of a few KiB.

>>> unpack(pack([("a.parquet", 10, "00ff00ff00ff00ff")]))
[('a.parquet', 10, '00ff00ff00ff00ff')]
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from shardline._core import Plan

MAX_PACKED_FILES = 10_000
"""A state names the files up to here; beyond, it holds the table's digest only."""
MAX_UNPACKED_BYTES = 64 * 2**20
"""A packed table that unpacks to more is not one of ours."""

FileRow = tuple[str, int, str]
"""A file's name relative to the root, its rows, and its footer's hash (16 hex digits)."""


def pack(files: Sequence[FileRow]) -> str:
    """A file table as text: columns of JSON, deflated, in base64."""
    columns = {
        "names": [name for name, _, _ in files],
        "rows": [rows for _, rows, _ in files],
        "hashes": "".join(digest for _, _, digest in files),
    }
    data = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def unpack(packed: str) -> list[FileRow]:
    """The inverse of `pack`; ValueError where `packed` is not its work."""
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED_BYTES)
        if not inflater.eof:
            raise ValueError("it does not end where it should")
        columns = json.loads(data.decode("utf-8", "surrogatepass"))
        names, rows, hashes = columns["names"], columns["rows"], columns["hashes"]
        if not (len(names) == len(rows) == len(hashes) / 16 and all(isinstance(name, str) for name in names)):
            raise ValueError("its columns differ in length")
        return [(name, int(rows[i]), hashes[16 * i : 16 * i + 16]) for i, name in enumerate(names)]
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise ValueError(f"the packed file table is damaged: {error}") from error


def files_entry(plan: Plan) -> dict[str, Any]:
    """What a state holds of its files: digest, counts, and, up to MAX_PACKED_FILES, the packed table."""
    packed = pack(plan.files()) if plan.num_files <= MAX_PACKED_FILES else None
    return {"digest": plan.digest, "count": plan.num_files, "rows": plan.num_rows, "packed": packed}
