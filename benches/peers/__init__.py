"""The readers that are measured, one small file each, written as their own users would write them.

A peer is a module with `batches(paths, batch_size, columns, threads, **options)`, which gives an iterable of batches:
dicts of tensors; lists as jagged (values, offsets) or as the reader gives them. It may have `prepare(paths, columns)`,
run once and not timed, for what it wants beforehand (another format, a cache).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

Batch = dict[str, Any]


class Module(Protocol):
    """What a peer's file must have."""

    def batches(
        self, paths: list[str], batch_size: int, columns: list[str] | None, threads: int, **options: Any
    ) -> Iterable[Batch]: ...


@dataclass(frozen=True)
class Peer:
    """A row of the table: a module, and how it is called."""

    label: str
    module: str
    requires: tuple[str, ...] = ()
    """Distributions that must be installed."""
    options: dict[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    """The data sets that it is measured on; None for all."""

    def absent(self) -> str | None:
        """Why it cannot be measured here, if it cannot."""
        for name in self.requires:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return f"{name} is not installed"
        return None

    def load(self) -> Any:
        """Its module (`Module`), imported now."""
        return importlib.import_module(f"peers.{self.module}")


ROWS = 65_536
"""The shuffle buffer of all that shuffle rows."""
SHUFFLED = ("D1", "D3")
SHARDLINE = ("shardline",)

PEERS: dict[str, Peer] = {
    "naive": Peer("hand-written loop", "naive"),
    "naive-rg": Peer("hand-written, whole row groups", "naive_rg"),
    "tdu": Peer("torch-dataloader-utils", "tdu", ("torch-dataloader-utils",)),
    "hf": Peer("Hugging Face datasets, streaming", "hf", ("datasets",)),
    "hf-map": Peer(
        "Hugging Face datasets, memory-mapped ¹", "hf", ("datasets",), {"streaming": False}, ("D1", "D2z", "D3")
    ),
    "polars": Peer("polars", "polars_", ("polars",)),
    "lance": Peer("lance (its own format ¹)", "lance_", ("pylance",), only=("D1", "D2z", "D3", "L")),
    "shardline": Peer("**shardline**", "shardline_", SHARDLINE),
    "shardline-split": Peer("**shardline**, splits shuffled", "shardline_", SHARDLINE, {"shuffle": 0}),
    "shardline-row": Peer("**shardline**, rows shuffled", "shardline_", SHARDLINE, {"shuffle": ROWS}),
    "naive-row": Peer("hand-written loop, rows shuffled", "naive_shuffled", options={"shuffle": ROWS}, only=SHUFFLED),
    "tdu-row": Peer(
        "torch-dataloader-utils, rows shuffled", "tdu", ("torch-dataloader-utils",), {"shuffle": ROWS}, SHUFFLED
    ),
    "hf-row": Peer("Hugging Face datasets, rows shuffled", "hf", ("datasets",), {"shuffle": ROWS}, SHUFFLED),
    "naive-workers": Peer("plain DataLoader, 2 workers", "naive_workers", options={"workers": 2}, only=("D1",)),
    "shardline-workers": Peer(
        "**shardline**, identity transform, 2 workers", "shardline_", SHARDLINE, {"workers": 2}, ("D1",)
    ),
}

RESUMABLE: dict[str, Peer] = {
    "shardline": Peer("**shardline**", "shardline_", SHARDLINE),
    "shardline-row": Peer("**shardline**, rows shuffled", "shardline_", SHARDLINE, {"shuffle": ROWS}),
    "hf": Peer("Hugging Face datasets, streaming", "hf", ("datasets",)),
    "hf-row": Peer("Hugging Face datasets, rows shuffled", "hf", ("datasets",), {"shuffle": ROWS}),
    "stateful": Peer("StatefulDataLoader over the hand-written loop", "stateful", ("torchdata",)),
    "tdu": Peer("torch-dataloader-utils", "tdu", ("torch-dataloader-utils",)),
}
"""What is resumed near the end of an epoch: modules with `resumable(paths, batch_size, columns, threads, **options)`,
which gives an iterable with `state_dict` and `load_state_dict`."""
