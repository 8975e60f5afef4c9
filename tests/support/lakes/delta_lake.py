"""Delta tables for the tests of all kinds."""

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from support import delta
from support.lakes.lake import Lake, Row, rows_of


class DeltaLake(Lake):
    """Written by deltalake; deletion vectors by hand."""

    kind, word, remover = "delta", "version", "VACUUM"
    STEPS = ("append", "append", "delete", "delete", "compact", "overwrite", "evolve", "checkpoint", "log cleaned")

    def __init__(self, path: Path, *, partitioned: bool = False) -> None:
        super().__init__(path)
        schema = rows_of(0, 0).schema
        self._by = ["p"] if partitioned else None
        if partitioned:
            schema = schema.append(pa.field("p", pa.int64()))
        DeltaTable.create(path, schema, partition_by=self._by)
        self._live: dict[int, Row] = {}
        self._extra = self._copies = 0
        self._log: list[dict[str, Any]] = []

    @property
    def live(self) -> list[Row]:
        return list(self._live.values())

    @property
    def version(self) -> int:
        return delta.latest(self.path)

    @property
    def table_id(self) -> str:
        return str(DeltaTable(self.path).metadata().id)

    def asked(self, version: int) -> dict[str, int]:
        return {"version": version}

    def as_of_now(self, beside: Path) -> Path:
        self._copies += 1
        copy = beside / f"{self.path.name}, {self._copies}"
        shutil.copytree(self.path, copy, copy_function=os.link)
        return copy

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """The add actions of the files, whatever was cleaned of the log."""
        shown = pa.table(DeltaTable(self.path).get_add_actions())["path"].to_pylist()
        known = {action["add"]["path"]: action["add"] for action in self._actions() if "add" in action}
        return {name: known[name] for name in sorted(shown)}

    def _actions(self) -> list[dict[str, Any]]:
        seen = {line["at"] for line in self._log}
        for version in range(self.version + 1):
            if version not in seen and delta.log_file(self.path, version).exists():
                self._log.append({"at": version, "lines": delta.actions(self.path, version)})
        return [action for each in sorted(self._log, key=lambda each: each["at"]) for action in each["lines"]]

    def _has_vectors(self) -> bool:
        return any("deletionVector" in add for add in self.files.values())

    def _rows(self, start: int, count: int) -> pa.Table:
        found, numbers = rows_of(start, start + count), range(start, start + count)
        for number in range(self._extra):
            found = found.append_column(f"x{number}", pa.array([n * 2 for n in numbers], pa.int64()))
        if self._by:
            found = found.append_column("p", pa.array([n % 3 for n in numbers], pa.int64()))
        return found

    def _write(self, count: int, mode: str) -> None:
        made = self._rows(self.next, count)
        self.next += count
        if mode == "overwrite":
            self._live.clear()
        self._live |= {row["i"]: row for row in made.to_pylist()}
        write_deltalake(self.path, made, mode=mode, partition_by=self._by, schema_mode="merge")

    def append(self, count: int = 30) -> None:
        self._write(count, "append")

    def overwrite(self, count: int = 200) -> None:
        self._write(count, "overwrite")

    def delete(self, ids: Sequence[int], draws: random.Random | None = None) -> None:
        if draws is not None and draws.random() < 0.3 and not self._has_vectors():
            DeltaTable(self.path).delete(f"i in ({', '.join(map(str, ids))})")
        else:
            gone: dict[str, list[int]] = {}
            for name in self.files:
                numbers = pq.ParquetFile(self.path / name).read(["i"])["i"].to_pylist()
                rows = [row for row, number in enumerate(numbers) if number in ids or number not in self._live]
                if set(ids) & set(numbers):
                    gone[name] = rows
            self._commit(gone, inline=draws is None or draws.random() < 0.5)
        for number in ids:
            del self._live[number]

    def _commit(self, gone: dict[str, list[int]], *, inline: bool) -> None:
        entries: list[dict[str, Any]] = []
        has = "deletionVectors" in (DeltaTable(self.path).protocol().reader_features or ())
        if not has:
            entries.append(delta.protocol_of(DeltaTable(self.path).protocol(), "deletionVectors"))
        files = self.files
        for name, rows in gone.items():
            add = files[name]
            vector = delta.inline_vector(rows) if inline else delta.file_vector(self.path, rows)
            removed = {"path": name, "deletionTimestamp": 1_700_000_000_000, "dataChange": True}
            removed |= {key: add[key] for key in ("deletionVector",) if key in add}
            entries += [{"remove": removed}, {"add": {**add, "deletionVector": vector, "dataChange": True}}]
        delta.commit(self.path, *entries)

    def compact(self) -> None:
        if not self._has_vectors():
            DeltaTable(self.path).optimize.compact()
            return
        # deltalake compacts no files with vectors: as it would, by hand.
        made = pa.Table.from_pylist(sorted(self.live, key=lambda row: row["i"]), schema=self._rows(0, 0).schema)
        write_deltalake(self.path, made, mode="overwrite", partition_by=self._by)

    def evolve(self) -> None:
        self._extra += 1
        name = f"x{self._extra - 1}"
        self._live = {number: {**row, name: None} for number, row in self._live.items()}
        self.append(3)

    def step(self, name: str, draws: random.Random) -> None:
        if name == "checkpoint":
            DeltaTable(self.path).create_checkpoint()
        elif name == "log cleaned":
            self.expire()
        else:
            super().step(name, draws)

    def expire(self) -> None:
        self._actions()  # kept, for what is written by hand
        DeltaTable(self.path).create_checkpoint()
        for version in range(self.version):
            delta.log_file(self.path, version).unlink(missing_ok=True)
        for old in sorted((self.path / "_delta_log").glob("*.checkpoint*.parquet"))[:-1]:
            old.unlink()

    def vacuum(self) -> None:
        DeltaTable(self.path).vacuum(0, enforce_retention_duration=False, dry_run=False)

    def replace(self) -> None:
        shutil.rmtree(self.path)
        write_deltalake(self.path, rows_of(0, 30))

    def alter(self) -> None:
        lines = delta.actions(self.path, self.version)
        for line in lines:
            if "deletionVector" in line.get("add", {}):
                count = line["add"]["deletionVector"]["cardinality"]
                line["add"]["deletionVector"] = delta.inline_vector(range(10, 10 + count))
        file = delta.log_file(self.path, self.version)
        file.unlink()  # which may be linked to
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def remove_delete_files(self) -> None:
        for vector in self.path.glob("**/deletion_vector_*.bin"):
            vector.unlink()
        shutil.rmtree(self.path / "_delta_log")
