"""`shuffle_quality`: how close a loader's batches are to those of a uniform shuffle."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from shardline import text
from shardline._core import Plan
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.loader import DataLoader
from shardline.options import validate
from shardline.planning.epoch_order import EpochOrder
from shardline.quality.column import column_ratio
from shardline.quality.figures import mean_ratio, neighbours, places_in, run_ratio
from shardline.quality.sampling import Layout, pairs_again, sample_batches
from shardline.settings import Settings


@dataclass(frozen=True)
class ShuffleQuality:
    """How an order mixes its data. 1.0 is a uniform shuffle; above it, batches are less alike than uniform ones.

    A ratio is the standard deviation of batch means divided by that of a uniform shuffle of the same rows. NaN: all
    values are equal, so that there is nothing to mix.
    """

    order: str
    """The order, in words."""
    num_rows: int
    batch_size: int
    sampled_batches: int
    """The batches that the ratios are made from."""
    sorted_ids: float
    """The ratio for ids sorted over all rows: drift within an epoch."""
    neighbours: float
    """The correlation of neighbouring batches' mean ids; 0 under a uniform shuffle."""
    labels_100: float
    """The ratio for labels that stand in 100 equal contiguous runs of rows."""
    labels_1000: float
    """The same for 1,000 runs."""
    labels_10000: float
    """The same for 10,000 runs."""
    in_row_group: float
    """The ratio for the position of a row in its row group."""
    in_file: float
    """The ratio for the position of a row in its file."""
    pairs_again: float
    """Pairs of rows that share a window in this epoch and in the next, divided by chance."""
    column: str | None = None
    column_values: float | None = None
    """The ratio for this column's values, where a column was given."""

    @property
    def effective_batch_size(self) -> float:
        """The uniform batch whose label counts vary as much as those of a batch here, for the worst label figure."""
        worst = max(1.0, *(x for x in (self.labels_100, self.labels_1000, self.labels_10000) if not math.isnan(x)))
        return self.batch_size / worst**2

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        lines = [
            ["sorted ids", f"{self.sorted_ids:.2f}"],
            ["neighbouring batches, correlation", f"{self.neighbours:.2f}"],
            [
                "labels in 100 / 1,000 / 10,000 runs",
                f"{self.labels_100:.2f} / {self.labels_1000:.2f} / {self.labels_10000:.2f}",
            ],
            ["position in a row group", f"{self.in_row_group:.2f}"],
            ["position in a file", f"{self.in_file:.2f}"],
            ["pairs that meet again next epoch", f"{self.pairs_again:.2f}"],
            ["effective batch size for sorted labels", f"{self.effective_batch_size:,.0f} of {self.batch_size:,}"],
        ]
        if self.column_values is not None:
            lines.insert(0, [f"column {self.column!r}", f"{self.column_values:.2f}"])
        head = f"{self.num_rows:,} rows, {self.order}; {self.sampled_batches:,} batches; 1.00 is a uniform shuffle"
        return "\n".join([*text.paragraph(head, width, "", "  "), *text.table([], lines, width)])

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dict(text.plain({**asdict(self), "effective_batch_size": self.effective_batch_size}))


def shuffle_quality(
    loader: DataLoader | StructuredDataset | Plan, column: str | None = None, *, batch_size: int | None = None
) -> ShuffleQuality:
    """Measures how well a loader mixes its rows, from positions: no data is read unless a column is given.

    The figures are computed from at most 1,152 batches (3 epochs, 48 stretches of 8 batches each; fewer but at least 96
    where batches are large), or from all where there are fewer, and from 32 windows in each of two epochs (all, up to
    64). That takes seconds at 10⁹ rows. The batches are those of fresh epochs, over all ranks; a state that was
    loaded plays no part beyond its order.

    Args:
        loader: A loader, a dataset, or a plan, which is measured with `shuffle=True` and defaults.
        column: A column whose values are measured too: numbers and times by batch means, other values as labels by
            their counts. The whole column is read once, in file order.
        batch_size: Rows of a batch; the loader's by default.

    Returns:
        The figures; `print` shows them as a table.

    Raises:
        ShardlineTypeError: `loader` is something else, or the column holds lists or structs.
        ShardlineValueError: A shard has fewer than two full batches.
        ColumnNotFoundError: There is no such column.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(10_000)}), path, row_group_size=1000)
    >>> shuffle_quality(DataLoader(path, batch_size=100)).effective_batch_size < 2
    True
    >>> quality = shuffle_quality(DataLoader(path, batch_size=100, shuffle=True), "x")
    >>> 0.8 < quality.column_values < 1.2
    True
    """
    order, settings, num_shards, size, epoch = measured_order(loader, batch_size)
    return measure(order, settings, num_shards, size, column, epoch)


def measured_order(
    loader: DataLoader | StructuredDataset | Plan, batch_size: int | None
) -> tuple[EpochOrder, Settings, int, int, int]:
    """(the order, the settings, the shards, the rows of a batch, the epoch) of what is measured, checked."""
    if isinstance(loader, Plan):
        loader = StructuredDataset(plan=loader, shuffle=True, rank=0, num_ranks=1)
    dataset = loader.dataset if isinstance(loader, DataLoader) else loader
    if not isinstance(dataset, StructuredDataset):
        raise ShardlineTypeError(
            f"loader must be a DataLoader, a StructuredDataset or a Plan, not {type(loader).__name__}"
        )
    size = dataset.batch_size if batch_size is None else validate.check_int("batch_size", batch_size, 1, 2**40)
    order, settings = dataset.measured()
    if order.pack is not None:
        raise ShardlineValueError(
            "shuffle_quality measures how rows of the files are mixed, and with pack= rows are packed sequences: "
            "measure a loader with the same shuffle settings and without pack="
        )
    check_batches(order.num_rows, dataset.num_shards, size)
    return order, settings, dataset.num_shards, size, dataset.epoch


def check_batches(total: int, num_shards: int, batch_size: int) -> None:
    """Two batches of a shard, at least, are what a figure can be made from."""
    if total // num_shards < 2 * batch_size:
        raise ShardlineValueError(
            f"batch_size={batch_size:,}: a shard of {total // num_shards:,} rows has fewer than two full batches. Give "
            "a smaller batch_size="
        )


def measure(
    order: EpochOrder, settings: Settings, num_shards: int, batch_size: int, column: str | None = None, epoch: int = 0
) -> ShuffleQuality:
    """The report on an order, of the epochs from `epoch` on."""
    layout, total = Layout(order.plan), order.num_rows
    check_batches(total, num_shards, batch_size)
    rows, follows = sample_batches(order.core, layout, epoch, num_shards, batch_size)
    ids = (rows.mean(1) + 0.5) / total - 0.5
    by_group, by_file = places_in(rows, layout.group_sizes), places_in(rows, layout.file_sizes)
    return ShuffleQuality(
        order=order.describe(),
        num_rows=total,
        batch_size=batch_size,
        sampled_batches=len(rows),
        sorted_ids=mean_ratio(ids, (1 - 1 / total**2) / 12, total, batch_size),
        neighbours=neighbours(ids, follows),
        labels_100=run_ratio(rows, 100, total),
        labels_1000=run_ratio(rows, 1_000, total),
        labels_10000=run_ratio(rows, 10_000, total),
        in_row_group=mean_ratio(*by_group, total, batch_size),
        in_file=mean_ratio(*by_file, total, batch_size),
        pairs_again=pairs_again(order.core, layout, order.shuffle.windows, epoch, batch_size),
        column=column,
        column_values=None if column is None else column_ratio(order, settings, column, rows),
    )
