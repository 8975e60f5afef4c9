"""Where a mixture stands: as any data set, with legs of its own; and weights that are set on the way."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from shardline._core import Legs, MixedLegs
from shardline.errors import ShardlineRuntimeError, ShardlineValueError
from shardline.iteration.context import EpochContext
from shardline.iteration.torch_workers import Made, workers_iterate
from shardline.mixture.opening import OpenedSource
from shardline.mixture.order import MixedSource
from shardline.mixture.resume import MixedResumption
from shardline.mixture.run import MixtureRun
from shardline.planning.shuffle import Shuffle
from shardline.reading.epoch_source import EpochSources
from shardline.settings import Settings
from shardline.state.leg import Leg


class MixtureContext(EpochContext):
    """What an iterator needs of a mixture, and what it moves there."""

    rows_are_in_order = False  # but in that of a key

    def __init__(
        self,
        settings: Settings,
        run: MixtureRun,
        opened: list[OpenedSource],
        seed: int,
        num_shards: int,
        shuffles: list[Shuffle],
    ) -> None:
        """`opened`, `shuffles`: by number, as the run's sources are."""
        self.run = run
        self.opened, self.shuffles = opened, shuffles
        source = MixedSource.of(opened, shuffles, settings, seed, run.schedule)
        self._start(settings, _both(source), num_shards)

    def whole_epoch(self, num_shards: int) -> Legs:
        """The legs of a fresh epoch.

        Raises:
            ShardlineValueError: It would have no step, or a source has too few rows for the shards.
        """
        settings, run = self.settings, self.run
        for each in run.saved.sources:
            goal = each.rows if each.epochs is None else int(each.epochs * each.rows)
            if goal < num_shards and (each.epochs is not None or run.saved.stop is not None):
                what = f"epochs={each.epochs:g}" if each.epochs is not None else f"stop={run.saved.stop!r}"
                raise ShardlineValueError(
                    f"source {each.name!r} has {goal:,} row{'s' * (goal != 1)} to deliver ({what}), fewer than the "
                    f"{num_shards:,} shards: give fewer (num_shards=), or leave {what.split('=')[0]}= out"
                )
        ranks = settings.num_ranks
        legs = MixedLegs.start(run.core(), ranks, num_shards, settings.batch_size, settings.drop_last)
        if legs.is_endless and run.saved.stop is not None:
            raise ShardlineValueError(
                f"stop={run.saved.stop!r} is never reached: a source has weight 0 from some batch on, before it has "
                "delivered its rows. Give batches=, rows= or tokens= too, or a weight"
            )
        return cast(Legs, legs)

    def make_legs(self, legs: Sequence[Leg]) -> Legs:
        """These legs, of the present mixture."""
        return cast(Legs, MixedLegs(self.run.core(), self.settings.num_ranks, list(legs)))

    @property
    def legs(self) -> MixedLegs:
        """Those of the epoch in hand, at the cursor."""
        return cast(MixedLegs, self.progress.legs())

    @property
    def delivered(self) -> int:
        """Batches of all ranks in the epoch in hand."""
        legs = self.progress.legs()
        return legs.delivered_before + legs.delivered

    def mixture_entry(self) -> dict[str, Any]:
        """What is mixed, as a state holds it."""
        return self.run.saved.plain()

    def leave_out(self, files: frozenset[str]) -> None:
        """Refuses: see `MixedOrder.leaving_out`."""
        if files:
            self.sources.current.order.leaving_out(files)

    def resume(self, found: Any, made: Made | None) -> None:
        """Takes the place of a saved state that fits."""
        assert isinstance(found, MixedResumption)
        self.run, self.opened, self.shuffles = found.run, found.opened, found.shuffles
        self.sources = _both(found.source)
        self.num_shards = found.num_shards
        self.progress.load(found.first, found.epoch, found.legs, ended=found.ended, over=found.over, asked=found.asked)
        self.publish_place(made)

    def set_weights(self, weights: Mapping[str, float], at: int | None) -> None:
        """Other weights from a batch of the job on.

        Raises:
            ShardlineValueError: A rank may have delivered the batch, or a name is not known.
            ShardlineRuntimeError: Workers of torch's own loaders iterate over copies.
        """
        if workers_iterate(self.shared):
            raise ShardlineRuntimeError(
                "set_weights: worker processes of a torch DataLoader iterate over copies of this mixture, which do not "
                "hear of it: set weights between epochs, or iterate over shardline.DataLoader"
            )
        delivered = self.delivered
        at = delivered if at is None else at
        if at < delivered:
            raise ShardlineValueError(
                f"set_weights(at={at:,}) would change the past: {delivered:,} batches of the job were delivered. Give "
                "a later one, or leave at= out"
            )
        run = self.run.with_weights(self.legs.row_of(at), dict(weights))
        before, self.run = self.run, run
        try:
            first, legs = self.whole_epoch(self.num_shards), self.make_legs(self.progress.leg_list())
        except ShardlineValueError:
            self.run = before
            raise
        self.sources = _both(cast(MixedSource, self.sources.current).scheduled(run.schedule))
        under_way = self.progress.under_way
        self.progress.reweigh(first, legs)
        self.publish_place()
        if under_way:
            self.reopen()

    def log_cost(self) -> None:
        """Nothing: what is read of a source depends on its weight."""


def _both(source: MixedSource) -> EpochSources:
    """Of all epochs."""
    return EpochSources(cast(Any, source), cast(Any, source))
