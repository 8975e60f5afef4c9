"""Iceberg tables for the tests of all kinds."""

import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.transforms import parse_transform
from pyiceberg.types import LongType

from support.iceberg import Table
from support.iceberg_parts import File
from support.lakes.lake import Lake, Row, rows_of

_FIELDS: list[tuple[Any, ...]] = [(1, "i", "long"), (2, "s", "string")]


class IcebergLake(Lake):
    """Written by hand after the specification, of version 3; which rows live is the specification's row by row."""

    kind, word, remover = "iceberg", "snapshot", "expire_snapshots"
    STEPS = ("append", "append", "delete", "delete", "compact", "overwrite", "evolve", "repartition", "expire")

    def __init__(self, path: Path, *, partitioned: bool = False) -> None:
        super().__init__(path)
        self.table = Table.create(path, _FIELDS, version=3)
        if partitioned:
            self._repartition("truncate[10]")

    @property
    def live(self) -> list[Row]:
        if self.table.current is None:
            return []
        fields = self.table.schema.fields
        return [
            {field.name: row.get(field.field_id, field.initial_default) for field in fields}
            for row in self.table.rows()
        ]

    @property
    def version(self) -> int:
        return self.table.current

    @property
    def table_id(self) -> str:
        return str(self.table.metadata["table-uuid"])

    def asked(self, version: int) -> dict[str, int]:
        return {"snapshot": version}

    def as_of_now(self, beside: Path) -> Path:
        return self.table.metadata_file()

    @property
    def _files(self) -> list[File]:
        return [file for file in self.table.data if file.rows]

    def _new(self, count: int) -> list[Row]:
        """Rows with the next numbers, under the current names."""
        text, *later = [field.name for field in self.table.schema.fields[1:]]
        self.next += count
        return [{"i": n, text: f"text {n}"} | dict.fromkeys(later, n * 2) for n in range(self.next - count, self.next)]

    def _written(self, rows: Sequence[Row]) -> list[File]:
        """A file for each partition."""
        spec = self.table.metadata["partition-specs"][self.table.metadata["default-spec-id"]]
        transforms = [parse_transform(each["transform"]).transform(LongType()) for each in spec["fields"]]
        parts: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in rows:
            parts[tuple(transform(row["i"]) for transform in transforms)].append(row)
        schema = pa.schema([pa.field(each.name, each.type) for each in self.table.arrow()])
        return [self.table.data_file(pa.Table.from_pylist(some, schema), by) for by, some in parts.items()]

    def append(self, count: int = 30) -> None:
        self.table.commit(self._written(self._new(count)))

    def overwrite(self, count: int = 200) -> None:
        self.table.commit(self._written(self._new(count)), remove=self._paths())

    def compact(self) -> None:
        self.table.commit(self._written(sorted(self.live, key=lambda row: row["i"])), remove=self._paths())

    def _paths(self) -> list[str]:
        return [file.path for each in self.table.manifests[self.version] for file in each.files]

    def delete(self, ids: Sequence[int], draws: random.Random | None = None) -> None:
        vectors = {each.referenced for one in self.table.manifests[self.version] for each in one.files if each.offset}
        live = set(self.ids)
        gone: dict[str, list[int]] = {}
        for file in self._files:
            numbers = [row[1] for row in file.content]
            if set(numbers) & set(ids):
                dead = [n for n, number in enumerate(numbers) if number in ids or number not in live]
                gone[file.path] = dead if file.path in vectors else [n for n in dead if numbers[n] in ids]
        files = {file.path: file for file in self._files}
        way = "vectors" if draws is None else draws.choice(["vectors", "positions", "one", "equality", "two"])
        if way in ("equality", "two"):
            self._delete_equal(ids, by_two=way == "two")
            return
        made = []
        for path, rows in gone.items():
            # Of a file with a vector the vector says all: a larger one takes its place.
            if way == "vectors" or path in vectors:
                made += self.table.vectors({path: self._before(path) | set(rows)})
            else:
                made.append(self.table.positions({path: rows}, files[path], one=way == "one"))
        self.table.commit(made, drop=lambda file: file.offset is not None and file.referenced in gone)

    def _before(self, path: str) -> set[int]:
        """The positions that files of positions, or a vector, delete of a file already."""
        deletes = [each for one in self.table.manifests[self.version] for each in one.files]
        return {row for each in deletes if each.kind in ("positions", "vector") for row in each.content.get(path, ())}

    def _delete_equal(self, ids: Sequence[int], *, by_two: bool) -> None:
        columns: dict[str, Any] = {"i": pa.array(ids, pa.int64())}
        if by_two:
            columns[self.table.schema.find_column_name(2)] = [f"text {n}" for n in ids]
        # Of a spec without partitions: it is of the whole table.
        everywhere = next(each["spec-id"] for each in self.table.metadata["partition-specs"] if not each["fields"])
        self.table.commit([self.table.equality(pa.table(columns), [1, 2] if by_two else [1], spec=everywhere)])

    def evolve(self) -> None:
        """Renames `s`, and adds a column with a default."""
        numbers = [field.field_id for field in self.table.schema.fields]
        new = max(numbers) + 1
        fields = [(1, "i", "long"), (2, f"s{new}", "string")]
        old = self.table.schema.fields[2:]
        later = [(field.field_id, field.name, "long", _default(field.initial_default)) for field in old]
        self.table.evolve([*fields, *later, (new, f"x{new}", "long", _default(new))])
        self.append(3)

    def _repartition(self, transform: str) -> None:
        number = len(self.table.metadata["partition-specs"])
        self.table.repartition([(1, 1000 + number, f"by {number}", transform)])

    def step(self, name: str, draws: random.Random) -> None:
        if name == "repartition":
            self._repartition(draws.choice(["truncate[7]", "bucket[3]", "identity"]))
        elif name == "expire":
            self.expire()
        else:
            super().step(name, draws)

    def expire(self) -> None:
        self.table.expire(*(each["snapshot-id"] for each in self.table.metadata["snapshots"][:-1]))

    def vacuum(self) -> None:
        every = {file.path for some in self.table.manifests.values() for each in some for file in each.files}
        for path in every - set(self._paths()):
            Path(path.removeprefix(self.table.prefix)).unlink(missing_ok=True)

    def replace(self) -> None:
        shutil.rmtree(self.path)
        self.table = Table.create(self.path)
        self.table.append(rows_of(0, 30))

    def alter(self) -> None:
        (vector,) = (each for one in self.table.manifests[self.version] for each in one.files if each.offset)
        snapshots = {each["snapshot-id"]: each for each in self.table.metadata["snapshots"]}
        number = self.version
        parent = snapshots[number]["parent-snapshot-id"]
        made = self.table.vectors({vector.referenced: range(10, 10 + vector.rows)})
        self.table.commit(made, parent=parent)
        snapshots[number]["manifest-list"] = self.table.metadata["snapshots"][-1]["manifest-list"]
        self.table.metadata["current-snapshot-id"] = self.table.metadata["refs"]["main"]["snapshot-id"] = number
        self.table.write_metadata()

    def remove_delete_files(self) -> None:
        for pattern in ("*.puffin", "*-equal.parquet", "*-deletes.parquet"):
            for file in (self.path / "data").glob(pattern):
                file.unlink()
        shutil.rmtree(self.path / "metadata")


def _default(value: int) -> dict[str, int]:
    return {"initial-default": value, "write-default": value}
