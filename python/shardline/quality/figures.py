"""Ratios of batch statistics to those of a uniform shuffle: batches drawn from all rows without replacement."""

import numpy as np
import numpy.typing as npt

from shardline.quality.sampling import Reals, Rows


def uniform_variance(variance: float, num_rows: int, batch_size: int) -> float:
    """The variance of a uniform batch's mean, of values with this variance."""
    return variance / batch_size * (num_rows - batch_size) / max(1, num_rows - 1)


def mean_ratio(deviations: Reals, variance: float, num_rows: int, batch_size: int) -> float:
    """The standard deviation of batch means about the known mean, divided by that under a uniform shuffle.

    NaN where all values are equal: there is nothing to mix.
    """
    expected = uniform_variance(variance, num_rows, batch_size)
    return float(np.sqrt((deviations**2).mean() / expected)) if expected > 0 else float("nan")


def neighbours(deviations: Reals, follows: npt.NDArray[np.bool_]) -> float:
    """The correlation of a batch's mean with that of the next batch."""
    one, other = deviations[:-1][follows], deviations[1:][follows]
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale else float("nan")


def places_in(rows: Rows, sizes: Rows) -> tuple[Reals, float]:
    """Of batches: the deviation of the mean place in a part (a row group, a file; 0 to 1), and its variance."""
    starts = np.concatenate([[0], sizes.cumsum()])[:-1]
    part = np.searchsorted(starts, rows, "right") - 1
    deviations = ((rows - starts[part] + 0.5) / sizes[part]).mean(1) - 0.5
    return deviations, float((sizes * (1 - 1 / sizes.astype(float) ** 2)).sum() / 12 / sizes.sum())


def label_ratio(codes: Rows, shares: Reals, num_rows: int) -> float:
    """The root mean square deviation of batches' label counts, divided by that under a uniform shuffle.

    The same as the ratio for the mean of a value that each label has, over all random values: no values are drawn.

    Args:
        codes: The label of each row, one line a batch.
        shares: Each label's share of all rows.
        num_rows: All rows.
    """
    size = codes.shape[1]
    squares = np.array([(np.unique(line, return_counts=True)[1].astype(float) ** 2).sum() for line in codes]) / size**2
    spread = squares - 2 * shares[codes].mean(1) + (shares**2).sum()
    expected = uniform_variance(1 - float((shares**2).sum()), num_rows, size)
    return float(np.sqrt(max(0.0, spread.mean()) / expected)) if expected > 1e-15 else float("nan")


def run_ratio(rows: Rows, runs: int, num_rows: int) -> float:
    """`label_ratio` of labels that stand in equal contiguous runs, each label in one."""
    runs = min(runs, num_rows)
    borders = -(-np.arange(runs + 1) * num_rows // runs)
    return label_ratio(rows * runs // num_rows, np.diff(borders) / num_rows, num_rows)
