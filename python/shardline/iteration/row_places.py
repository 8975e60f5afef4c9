"""Which rows of the files a batch is made of, by arithmetic; and which of them an error of a transform is about."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from shardline.errors import RowError, ShardlineError
from shardline.iteration.batch_id import BatchId
from shardline.iteration.context import EpochContext
from shardline.reading.batch_source import BatchSource


def rows_of_batch(context: EpochContext, step: int, rank: int, epoch: int | None, resolve: bool) -> list[Any]:
    """The rows of a batch: (file name, row group, first row, end row), in the batch's order.

    Of packed sequences, the pieces of documents: see `StructuredDataset.rows_at`. `epoch`: that of the newest iterator
    where it is None. `resolve`: rows are numbered among all of the row group, not among those that pass the filter.

    Raises:
        ShardlineValueError: There is no such step.
    """
    at, intervals = context.progress.batch_at(context.current.order.num_rows, step, rank, epoch)
    source = context.source_of(at)
    order = source.order
    rows = order.core.rows(at, intervals)
    if order.pack is not None:
        storage = context.settings.storage
        found = source.projection.origins(
            order.plan, rows, draw=order.draw(at), selector=order.selector, storage=storage
        )
        return [(order.names[piece[0]], *piece[1:]) for pieces in found for piece in pieces]
    if resolve and order.selector is not None:
        rows = order.selector.resolve(order.plan, rows)
    named = [(order.names[file], group, first, end) for file, group, first, end in rows]
    return [row for row in named if row[0] not in order.left_out]


def _place_of(row: int, rows: Sequence[tuple[str, int, int, int]]) -> str | None:
    """Where the `row`-th of these rows is."""
    for file, group, first, end in rows:
        if row < end - first:
            return f"it is row {first + row} of row group {group} of {file}"
        row -= end - first
    return None


class LocatedBatches:
    """A source's batches; an error about a row of one (`RowError`) says which row of which file that is.

    `ids`: which batches of the epoch they are.
    """

    def __init__(self, source: BatchSource, context: EpochContext, ids: BatchId) -> None:
        self._source = source
        self._context = context
        self._ids = ids
        self._taken = 0

    def get(self) -> Any:
        """As `BatchSource`'s."""
        try:
            return self._source.get()
        except RowError as error:
            with suppress(ShardlineError):  # the error in hand is the one to tell
                self._locate(error)
            raise

    def _locate(self, error: RowError) -> None:
        context = self._context
        if (
            error.row is None
            or error.located
            or not context.rows_are_in_order
            or context.current.order.pack is not None
        ):
            return
        step, rank = divmod(self._ids.number(self._taken), self._ids.num_ranks)
        rows = rows_of_batch(context, step, rank, self._ids.epoch, resolve=True)
        # A transform that was given fewer rows, or more, counts other rows.
        if error.rows == sum(end - first for _, _, first, end in rows):
            place = _place_of(error.row, rows)
            if place is not None:
                error.args = (f"{str(error).rstrip()}; {place}",)
                error.located = True

    def advance(self) -> None:
        """As `BatchSource`'s."""
        self._source.advance()
        self._taken += 1

    def metrics(self) -> dict[str, float]:
        """As `BatchSource`'s."""
        return self._source.metrics()

    def close(self) -> None:
        """As `BatchSource`'s."""
        self._source.close()
