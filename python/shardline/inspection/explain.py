"""`explain`: what a loader will do in an epoch, and what that costs, before it does it."""

from dataclasses import dataclass
from typing import Any

from shardline import text
from shardline._core import Legs
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineTypeError
from shardline.footers.opening import opener
from shardline.footers.survey import Survey, survey
from shardline.inspection.first_batch import Rate, first_bytes, rate_of
from shardline.loader import DataLoader
from shardline.planning.epoch_order import EpochOrder
from shardline.settings import Settings

_STRAND_BYTES = 1 << 20  # about what is held of each strand's rows, see docs/reading.md
_AHEAD = 2  # batches that each worker process has


@dataclass(frozen=True)
class Explanation:
    """An epoch, foreseen. `print` shows it. Bytes are estimates, from footers."""

    where: str
    order: str
    """In words."""
    num_files: int
    num_row_groups: int
    num_rows: int
    """Rows that pass, or packed sequences, over all ranks."""
    num_ranks: int
    num_shards: int
    splits: int
    """The pieces that a shuffle moves as one."""
    strands: int
    """Places of the data that are read side by side."""
    windows: int
    """The windows that rows are mixed in: 1 is a uniform shuffle, 0 mixes no rows."""
    batch_size: int
    drop_last: bool
    steps: int
    """Of each rank, in an epoch."""
    rows_left_out: int
    """By `drop_last`, in each epoch."""
    columns: int
    columns_of: int
    """The columns that the files have."""
    column_bytes: int
    """Of the columns that are read, in the files."""
    read_factor: float
    """How often all ranks together read them, at most."""
    batch_bytes: float
    """Of a decoded batch."""
    memory_bytes: float
    """Of one rank, beside the process itself."""
    prefetch_bytes: int
    num_threads: int
    num_workers: int
    first_batch_bytes: float
    """Of the files, that a rank reads until its first batch is there."""
    rate: Rate | None = None
    """How fast they are read."""

    @property
    def first_batch_seconds(self) -> float | None:
        """To a rank's first batch, its transform and the listing of files not counted; None without a rate."""
        if self.rate is None:
            return None
        return self.rate.begin_seconds + self.first_batch_bytes / self.rate.bytes_per_second

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        shown = [
            ["order", self.order],
            ["splits", f"{self.splits:,}"],
            ["strands", f"{self.strands:,}"],
            ["windows", self._windows()],
            ["shards", f"{self.num_shards:,} of {self.num_rows // self.num_shards:,} rows, {self._per_rank()}"],
            ["steps an epoch", f"{self.steps:,} on each of {text.counted(self.num_ranks, 'rank')}, {self._batches()}"],
            ["batch", f"{self.batch_size:,} rows, about {text.size(self.batch_bytes)}"],
            ["columns", f"{self.columns:,} of {self.columns_of:,}, {text.size(self.column_bytes)} in the files"],
            ["read an epoch", self._read()],
            ["first batch", self._first_batch()],
            ["memory", self._memory()],
            ["threads", f"{self.num_threads:,} a rank decode{self._workers()}"],
        ]
        counts = ", ".join(
            text.counted(number, what)
            for number, what in ((self.num_files, "file"), (self.num_row_groups, "row group"), (self.num_rows, "row"))
        )
        head = text.paragraph(f"{self.where}: {counts}", width, "", "  ")
        return "\n".join([*head, *text.table([], shown, width)])

    __str__ = text

    def _windows(self) -> str:
        if not self.windows:
            return "none: rows keep their places in a split"
        if self.windows == 1:
            return "1 of all rows: a uniform shuffle"
        return f"{self.windows:,} of {self.num_rows // self.windows:,} rows"

    def _per_rank(self) -> str:
        each = self.num_shards // self.num_ranks
        return "one a rank" if each == 1 else f"{each:,} a rank"

    def _batches(self) -> str:
        all_ = f"{text.counted(self.steps * self.num_ranks, 'batch')} in all"
        return all_ + (f"; drop_last leaves out {text.counted(self.rows_left_out, 'row')}" if self.drop_last else "")

    def _read(self) -> str:
        read = f"{text.size(self.column_bytes * self.read_factor)} at most by all ranks"
        return read if self.read_factor < 1.05 else f"{read}, {self.read_factor:.1f} times the columns"

    def _first_batch(self) -> str:
        needs = f"about {text.size(self.first_batch_bytes)} of the files"
        if self.rate is None or self.first_batch_seconds is None:
            return f"needs {needs}; a rate gives the time"
        return f"after about {text.duration(self.first_batch_seconds)}: {needs}, at {self.rate.text()}"

    def _memory(self) -> str:
        held = ["read-ahead"]
        if self.windows:
            held.append("windows")
        return f"about {text.size(self.memory_bytes)} a rank: {' and '.join(held)}, beside the process itself"

    def _workers(self) -> str:
        if not self.num_workers:
            return "; no worker processes"
        share = text.size(self.num_workers * _AHEAD * self.batch_bytes)
        processes = "1 process runs" if self.num_workers == 1 else f"{self.num_workers:,} processes run"
        return f"; {processes} a transform, with {share} of shared memory"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        rate = None if self.rate is None else self.rate._asdict()
        return dict(text.plain({**vars(self), "rate": rate, "first_batch_seconds": self.first_batch_seconds}))


def explain(
    loader: DataLoader | StructuredDataset, *, num_workers: int | None = None, rate: int | str | None = None
) -> Explanation:
    """Foresees an epoch: splits, strands, windows, shards, steps, and the bytes that are read and held.

    Reads footers, no data unless a rate is to be measured. The place in the epoch plays no part.

    Args:
        loader: A loader or a dataset, of any rank.
        num_workers: The worker processes; the loader's by default.
        rate: How fast the files are read, for the time to the first batch: bytes a second, as "200MB/s", or
            "measure", which reads and decodes them for a quarter of a second.

    Returns:
        The figures; `print` shows them.

    Raises:
        ShardlineTypeError: `loader` or `rate` is something else.
        ShardlineValueError: `rate` is not understood.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(10_000)}), path, row_group_size=1000)
    >>> explain(StructuredDataset(path, batch_size=100, shuffle=True, rank=0, num_ranks=4)).steps
    25
    """
    dataset = loader.dataset if isinstance(loader, DataLoader) else loader
    if not isinstance(dataset, StructuredDataset):
        raise ShardlineTypeError(f"loader must be a DataLoader or a StructuredDataset, not {type(loader).__name__}")
    if num_workers is None:
        num_workers = loader.num_workers if isinstance(loader, DataLoader) else 0
    order, settings = dataset.measured()
    plan, shuffle, rows, shards = order.plan, order.shuffle, order.num_rows, dataset.num_shards
    ranks, size = settings.num_ranks, settings.batch_size
    legs = Legs.start(rows, shards, size, settings.drop_last)
    dropped = sum(stop - start for start, stop in legs.at(legs.num_batches).left_out())
    columns = set(dataset.schema.arrow.names)
    found = survey(order.names, opener(plan.root, settings.storage), settings.num_threads)
    wanted = _share(found, columns)
    row_bytes = sum(plan.decoded_bytes) * wanted / max(1, plan.num_rows)
    if settings.pack is not None:
        of_places = [each for each in dataset.schema.values() if each.shape and each.dtype is not None]
        row_bytes = float(sum(settings.pack.seq_len * each.dtype.itemsize for each in of_places if each.dtype))
    window_bytes = rows * row_bytes / shuffle.windows if shuffle.windows else 0.0
    ahead = min(settings.prefetch_bytes, rows * row_bytes / ranks)
    mixed = window_bytes * (1 if shuffle.windows == 1 else 1 + shards // ranks)
    strands = min(order.core.strands * _STRAND_BYTES, rows * row_bytes) if shuffle.windows > 1 else 0.0
    column_bytes = sum(each.compressed for each in found.columns.values() if each.leaf.column in columns)
    return Explanation(
        where=plan.root,
        order=order.describe(),
        num_files=plan.num_files,
        num_row_groups=plan.num_row_groups,
        num_rows=rows,
        num_ranks=ranks,
        num_shards=shards,
        splits=_splits(order, settings),
        strands=order.core.strands,
        windows=shuffle.windows,
        batch_size=size,
        drop_last=settings.drop_last,
        steps=legs.num_batches // ranks,
        rows_left_out=dropped,
        columns=len(columns),
        columns_of=len({each.leaf.column for each in found.columns.values()}),
        column_bytes=column_bytes,
        read_factor=order.read_cost(shards, ranks),
        batch_bytes=min(size, rows) * row_bytes,
        memory_bytes=ahead + mixed + strands,
        prefetch_bytes=settings.prefetch_bytes,
        num_threads=settings.num_threads,
        num_workers=num_workers,
        first_batch_bytes=first_bytes(found, columns, order, shards, size),
        rate=rate_of(rate, order, settings, column_bytes),
    )


def _share(found: Survey, columns: set[str]) -> float:
    """What part of the bytes is in these columns."""
    all_ = sum(each.uncompressed for each in found.columns.values())
    return sum(each.uncompressed for each in found.columns.values() if each.leaf.column in columns) / max(1, all_)


def _splits(order: EpochOrder, settings: Settings) -> int:
    """How many splits there are, by the rule of docs/order.md."""
    plan, shuffle = order.plan, order.shuffle
    split_rows = plan.split_rows
    total, groups = sum(split_rows), zip(split_rows, plan.group_bytes, strict=True)
    count = 0
    for number in plan.group_counts:
        length = size = 0
        for _ in range(number):
            rows, bytes_ = next(groups)
            if not rows:
                continue
            fits = (
                length > 0
                and size + bytes_ <= shuffle.split_bytes
                and (shuffle.split_rows is None or length + rows <= shuffle.split_rows)
                and (not settings.shuffle or 64 * (length + rows) <= total)
            )
            count, length, size = count + (not fits), length * fits + rows, size * fits + bytes_
    return count
