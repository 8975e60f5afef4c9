"""Deletion vectors: one roaring bitmap a data file, in files of the form Puffin."""

import struct
import zlib
from typing import Any

import numpy as np

from shardline.errors import ShardlineValueError
from shardline.sources.iceberg.manifests import DeleteFile
from shardline.sources.iceberg.metadata import first_line
from shardline.sources.iceberg.table_files import TableFiles

_MAGIC = b"\xd1\xd3\x39\x64"
_FRAME = len(_MAGIC) + 8
"""The bytes of a blob beside its bitmap: length, magic and checksum."""


def read_vector(delete: DeleteFile, files: TableFiles) -> np.ndarray[Any, Any]:
    """The positions that a vector deletes, ascending.

    Raises:
        ShardlineValueError: It is damaged.
    """
    if delete.offset is None or delete.length is None or delete.offset < 0 or delete.length < _FRAME:
        raise damaged(delete, "its manifest does not say where in the file it stands")
    blob = files.read_range(delete.location, delete.offset, delete.length, delete.size)
    if len(blob) != delete.length:
        raise damaged(delete, f"the file ends {delete.length - len(blob)} bytes before the vector does")
    (length,) = struct.unpack(">I", blob[:4])
    if length != delete.length - 8 or blob[4:8] != _MAGIC:
        raise damaged(delete, "it does not begin as a vector does")
    if zlib.crc32(blob[4:-4]) != struct.unpack(">I", blob[-4:])[0]:
        raise damaged(delete, "its checksum is wrong")
    found = _positions(delete, blob[8:-4])
    if len(found) != delete.rows:
        raise damaged(delete, f"it deletes {len(found):,} rows, and its manifest says {delete.rows:,}")
    return found


def _positions(delete: DeleteFile, bitmap: bytes) -> np.ndarray[Any, Any]:
    from pyroaring import BitMap64

    try:
        found = BitMap64.deserialize(bitmap)
    except Exception as error:  # pyroaring names no class
        raise damaged(delete, f"its bitmap is none ({first_line(error)})") from error
    return np.fromiter(found, np.int64, len(found))


def damaged(delete: DeleteFile, why: str) -> ShardlineValueError:
    """The error for a delete file that cannot be what the table says."""
    what = "deletion vector" if delete.kind == "vector" else "delete file"
    of = f" of {delete.referenced}" if delete.referenced is not None else ""
    return ShardlineValueError(
        f"{delete.location}: this {what}{of} of the Iceberg table is damaged: {why}; restore it, or give another "
        "snapshot"
    )
