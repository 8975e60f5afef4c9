"""The order of one plan's rows under the shuffle settings (the line), and how both stand in a state."""

import copy
from collections.abc import Collection
from functools import cached_property
from typing import Any

import pyarrow as pa

from shardline._core import Order, Plan
from shardline.filters.row_filter import RowFilter
from shardline.planning.file_table import files_entry
from shardline.settings import Settings


class EpochOrder:
    """A plan and the order of its rows under one seed. Frozen.

    `left_out`: names of files whose rows keep their positions and are not delivered.
    """

    def __init__(self, plan: Plan, settings: Settings, seed: int, left_out: Collection[str] = ()) -> None:
        self.plan = plan
        self.seed = seed
        self.left_out = frozenset(left_out)
        self.core = Order(
            plan,
            shuffle=settings.shuffle,
            seed=seed,
            strands=settings.shuffle_strands,
            buffer=settings.shuffle_buffer_size,
            split_bytes=settings.split_bytes,
            split_rows=settings.split_rows,
        )
        self.selector = settings.row_filter.selector(plan)
        self.filter, self.sample = _entries(settings.row_filter, plan)
        self.shuffle: dict[str, int | bool | None] = {
            "on": settings.shuffle,
            "buffer": self.core.buffer,
            "strands": self.core.strands,
            "window": self.core.window,
            "split_bytes": settings.split_bytes,
            "split_rows": settings.split_rows,
        }

    @property
    def num_rows(self) -> int:
        """Rows of the line, over all ranks."""
        return self.core.num_rows

    @cached_property
    def files(self) -> dict[str, Any]:
        """The file table as a state holds it: packed once, shared by all states."""
        return files_entry(self.plan)

    @cached_property
    def names(self) -> list[str]:
        """The files' names, by index."""
        return [name for name, _, _ in self.plan.files()]

    def leaving_out(self, files: Collection[str]) -> "EpochOrder":
        """The same order, with exactly these files left out."""
        order = copy.copy(self)
        order.left_out = frozenset(files)
        order.__dict__.pop("left_out_files", None)
        return order

    @cached_property
    def left_out_files(self) -> list[int]:
        """The indices of the files that are left out."""
        return [i for i, name in enumerate(self.names) if name in self.left_out] if self.left_out else []

    def left_out_positions(self, epoch: int) -> list[tuple[int, int]]:
        """The positions of the rows that are left out of an epoch. Takes time in proportion to the rows."""
        return self.core.positions_of(epoch, self.left_out_files) if self.left_out else []

    def read_cost(self, num_shards: int) -> float:
        """About how often the data is read in all: an open row group a shard and strand is read by each."""
        return 1 + num_shards * self.core.strands / max(1, self.plan.num_row_groups)


def _entries(rows: RowFilter, plan: Plan) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The filter and the sample as they stand in a state."""
    filtered, sampled = None, None
    if rows.filter is not None and plan.passing is not None:
        types = {} if plan.partition_schema is None else {f.name: str(f.type) for f in pa.schema(plan.partition_schema)}
        folders = {name: types[name] for name in rows.filter.columns if name in types}
        filtered = {"rows": rows.filter.text, "folders": folders, "counts": plan.passing[1]}
    if rows.sample is not None:
        sampled = rows.sample._asdict()
    return filtered, sampled
