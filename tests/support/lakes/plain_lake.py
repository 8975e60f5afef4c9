"""Plain files whose deleted rows stand in the plan: what a table comes to, without one."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shardline import Plan, StructuredDataset
from support.lakes.lake import Lake, Row, rows_of


class PlainLake(Lake):
    """A directory, and the plan that its rows are read by."""

    kind, word, remover = "plain", "plan", ""
    STEPS = ("append", "append", "delete", "delete", "group deleted", "compact", "overwrite")

    def __init__(self, path: Path, *, partitioned: bool = False) -> None:
        super().__init__(path)
        path.mkdir(parents=True)
        self._files: dict[str, list[int]] = {}
        self._gone: set[int] = set()

    @property
    def live(self) -> list[Row]:
        numbers = [n for each in self._files.values() for n in each if n not in self._gone]
        return [{"i": n, "s": f"text {n}"} for n in numbers]

    def open(self, at: Path | None = None, **options: Any) -> StructuredDataset:
        return StructuredDataset(plan=Plan.load(at or self.as_of_now(self.path.parent)), **options)

    def as_of_now(self, beside: Path) -> Path:
        names = sorted(self._files)
        files = [self.path / name for name in names]
        plan = StructuredDataset(files, batch_size=1, columns=["i"], format="parquet").plan
        dead = [[row for row, n in enumerate(self._files[name]) if n in self._gone] for name in names]
        plan = plan.with_deleted([(at, np.array(rows, np.int64)) for at, rows in enumerate(dead)])
        path = beside / f"{self.path.name} {self.next} {len(self._gone)} {len(names)}.plan"
        plan.save(path)
        return path

    def _write(self, numbers: Sequence[int]) -> None:
        name = f"{len(list(self.path.iterdir())):04}.parquet"
        rows = pa.concat_tables([rows_of(0, 0), *(rows_of(n, n + 1) for n in numbers)])
        with pq.ParquetWriter(self.path / name, rows.schema) as writer:
            if len(numbers) % 3 == 0:
                writer.write_table(rows.slice(0, 0))  # a row group without rows
            writer.write_table(rows, row_group_size=7)
        self._files[name] = list(numbers)

    def append(self, count: int = 30) -> None:
        self._write(range(self.next, self.next + count))
        self.next += count

    def delete(self, ids: Sequence[int], draws: random.Random | None = None) -> None:
        self._gone |= set(ids)

    def compact(self) -> None:
        left = self.ids
        self._files = {}
        self._write(left)

    def overwrite(self, count: int = 200) -> None:
        self._files = {}
        self.append(count)

    def step(self, name: str, draws: random.Random) -> None:
        if name == "group deleted":
            rows = draws.choice(list(self._files.values()))
            first = draws.randrange(0, len(rows), 7)
            self._gone |= set(rows[first : first + 7])
        else:
            super().step(name, draws)
