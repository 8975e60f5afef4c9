"""Deletion vectors of Iceberg tables in a file of the form Puffin, written after the specification."""

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from support.delta import roaring

MAGIC = b"\xd1\xd3\x39\x64"


def write_vectors(path: Path, rows: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, int, set[int]]]:
    """Writes a vector a data file; of each: where it stands (offset and length), and the positions."""
    out, blobs, found = b"PFA1", [], {}
    for name, some in rows.items():
        positions = set(some)
        body = MAGIC + roaring(positions)
        blob = struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body))
        said = {"type": "deletion-vector-v1", "fields": [2147483645], "snapshot-id": -1, "sequence-number": -1}
        properties = {"referenced-data-file": name, "cardinality": str(len(positions))}
        blobs.append(said | {"offset": len(out), "length": len(blob), "properties": properties})
        found[name] = (len(out), len(blob), positions)
        out += blob
    footer = json.dumps({"blobs": blobs, "properties": {}}).encode()
    path.write_bytes(out + b"PFA1" + footer + struct.pack("<I", len(footer)) + bytes(4) + b"PFA1")
    return found
