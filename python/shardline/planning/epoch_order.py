"""The order of one plan's rows under the shuffle settings (the line), and how both stand in a state."""

import copy
from collections.abc import Collection
from functools import cached_property
from typing import Any

import pyarrow as pa

from shardline._core import Plan
from shardline.errors import ShardlineValueError
from shardline.filters.row_filter import RowFilter
from shardline.filters.sample import SAMPLE_VERSION
from shardline.options.pack import pack_entry
from shardline.planning.file_table import files_entry
from shardline.planning.shuffle import Shuffle
from shardline.planning.source import source_of
from shardline.settings import Settings


class EpochOrder:
    """A plan and the order of its rows under one seed. Frozen.

    `left_out`: names of files whose rows keep their positions and are not delivered.
    """

    def __init__(self, plan: Plan, rows: RowFilter, shuffle: Shuffle, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        self.left_out: frozenset[str] = frozenset()
        self.shuffle = shuffle
        self.core = shuffle.order(plan, seed)
        self.selector = rows.selector(plan)
        self.filter, self.sample = _entries(rows, plan)
        self.source = source_of(plan)
        self.pack = pack_entry(plan)

    @cached_property
    def entry(self) -> dict[str, Any]:
        """The order as a state holds it."""
        return self.shuffle.entry(self.seed)

    @cached_property
    def digest(self) -> str:
        """Equal where files, order and what is left out are."""
        return f"{self.plan.digest} {self.entry} {sorted(self.left_out)} {self.source} {self.pack}"

    def draw(self, epoch: int) -> tuple[int, int] | None:
        """What documents that are packed whole are shuffled by, if they are."""
        return (self.seed, epoch) if self.shuffle.shuffle else None

    @property
    def num_rows(self) -> int:
        """Rows of the line, over all ranks."""
        return self.core.num_rows

    def describe(self) -> str:
        """The order in words, for a person."""
        return self.shuffle.describe(self.seed, self.num_rows)

    @cached_property
    def files(self) -> dict[str, Any]:
        """The file table as a state holds it: packed once, shared by all states."""
        return files_entry(self.plan)

    @cached_property
    def names(self) -> list[str]:
        """The files' names, by index."""
        return [name for name, _, _ in self.plan.files()]

    def leaving_out(self, files: Collection[str]) -> "EpochOrder":
        """The same order, with exactly these files left out.

        Raises:
            ShardlineValueError: Rows are packed sequences, which may go on in such a file.
        """
        if files and self.pack is not None:
            raise ShardlineValueError(
                f"leave_out: packed sequences go on from file to file, so that none can be left out ({min(files)!r}): "
                "put it back, or start afresh with the other files"
            )
        order = copy.copy(self)
        order.left_out = frozenset(files)
        for cached in ("left_out_files", "digest"):
            order.__dict__.pop(cached, None)
        return order

    @cached_property
    def left_out_files(self) -> list[int]:
        """The indices of the files that are left out."""
        return [i for i, name in enumerate(self.names) if name in self.left_out] if self.left_out else []

    def left_out_positions(self, epoch: int) -> list[tuple[int, int]]:
        """The positions of the rows that are left out of an epoch. Takes time in proportion to the rows."""
        return self.core.positions_of(epoch, self.left_out_files) if self.left_out else []

    def read_cost(self, num_shards: int, num_ranks: int) -> float:
        """About how often all ranks together read the data in an epoch, where no page of a row group can be skipped.

        Every shard but the first opens the row groups once more in which it begins, one a strand; and strands that
        begin inside of a row group come back to it at their end. One window of all rows is read by every rank.
        """
        if self.shuffle.windows == 1:
            return num_ranks
        groups, strands = max(1, self.core.num_groups), self.core.strands
        again = strands / groups if self.shuffle.windows and strands < groups else 0.0
        return 1 + (num_shards - 1) * min(strands, groups) / groups + again

    def places(self, batch_size: int) -> int:
        """About how many places of the data the rows of a batch come from: how varied it is where labels are sorted.

        A strand gives one place, and one more for each split that ends within a window.
        """
        shuffle, plan = self.shuffle, self.plan
        groups, rows = max(1, plan.num_row_groups), max(1, plan.num_rows)
        limits = [shuffle.split_bytes * rows // max(1, plan.num_bytes), rows // 64, shuffle.split_rows or rows]
        split_rows = max(1, rows // groups, min(limits))
        together = max(batch_size, rows // shuffle.windows if shuffle.windows else 0)
        return min(batch_size, self.core.strands + together // split_rows)


def too_few_rows(
    error: ShardlineValueError, rows: int, shards: int, settings: Settings, plan: Plan
) -> ShardlineValueError:
    """What to raise where a fresh epoch would have no step; `error`: the core's, for what is none of these."""
    ranks, size = settings.num_ranks, settings.batch_size
    if rows == 0 and plan.num_rows > 0:
        return ShardlineValueError(
            f"there is nothing to deliver: all {_counted(plan.num_rows, 'row')} in {_counted(plan.num_files, 'file')} "
            f"under {plan.root} were deleted. Give another version of the table, or wait until rows are written"
        )
    if rows == 0:
        return ShardlineValueError(
            f"there is nothing to deliver: {_counted(plan.num_files, 'file')} under {plan.root} hold no row. Give "
            "other files, or wait until they are written"
        )
    if rows < shards:
        cures = [f"at most {_counted(rows, 'rank')}"] if ranks > rows else []
        if settings.num_shards is not None:
            most = rows // ranks * ranks
            cures += [f"num_shards of at most {most}"] if most else ["no num_shards="]
        return ShardlineValueError(
            f"{_counted(rows, 'row')} {'is' if rows == 1 else 'are'} fewer than the {shards:,} shards, so that not "
            f"every shard would have a step: use {' and '.join(cures)}"
        )
    most, cures = rows // shards, []
    if settings.drop_last and most < size:
        cures = [f"batch_size={most} or less"]
        if shards > ranks:
            cures.append("fewer shards (num_shards=)")
        elif ranks > 1:
            cures.append("fewer ranks")
        return ShardlineValueError(
            f"with drop_last=True the {_counted(rows, 'row')} in {_counted(shards, 'shard')} make no full batch of "
            f"{_counted(size, 'row')}: use {', '.join([*cures, 'or drop_last=False'])}"
        )
    return error


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _entries(rows: RowFilter, plan: Plan) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The filter and the sample as they stand in a state."""
    filtered, sampled = None, None
    if rows.filter is not None and plan.passing is not None:
        # Those of a table are its schema's; which of its columns are partitions, another version may say otherwise.
        given = None if plan.source is not None else plan.partition_schema
        types = {} if given is None else {field.name: str(field.type) for field in pa.schema(given)}
        folders = {name: types[name] for name in rows.filter.columns if name in types}
        filtered = {"rows": rows.filter.text, "folders": folders, "counts": plan.passing[1]}
    if rows.sample is not None:
        columns = rows.sample.columns
        sampled = {"version": SAMPLE_VERSION, **rows.sample._asdict(), "columns": columns and list(columns)}
    return filtered, sampled
