"""Pictures, for people who would rather look than read: `shardline.plot`, with `pip install 'shardline[plot]'`.

Each function returns a matplotlib `Figure`, which a notebook shows and `figure.savefig(path)` writes.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from shardline.errors import ShardlineImportError, ShardlineTypeError, ShardlineValueError
from shardline.inspection.files import inspect
from shardline.loader import DataLoader
from shardline.options.validate import Paths
from shardline.quality.column import column_means
from shardline.quality.report import measured_order
from shardline.quality.sampling import EPOCHS, Layout, sample_batches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 20_000
_STRETCHES = 400
_DRAWN = 400
"""Steps that are drawn one by one; of more, means of as many as it takes."""
_COLORS = {"training": "#9aa5b1", "transform": "#e0862f", "decoding": "#3b7dd8", "making tensors": "#58a55c"}


def shuffle_quality(loader: Any, column: str | None = None, *, batch_size: int | None = None) -> "Figure":
    """How an order mixes its rows: where on the line each row of the data comes, and the means of batches.

    Left, a uniform shuffle is an even cloud; rows in file order are a line. Right, 95 in 100 batches of a uniform
    shuffle have a mean within the band.

    Args:
        loader: What `shardline.shuffle_quality` takes.
        column: A column of numbers, whose batch means are drawn; by default the rows' numbers.
        batch_size: Another batch size than the loader's.

    Raises:
        ShardlineImportError: matplotlib is not installed.
        ShardlineTypeError: The column holds no numbers.
        ShardlineValueError: There are fewer than two full batches.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(10_000)}), path, row_group_size=500)
    >>> figure = shuffle_quality(DataLoader(path, batch_size=100, shuffle=True), "x")
    >>> [axes.get_title() for axes in figure.axes]
    ['Where rows come', 'Means of batches: x']
    """
    figure = _figure(10, 4.2)
    order, settings, shards, rows_of_batch, epoch = measured_order(loader, batch_size)
    total, layout = order.num_rows, Layout(order.plan)
    length = total if total <= _POINTS else _POINTS // _STRETCHES
    starts = np.unique(np.linspace(0, total - length, _STRETCHES).astype(np.int64))
    positions = np.concatenate([np.arange(start, start + length) for start in starts])
    rows = layout.rows(order.core.rows(epoch, [(int(start), int(start) + length) for start in starts]))
    batches, _ = sample_batches(order.core, layout, epoch, shards, rows_of_batch)
    if column is None:
        means, center, variance = batches.mean(1), (total - 1) / 2, (total**2 - 1) / 12
    else:
        means, center, variance = column_means(order, settings, column, batches)
    spread = 1.96 * np.sqrt(variance / rows_of_batch * (total - rows_of_batch) / max(1, total - 1))

    left, right = figure.subplots(1, 2)
    left.scatter(positions, rows, s=1, color=_COLORS["decoding"], linewidths=0)
    left.set(title="Where rows come", xlabel="position on the line", ylabel="row in the data")
    left.set(xlim=(0, total), ylim=(0, total))
    right.axhspan(center - spread, center + spread, color=_COLORS["training"], alpha=0.4, label="95% if uniform")
    right.scatter(np.arange(len(means)), means, s=4, color=_COLORS["transform"], label=f"batches of {rows_of_batch:,}")
    right.set(
        title=f"Means of batches: {column or 'row number'}", xlabel=f"sampled batch, {EPOCHS} epochs", ylabel="mean"
    )
    right.legend(loc="best", fontsize="small")
    for axis in (left.xaxis, left.yaxis, right.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    left.tick_params(axis="x", labelrotation=20)
    figure.suptitle(f"{total:,} rows, {order.describe()}", fontsize="medium")
    return figure


def row_groups(path: Paths, **options: Any) -> "Figure":
    """The sizes of the row groups: how many rows they have, and how many bytes decompressed, one point each.

    Args:
        path: The data, as `shardline.inspect` takes them.
        options: Of `shardline.inspect`: `storage_options`, `num_threads`.

    Raises:
        ShardlineImportError: matplotlib is not installed.
        ShardlineValueError: No row group has rows.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(1000)}), path, row_group_size=300)
    >>> [len(axes.collections[0].get_offsets()) for axes in row_groups(path).axes]
    [4, 4]
    """
    figure = _figure(10, 4.2)
    groups = [group for group in inspect(path, sample=False, **options).survey.groups if group.rows]
    if not groups:
        raise ShardlineValueError(f"{path}: no row group has rows, so that there is nothing to draw")
    rows, sizes = [group.rows for group in groups], [group.uncompressed for group in groups]
    unit = min(3, int(np.log2(max(sizes)) // 10)) if max(sizes) else 0
    sized = (f"decompressed {('bytes', 'KiB', 'MiB', 'GiB')[unit]}", [each / 1024**unit for each in sizes])
    for axes, (what, values) in zip(figure.subplots(1, 2), (("rows", rows), sized), strict=True):
        axes.scatter(range(len(values)), values, s=6, color=_COLORS["decoding"])
        axes.axhline(float(np.median(values)), color=_COLORS["transform"], linewidth=1)
        axes.set(title=f"{what[0].upper()}{what[1:]} of each row group", xlabel="row group, in file order", ylabel=what)
        axes.set_ylim(0, 1.1 * max(values))
    figure.suptitle(f"{len(groups):,} row groups; the line is the median", fontsize="medium")
    return figure


class Step(NamedTuple):
    """Where the seconds of a step went."""

    training: float
    transform: float
    decoding: float
    delivery: float


class Timeline:
    """Iterates over a loader, and keeps where the time of every step went, for `timeline`.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(1000)}), path)
    >>> times = Timeline(DataLoader(path, batch_size=100))
    >>> for batch in times:
    ...     pass
    >>> len(times.steps)
    10
    """

    def __init__(self, loader: DataLoader) -> None:
        if not isinstance(loader, DataLoader):
            raise ShardlineTypeError(f"loader must be a shardline.DataLoader, not {type(loader).__name__}")
        self._loader = loader
        self.steps: list[Step] = []

    def __iter__(self) -> Iterator[Any]:
        self.steps = []
        before: dict[str, float] = {}
        for batch in self._loader:
            now = self._loader.get_metrics()
            taken = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in _COUNTERS}
            before = now
            decoding = min(taken["wait_seconds"], taken["next_seconds"])
            transform = min(taken["transform_seconds"], taken["next_seconds"] - decoding)
            asked = perf_counter()
            yield batch
            rest = max(0.0, taken["next_seconds"] - decoding - transform)
            self.steps.append(Step(perf_counter() - asked, transform, decoding, rest))


_COUNTERS = ("next_seconds", "wait_seconds", "transform_seconds")


def timeline(times: Timeline) -> "Figure":
    """An epoch, step by step: the training, and waiting for the transform, for decoding and for making tensors.

    Args:
        times: A `Timeline` that was iterated over.

    Raises:
        ShardlineImportError: matplotlib is not installed.
        ShardlineValueError: There was no step.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(1000)}), path)
    >>> times = Timeline(DataLoader(path, batch_size=100))
    >>> for batch in times:
    ...     pass
    >>> timeline(times).axes[0].get_xlabel()
    'step'
    """
    if not times.steps:
        raise ShardlineValueError("the timeline has no steps: iterate over it first (for batch in times: …)")
    figure = _figure(10, 4)
    axes = figure.subplots()
    together = -(-len(times.steps) // _DRAWN)
    first = np.arange(0, len(times.steps), together)
    counts = np.diff([*first, len(times.steps)])
    parts = np.add.reduceat(np.array(times.steps) * 1000, first).T / counts
    axes.stackplot(first, parts, labels=list(_COLORS), colors=_COLORS.values(), step="mid")
    title = "Where the time of each step went" + (f" (means of {together} steps)" if together > 1 else "")
    axes.set(title=title, xlabel="step", ylabel="ms")
    heights = parts.sum(0)
    top = 2 * float(np.quantile(heights, 0.98))
    if 0 < top < heights.max():
        axes.set_ylim(0, top)
        above = heights > top
        said = f"{above.sum():,} higher, up to {heights.max():,.0f} ms"
        axes.scatter(first[above], np.full(above.sum(), 0.98 * top), marker="^", s=12, color="#444", label=said)
    axes.legend(loc="best", fontsize="small")
    axes.margins(x=0)
    return figure


def _figure(width: float, height: float) -> "Figure":
    """Without pyplot, which would keep every figure, and need a screen."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ShardlineImportError("pictures need matplotlib: pip install 'shardline[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained")
