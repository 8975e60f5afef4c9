"""A column's figure: its values in sampled batches, from one pass over the column in file order."""

import numpy as np
import pyarrow as pa

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.iteration.one_column import read_column
from shardline.planning.epoch_order import EpochOrder
from shardline.quality.figures import label_ratio, mean_ratio
from shardline.quality.sampling import Reals, Rows
from shardline.settings import Settings

_LABELS = 2**20


def column_ratio(order: EpochOrder, settings: Settings, column: str, rows: Rows) -> float:
    """The ratio for a column's values: for the mean of numbers and times, for the counts of all other values.

    Memory: the sampled rows and the distinct labels.

    Args:
        order: The order of the rows.
        settings: The loader's, for files, filters and threads.
        column: Its name.
        rows: The sampled rows, one line a batch.

    Raises:
        ColumnNotFoundError: There is no such column.
        ShardlineTypeError: The column holds lists or structs.
        ShardlineValueError: It has more than 1,048,576 distinct labels, or files are left out.
    """
    kept, back, num_rows = _read(order, settings, column, rows)
    return kept.ratio(back, num_rows)


def column_means(order: EpochOrder, settings: Settings, column: str, rows: Rows) -> tuple[Reals, float, float]:
    """(the means of a column of numbers in batches of rows, its mean and its variance over all rows).

    Nulls, NaN and infinity count as the mean. Arguments and errors are those of `column_ratio`.
    """
    kept, back, num_rows = _read(order, settings, column, rows)
    if not isinstance(kept, _Numbers):
        raise ShardlineTypeError(f"column={column!r} holds no numbers, so batches have no mean: give another column")
    values = np.where(np.isfinite(kept.kept), kept.kept, kept.mean)
    return values[back].mean(1), kept.mean, kept.squares / num_rows


def _read(order: EpochOrder, settings: Settings, column: str, rows: Rows) -> tuple["_Numbers | _Labels", Rows, int]:
    """(the values of these rows, the places of the rows among them, how many rows there are)."""
    if order.left_out:
        raise ShardlineValueError(f"column={column!r}: files are left out of this run, so the column cannot be read")
    wanted, back = np.unique(rows, return_inverse=True)
    values = _Numbers(len(wanted))
    labels = _Labels(column, len(wanted))
    kept: _Numbers | _Labels | None = None
    start = 0
    for batch in read_column(order, settings, column):
        array = batch.column(0)
        if kept is None:
            kept = values if _is_number(array.type, column) else labels
        low, high = np.searchsorted(wanted, [start, start + len(array)])
        kept.add(array, low, high, wanted[low:high] - start)
        start += len(array)
    if kept is None or start != order.num_rows:
        raise ShardlineValueError(f"column={column!r}: {start:,} of {order.num_rows:,} rows were read")
    return kept, back.reshape(rows.shape), start


def _is_number(kind: pa.DataType, column: str) -> bool:
    if pa.types.is_nested(kind):
        raise ShardlineTypeError(
            f"column={column!r} is {kind}: shuffle_quality takes numbers, times and labels. Give another column"
        )
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_temporal(kind)
    )


class _Numbers:
    """Numbers: their mean and variance over all rows. Nulls, NaN and infinity count as the mean."""

    def __init__(self, count: int) -> None:
        self.kept = np.zeros(count)
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, array: pa.Array, low: int, high: int, places: Rows) -> None:
        if pa.types.is_temporal(array.type):
            array = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
        found = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        self.kept[low:high] = found[places]
        found = found[np.isfinite(found)]
        if len(found):  # Chan, Golub and LeVeque: the moments of two sets of numbers together
            mean, total = float(found.mean()), self.count + len(found)
            step = mean - self.mean
            self.squares += float(((found - mean) ** 2).sum()) + step**2 * self.count * len(found) / total
            self.mean += step * len(found) / total
            self.count = total

    def ratio(self, back: Rows, num_rows: int) -> float:
        values = np.where(np.isfinite(self.kept), self.kept - self.mean, 0.0)
        return mean_ratio(values[back].mean(1), self.squares / num_rows, num_rows, back.shape[1])


class _Labels:
    """Labels: how many rows have each. Null is one of them."""

    def __init__(self, column: str, count: int) -> None:
        self.column = column
        self.kept = np.zeros(count, np.int64)
        self.codes: dict[object, int] = {}
        self.counts = np.zeros(_LABELS, np.int64)

    def add(self, array: pa.Array, low: int, high: int, places: Rows) -> None:
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode(null_encoding="encode")
        local = [self.codes.setdefault(label, len(self.codes)) for label in [*array.dictionary.to_pylist(), None]]
        if len(self.codes) > _LABELS:
            raise ShardlineValueError(
                f"column={self.column!r} has more than {_LABELS:,} distinct labels: give a column with fewer"
            )
        indices = array.indices.fill_null(len(local) - 1).to_numpy(zero_copy_only=False)
        found = np.array(local, np.int64)[indices]
        self.kept[low:high] = found[places]
        self.counts[: len(self.codes)] += np.bincount(found, minlength=len(self.codes))

    def ratio(self, back: Rows, num_rows: int) -> float:
        return label_ratio(self.kept[back], self.counts[: len(self.codes)] / num_rows, num_rows)
