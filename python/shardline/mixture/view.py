"""What a mixture has taken of each source, by arithmetic."""

from typing import NamedTuple

from shardline.errors import ShardlineValueError
from shardline.mixture.context import MixtureContext
from shardline.mixture.schedule import weights_at
from shardline.options import validate


class SourceCount(NamedTuple):
    """What was taken of a source."""

    rows: int
    tokens: int | None
    """Where rows are packed sequences: their places, padding among them. None elsewhere."""
    epochs: float
    weight: float
    """Of the next batch, beside the weights of the others."""


class MixtureView:
    """The sources of a loader's mixture, and what was taken of them: `loader.mixture`."""

    def __init__(self, context: MixtureContext) -> None:
        self._context = context

    @property
    def names(self) -> list[str]:
        """The sources, in the order in which they joined: `batch["source"]` has these numbers."""
        return list(self._context.run.names)

    def at(self, batch: int | None = None) -> dict[str, SourceCount]:
        """What the job has taken of each source in the epoch in hand, before one of its batches.

        Args:
            batch: Counted over all ranks; the next one by default.

        Returns:
            Rows, tokens and epochs of each source, and its weight, by name.

        Raises:
            ShardlineValueError: The epoch has no such batch.
        """
        context = self._context
        progress = context.progress
        legs = context.legs
        last = legs.delivered_before + legs.num_batches
        batch = context.delivered if batch is None else validate.check_int("batch", batch, 0, 2**62)
        if batch > last:
            raise ShardlineValueError(f"batch {batch:,} is not in epoch {progress.iterated_epoch}, which has {last:,}")
        weights = weights_at(context.run.saved.schedule, legs.row_of(batch))
        pack = context.settings.pack
        sources = zip(context.run.saved.sources, legs.taken(batch), weights, strict=True)
        return {
            source.name: SourceCount(rows, None if pack is None else rows * pack.seq_len, rows / source.rows, weight)
            for source, rows, weight in sources
        }

    def __repr__(self) -> str:
        lines = [
            f"  {name}: weight {count.weight:g}, {count.rows:,} rows, {count.epochs:.2f} epochs"
            for name, count in self.at().items()
        ]
        return "\n".join([f"a mixture of {len(lines):,} sources", *lines])
