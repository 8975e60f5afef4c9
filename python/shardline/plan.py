"""The file table: saved beside a run by `save_plan`, or packed into a state of a few KiB.

>>> unpack(pack([("a.parquet", 10, "00ff00ff00ff00ff")]))
[('a.parquet', 10, '00ff00ff00ff00ff')]
"""

import base64
import json
import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shardline._core import Plan
from shardline.errors import ShardlineFileNotFoundError

MAX_PACKED_FILES = 10_000
"""A state names the files up to here; beyond, it holds the table's digest only."""
MAX_UNPACKED_BYTES = 64 * 2**20
"""A packed table that unpacks to more is not one of ours."""

FileRow = tuple[str, int, str]
"""A file's name relative to the root, its rows, and its footer's hash (16 hex digits)."""


def save_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Writes the plan to `path`: whole or not at all (a temporary name, fsync, rename)."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(plan.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    try:  # the new name itself must survive a power cut
        folder = os.open(target.parent, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan that `save_plan` wrote; ShardlineFileNotFoundError or ShardlineValueError where there is none."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ShardlineFileNotFoundError(f"no plan at {os.fspath(path)}") from None
    return Plan.from_bytes(data)


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
