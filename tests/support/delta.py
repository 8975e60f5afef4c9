"""Delta tables for tests: deltalake writes them, and what it does not write (deletion vectors, renames) is written into
the log by hand, after the protocol's specification."""

import json
import struct
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
MAGIC = 1681511377


def roaring(rows: Iterable[int]) -> bytes:
    """A 64-bit roaring bitmap in the portable form, made of array and bitmap containers."""
    high: dict[int, dict[int, list[int]]] = {}
    for row in sorted(set(rows)):
        high.setdefault(row >> 32, {}).setdefault(row >> 16 & 0xFFFF, []).append(row & 0xFFFF)
    out = struct.pack("<Q", len(high))
    for key, containers in high.items():
        out += struct.pack("<III", key, 12346, len(containers))
        bodies = [_container(values) for values in containers.values()]
        for low, values in containers.items():
            out += struct.pack("<HH", low, len(values) - 1)
        start = 8 + 8 * len(containers)
        for body in bodies:
            out += struct.pack("<I", start)
            start += len(body)
        out += b"".join(bodies)
    return out


def _container(values: list[int]) -> bytes:
    if len(values) <= 4096:
        return struct.pack(f"<{len(values)}H", *values)
    bits = bytearray(8192)
    for value in values:
        bits[value >> 3] |= 1 << (value & 7)
    return bytes(bits)


def z85(data: bytes) -> str:
    text = ""
    for (word,) in struct.iter_unpack(">I", data + bytes(-len(data) % 4)):
        text += "".join(Z85[word // 85**place % 85] for place in (4, 3, 2, 1, 0))
    return text


def inline_vector(rows: Iterable[int]) -> dict[str, Any]:
    """A deletion vector in the log itself."""
    rows = set(rows)
    data = struct.pack("<I", MAGIC) + roaring(rows)
    data += bytes(-len(data) % 4)
    return {"storageType": "i", "pathOrInlineDv": z85(data), "sizeInBytes": len(data), "cardinality": len(rows)}


def file_vector(table: Path, rows: Iterable[int], *, prefix: str = "") -> dict[str, Any]:
    """A deletion vector in a file of its own, behind another one."""
    rows, name = set(rows), uuid.uuid4()
    out = b"\1"
    for of in ({0, 1}, rows):
        data, offset = struct.pack("<I", MAGIC) + roaring(of), len(out)
        out += struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    (table / prefix).mkdir(exist_ok=True)
    (table / prefix / f"deletion_vector_{name}.bin").write_bytes(out)
    text = prefix + z85(name.bytes)
    return {
        "storageType": "u",
        "pathOrInlineDv": text,
        "offset": offset,
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }


def actions(table: Path, version: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file(table, version).read_text().splitlines()]


def log_file(table: Path, version: int) -> Path:
    return table / "_delta_log" / f"{version:020}.json"


def latest(table: Path) -> int:
    return max(int(path.stem) for path in (table / "_delta_log").glob("*.json"))


def commit(table: Path, *entries: dict[str, Any]) -> int:
    """Writes the next version; which it is."""
    version = latest(table) + 1
    lines = [{"commitInfo": {"timestamp": 1_700_000_000_000 + version, "operation": "TEST"}}, *entries]
    log_file(table, version).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return version


def live(table: Path) -> dict[str, dict[str, Any]]:
    """The add action of every file of the newest version, by the path in the log: of logs that begin at 0."""
    found: dict[str, dict[str, Any]] = {}
    for version in range(latest(table) + 1):
        for action in actions(table, version):
            if "remove" in action:
                found.pop(action["remove"]["path"], None)
        for action in actions(table, version):
            if "add" in action:
                found[action["add"]["path"]] = action["add"]
    return found


def entry(table: Path, kind: str) -> dict[str, Any]:
    """The newest `metaData` or `protocol`."""
    found = [a[kind] for v in range(latest(table) + 1) for a in actions(table, v) if kind in a]
    return dict(found[-1])


def protocol(table: Path, *features: str) -> dict[str, Any]:
    """A protocol action that adds reader features."""
    now = entry(table, "protocol")
    return _protocol(now.get("readerFeatures", []), now.get("writerFeatures", []), features)


def protocol_of(now: Any, *features: str) -> dict[str, Any]:
    """The same, of the protocol as deltalake has it: of logs that were cleaned too."""
    return _protocol(now.reader_features or [], now.writer_features or [], features)


def _protocol(reader: Iterable[str], writer: Iterable[str], features: Iterable[str]) -> dict[str, Any]:
    return {
        "protocol": {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": sorted({*reader, *features}),
            "writerFeatures": sorted({*writer, *features}),
        }
    }


def delete(table: Path, rows: dict[str, Iterable[int]], *, inline: bool = True, prefix: str = "") -> int:
    """Deletes rows of files by deletion vectors, which take the place of earlier ones."""
    entries = (
        []
        if "deletionVectors" in entry(table, "protocol").get("readerFeatures", [])
        else [protocol(table, "deletionVectors")]
    )
    files = live(table)
    for path, positions in rows.items():
        add = files[path]
        vector = inline_vector(positions) if inline else file_vector(table, positions, prefix=prefix)
        removed = {"path": path, "deletionTimestamp": 1_700_000_000_000, "dataChange": True}
        if "deletionVector" in add:
            removed["deletionVector"] = add["deletionVector"]
        entries += [{"remove": removed}, {"add": {**add, "deletionVector": vector, "dataChange": True}}]
    return commit(table, *entries)


def add_file(table: Path, name: str, rows: pa.Table, **options: Any) -> int:
    """Adds a file that pyarrow writes, with these options, under a name."""
    pq.write_table(rows, table / name, **options)
    add = {"path": name, "partitionValues": {}, "size": (table / name).stat().st_size, "modificationTime": 0}
    return commit(table, {"add": {**add, "dataChange": True, "stats": json.dumps({"numRecords": rows.num_rows})}})


def retype(table: Path, types: dict[str, Any], *features: str) -> int:
    """Gives columns other types, as the log writes them; `features`: reader features that the table then has."""
    meta = entry(table, "metaData")
    schema = json.loads(meta["schemaString"])
    for field in schema["fields"]:
        if field["name"] in types:
            change = {"fromType": field["type"], "toType": types[field["name"]]}
            is_plain = all(isinstance(each, str) for each in change.values())
            field["metadata"] = {"delta.typeChanges": [change]} if is_plain else {}
            field["type"] = types[field["name"]]
    meta["schemaString"] = json.dumps(schema)
    if "typeWidening" in features:
        meta["configuration"]["delta.enableTypeWidening"] = "true"
    return commit(table, {"metaData": meta}, *([protocol(table, *features)] if features else []))
