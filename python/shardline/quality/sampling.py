"""Samples of an order: the rows of some batches, and the parts of the data that some windows take.

Rows are numbered in file order, 0 … N-1, among those that are on the line. One call of `Order.rows` a stretch: every
call computes the permutation of the window that it begins in.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shardline._core import Order, Plan

Rows = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

EPOCHS = 3
_STRETCHES = 48  # an epoch
_STRETCH_BATCHES = 8
_STRETCH_ROWS = 2**16
_EPOCH_ROWS = 2**21
_WINDOWS = 32  # an epoch, in two epochs
_WINDOW_ROWS = 4096
_PARTS = 64  # of the line, where windows are smaller than batches
_GAP = 16  # mean gaps between sampled rows: in a window of 4,096 samples, a run of rows has no gap as long as this


class Layout:
    """Where the row groups and files of a plan begin, in rows on the line. `starts`, `sizes`: those with rows only."""

    def __init__(self, plan: Plan) -> None:
        passing, counts = np.array(plan.passing_rows, np.int64), plan.group_counts
        self.num_rows = int(passing.sum())
        self.all_starts = np.concatenate([[0], passing.cumsum()])[:-1]
        self.first_group = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)[:-1]
        self.group_sizes = passing[passing > 0]
        ends = np.concatenate([[0], passing.cumsum()])[np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)]
        files = np.diff(ends)
        self.file_sizes = files[files > 0]

    def runs(self, slices: Sequence[tuple[int, int, int, int]]) -> tuple[Rows, Rows]:
        """(first rows, end rows) of slices as `Order.rows` gives them."""
        file, group, first, end = np.array(slices, np.int64).reshape(-1, 4).T
        start = self.all_starts[self.first_group[file] + group]
        return start + first, start + end

    def rows(self, slices: Sequence[tuple[int, int, int, int]]) -> Rows:
        """The row numbers of slices, in their order."""
        first, end = self.runs(slices)
        sizes = end - first
        ahead = np.concatenate([[0], sizes.cumsum()])[:-1]
        return np.repeat(first - ahead, sizes) + np.arange(sizes.sum())


def sample_batches(
    order: Order, layout: Layout, epoch: int, num_shards: int, batch_size: int
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Full batches of fresh epochs, from stretches spread evenly over the line of three epochs, or all of them.

    Returns:
        The rows, one line a batch; and whether each batch but the last is followed by the next batch of its shard.
    """
    total = order.num_rows
    shard_batches = total // num_shards // batch_size
    length = min(shard_batches, max(2, min(_STRETCH_BATCHES, _STRETCH_ROWS // batch_size)))
    starts = [(shard, batch) for shard in range(num_shards) for batch in range(0, shard_batches, length)]
    wanted = max(16, min(_STRETCHES, _EPOCH_ROWS // (length * batch_size)))
    found, follows = [], []
    for number in range(EPOCHS):
        count = min(wanted, len(starts))
        for i in range(count):
            shard, batch = starts[(i * EPOCHS + number) * len(starts) // (count * EPOCHS)]
            begin = shard * total // num_shards + batch * batch_size
            batches = min(length, shard_batches - batch)
            slices = order.rows(epoch + number, [(begin, begin + batches * batch_size)])
            found.append(layout.rows(slices).reshape(batches, batch_size))
            follows += [True] * (batches - 1) + [False]
    return np.concatenate(found), np.array(follows[:-1], bool)


def pairs_again(order: Order, layout: Layout, windows: int, epoch: int, batch_size: int) -> float:
    """Pairs of rows that share a neighbourhood in an epoch and in the next one, divided by chance.

    A neighbourhood is a window, or 1/64 of the line where there are none, or where they are smaller than a batch. Of at
    most 32 windows an epoch, 4,096 rows show which parts of the data they take, and how densely.
    """
    total = order.num_rows
    by_window = windows > 0 and total // windows >= batch_size
    count = windows if by_window else max(1, min(_PARTS, total // batch_size))
    chosen = range(count) if count <= _PARTS else [i * count // _WINDOWS for i in range(_WINDOWS)]
    sizes = np.array([(t + 1) * total // count - t * total // count for t in chosen], np.float64)

    def parts(number: int, t: int) -> tuple[Reals, Reals, Reals]:
        begin, end = t * total // count, (t + 1) * total // count
        if not windows:
            intervals = [(begin, end)]
        elif by_window:
            intervals = [(begin, min(end, begin + _WINDOW_ROWS))]  # rows of a window stand in random order
        else:
            places = [begin + i * (end - begin) // _PARTS for i in range(_PARTS + 1)]
            intervals = [(a, min(b, a + _WINDOW_ROWS // _PARTS)) for a, b in pairwise(places)]
        first, last = layout.runs(order.rows(number, intervals))
        return _dense(first, last, end - begin)

    return overlap([parts(epoch, t) for t in chosen], [parts(epoch + 1, t) for t in chosen], sizes, total)


def _dense(first: Rows, end: Rows, size: int) -> tuple[Reals, Reals, Reals]:
    """The disjoint runs of rows that `size` rows consist of, from a sample of them, and the density in each."""
    along = np.argsort(first)
    first, end = first[along], end[along]
    weight = size / int((end - first).sum())  # rows that a sampled row stands for
    new = np.concatenate([[True], first[1:] - end[:-1] >= _GAP * max(weight, 1 / _GAP)])
    begins, ends = first[new], end[np.concatenate([new[1:], [True]])]
    held = np.add.reduceat(end - first, np.flatnonzero(new)) * weight
    margin = (weight - 1) / 2  # a run begins about half a gap before its first sampled row
    low, high = begins - margin, ends + margin
    return low, high, held / (high - low)


def overlap(
    one: Sequence[tuple[Reals, Reals, Reals]],
    other: Sequence[tuple[Reals, Reals, Reals]],
    sizes: Reals,
    total: int,
) -> float:
    """The sum of |A ∩ B|² over neighbourhoods A of one epoch and B of another, divided by what chance gives."""
    borders = np.unique(np.concatenate([np.concatenate(part[:2]) for part in (*one, *other)]))
    lengths = np.diff(borders)

    def densities(parts: Sequence[tuple[Reals, Reals, Reals]]) -> Reals:
        lines = np.zeros((len(parts), len(borders)))
        for line, (low, high, density) in zip(lines, parts, strict=True):
            np.add.at(line, np.searchsorted(borders, low), density)
            np.add.at(line, np.searchsorted(borders, high), -density)
        return lines.cumsum(1)[:, :-1]

    shared = (densities(one) * lengths) @ densities(other).T
    return float((shared**2).sum() / ((sizes**2).sum() ** 2 / total**2))
