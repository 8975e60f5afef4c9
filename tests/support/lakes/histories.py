"""Tables made by random steps: what each version holds, by the model, and how to read it as it stood then."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shardline import StructuredDataset
from support.lakes.lake import Lake, Row

STEPS = 7


@dataclass(frozen=True)
class State:
    """A table after a step."""

    path: Path
    live: list[Row]
    version: int | None
    number: int
    """Of the version, counted through."""
    oldest: int
    """The lowest number of a version that can still be planned; older ones were expired."""


@dataclass(frozen=True)
class History:
    """A table, step by step; only states in which a row lives."""

    lake: Lake
    states: list[State]

    def open(self, at: int, **options: Any) -> StructuredDataset:
        """The table as of a state."""
        return self.lake.open(self.states[at].path, **options)

    def has_expired(self, at: int, now: int) -> bool:
        """Whether the version of a state was expired in a later one."""
        return self.states[at].number < self.states[now].oldest

    def ids(self, at: int) -> list[int]:
        """The model's rows of a state."""
        return sorted(row["i"] for row in self.states[at].live)


def history(make: Callable[[Path], Lake], folder: Path, seed: int) -> History:
    """A table made by steps that a number chooses."""
    draws = random.Random(seed)
    lake = make(folder / f"table {seed}")
    for _ in range(draws.randint(1, 3)):
        lake.append(draws.randint(1, 15))
    states: list[State] = []
    versions: list[int | None] = []
    oldest = 0
    for step in ["", *(draws.choice(lake.STEPS) for _ in range(STEPS))]:
        if step:
            lake.step(step, draws)
        version = None if lake.kind == "plain" else lake.version
        versions += [version] if version not in versions else []
        if step in ("expire", "log cleaned"):
            oldest = len(versions)
        if lake.ids:
            states.append(State(lake.as_of_now(folder), list(lake.live), version, len(versions), oldest))
    return History(lake, states)


def histories(kinds: dict[str, type[Lake]], folder: Path) -> Callable[[str, int], History]:
    """Makes each history once: of a kind, and a number; every third is partitioned."""

    @cache
    def find(kind: str, seed: int) -> History:
        place = folder / f"{kind} {seed}"
        place.mkdir()
        return history(lambda path: kinds[kind](path, partitioned=seed % 3 == 0), place, seed)

    return find
