"""Files that are left out of a run because they are damaged or gone.

Their rows keep their positions on the line, so that steps, shards and ranks stay as they are; the batches that would
hold them are shorter.
"""

import warnings
from collections.abc import Collection, Sequence

from shardline._core import Legs, Plan
from shardline.errors import ShardlineFileNotFoundError, ShardlineTypeError
from shardline.planning.epoch_order import EpochOrder

_NAMED = 5


def file_names(files: Sequence[str], plan: Plan, known: Collection[str]) -> frozenset[str]:
    """The names, relative to the plan's root, of files given by name or by path.

    Args:
        files: Names as `plan.files()` has them, or paths.
        plan: Its root is what names are relative to.
        known: The names that there are.

    Raises:
        ShardlineFileNotFoundError: A file is not in the plan.
        ShardlineTypeError: `files` is not a list of strings.
    """
    if isinstance(files, str) or not all(isinstance(file, str) for file in files):
        raise ShardlineTypeError(f"leave_out must be a list of file names, not {files!r}")
    root = plan.root.rstrip("/") + "/"
    found = {file if file in known else file.removeprefix(root) for file in files}
    unknown = sorted(found.difference(known))
    if unknown:
        raise ShardlineFileNotFoundError(
            f"leave_out: this run has no file {unknown[0]!r}; give names relative to {plan.root}, as in "
            f"dataset.plan.files(), such as {min(known)!r}"
        )
    return frozenset(found)


def warn_of(order: EpochOrder, epoch: int, legs: Legs, *, stacklevel: int) -> None:
    """Says what is left out, and how many batches hold no row."""
    rows = sum(count for name, count, _ in order.plan.files() if name in order.left_out)
    empty = legs.batches_within(order.left_out_positions(epoch))
    names = ", ".join(sorted(order.left_out)[:_NAMED]) + (", …" if len(order.left_out) > _NAMED else "")
    warnings.warn(
        f"{len(order.left_out):,} files with {rows:,} of {order.plan.num_rows:,} rows are left out of every epoch: "
        f"{names}. Their batches are shorter; positions, steps and ranks stay. {empty:,} batches of all ranks in the "
        f"rest of epoch {epoch} have 0 rows: a mean over no rows is NaN, so divide a sum of losses by max(1, rows)",
        RuntimeWarning,
        stacklevel=stacklevel + 1,
    )
