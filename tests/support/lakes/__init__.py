"""Tables of every kind, written step by step, with a model that says which of their rows live.

- `lake`: what the kinds have in common; `rows_of`: the rows that they are made of
- `delta_lake`, `iceberg_lake`: the two kinds of table; `plain_lake`: files whose deletes stand in the plan
- `histories`: tables made by random steps, each of whose versions can be read as it stood then
"""

from pathlib import Path
from typing import Any

from support.lakes.delta_lake import DeltaLake
from support.lakes.iceberg_lake import IcebergLake
from support.lakes.lake import Lake
from support.lakes.plain_lake import PlainLake

KINDS: dict[str, type[Lake]] = {"plain": PlainLake, "delta": DeltaLake, "iceberg": IcebergLake}
TABLES = ("delta", "iceberg")


def make(kind: str, path: Path, **options: Any) -> Lake:
    """A table without rows."""
    return KINDS[kind](path, **options)
