"""What kinds of tables have in common, for tests that are of all of them."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from shardline import StructuredDataset

Row = dict[str, Any]


def rows_of(start: int, stop: int) -> pa.Table:
    """Numbered rows."""
    numbers = range(start, stop)
    return pa.table({"i": pa.array(numbers, pa.int64()), "s": pa.array([f"text {n}" for n in numbers], pa.string())})


class Lake:
    """A table that is written to step by step. `live`: its rows as the model has them, without order."""

    kind: ClassVar[str]
    word: ClassVar[str]
    """What a version is called."""
    remover: ClassVar[str]
    """What removes files that no version needs."""
    STEPS: ClassVar[Sequence[str]]
    """The steps of `step` that leave rows in place or take them away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next = 0
        """The number of the next row."""

    # What it is

    @property
    def live(self) -> list[Row]:
        """The rows of the newest version."""
        raise NotImplementedError

    @property
    def ids(self) -> list[int]:
        """Their numbers, ascending."""
        return sorted(row["i"] for row in self.live)

    @property
    def version(self) -> int:
        """The newest."""
        raise NotImplementedError

    @property
    def table_id(self) -> str:
        raise NotImplementedError

    def open(self, at: Path | None = None, **options: Any) -> StructuredDataset:
        """A dataset over it, or over the state that it had."""
        return StructuredDataset(at or self.path, format=self.kind, **options)

    def asked(self, version: int) -> dict[str, int]:
        """The argument that asks for a version."""
        raise NotImplementedError

    def as_of_now(self, beside: Path) -> Path:
        """What stays a path of the table as it stands now, whatever becomes of it. Files that are removed are gone from
        it too, but where `removes_files` says otherwise. `beside`: a directory for it."""
        raise NotImplementedError

    # Changes

    def append(self, count: int = 30) -> None:
        raise NotImplementedError

    def delete(self, ids: Sequence[int], draws: random.Random | None = None) -> None:
        """By any way of deleting that the kind has, chosen by `draws`."""
        raise NotImplementedError

    def compact(self) -> None:
        """The same rows in one file."""
        raise NotImplementedError

    def overwrite(self, count: int = 200) -> None:
        """Other rows in place of all."""
        raise NotImplementedError

    def evolve(self) -> None:
        """Other columns."""
        raise NotImplementedError

    def step(self, name: str, draws: random.Random) -> None:
        """One change, of a name of `STEPS`."""
        if name == "append":
            self.append(draws.randint(1, 9))
        elif name == "delete" and self.ids:
            self.delete(draws.sample(self.ids, draws.randint(1, max(1, len(self.ids) // 3))), draws)
        elif name == "compact" and self.ids:
            self.compact()
        elif name == "overwrite":
            self.overwrite(draws.randint(5, 20))
        elif name == "evolve":
            self.evolve()

    # What befalls it

    def expire(self) -> None:
        """No version but the newest can be planned any more; files stay."""
        raise NotImplementedError

    def vacuum(self) -> None:
        """The files that the newest version does not have are removed."""
        raise NotImplementedError

    def replace(self) -> None:
        """Another table stands under the name."""
        raise NotImplementedError

    def alter(self) -> None:
        """Other rows are deleted in the newest version, without a new one."""
        raise NotImplementedError

    def remove_delete_files(self) -> None:
        """All of what is needed to plan it again but the data."""
        raise NotImplementedError


def plain(state: Any) -> Any:
    """A state as JSON has it."""
    return json.loads(json.dumps(state))
