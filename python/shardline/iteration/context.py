"""Where a dataset stands: what it reads, how far it came, and its newest iterator."""

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from shardline._core import Legs, Plan
from shardline.errors import ShardlineRuntimeError, ShardlineValueError
from shardline.filters.row_filter import none_left
from shardline.iteration.guard import check_not_ahead
from shardline.iteration.iterator import BatchIterator
from shardline.iteration.report import EpochReport, epoch_report
from shardline.iteration.shared_dict import SharedDict
from shardline.iteration.torch_workers import Made, Replica, StartPlace, in_worker, publish, workers_iterate
from shardline.planning.epoch_order import EpochOrder, too_few_rows
from shardline.planning.shuffle import Shuffle
from shardline.reading.epoch_source import EpochSource, EpochSources
from shardline.settings import Settings
from shardline.state import format as state_format
from shardline.state.leg import Leg, legs_of
from shardline.state.progress import Place, Progress, Start
from shardline.state.resume import Resumption
from shardline.state.torchdata import WORKER

log = logging.getLogger("shardline")
_COSTLY = 4.0  # times the data read, from where on the log warns
_COSTLY_BYTES = 2**28
_MANY_ROWS = 100_000  # from where on a shuffle that mixes badly is worth a warning
_FEW_PLACES = 8


class EpochContext:
    """What an iterator needs of its dataset, and what it moves there.

    `sources`: of the epoch in hand and of later ones. `progress`: the place. `num_shards`: the run's V.
    """

    rows_are_in_order = True
    """Whether a batch has its rows in the order in which `rows_of_batch` tells them."""

    def __init__(
        self, settings: Settings, plan: Plan, seed: int, num_shards: int, shuffle: Shuffle | None = None
    ) -> None:
        """`shuffle`: as it was resolved when the run began, unless it begins here."""
        shuffle = shuffle or Shuffle.resolve(plan, settings, num_shards)
        order = EpochOrder(plan, settings.row_filter, shuffle, seed)
        sources = EpochSources.of(order, order, settings)
        if order.num_rows == 0 and settings.row_filter.rule:
            raise none_left(
                settings.row_filter,
                f"none of the {plan.num_rows:,} in {plan.num_files:,} file{'s' * (plan.num_files != 1)} does",
            )
        self._start(settings, sources, num_shards)

    def _start(self, settings: Settings, sources: EpochSources, num_shards: int) -> None:
        self.settings, self.sources = settings, sources
        self.num_shards = num_shards
        self.progress = Progress(self.whole_epoch(num_shards), settings.num_ranks)
        self.metrics: dict[str, float] = {}
        self.newest: Callable[[], BatchIterator | None] = _no_iterator
        self.reopen: Callable[[], None] = _nothing  # the newest iterator reads on from its place anew
        self.shared = SharedDict()
        self._replica: Replica | None = None
        self._cost_logged = False
        self.publish_place()

    def whole_epoch(self, num_shards: int) -> Legs:
        """The legs of a fresh epoch on the current order."""
        settings, rows = self.settings, self.current.order.num_rows
        try:
            return Legs.start(rows, num_shards, settings.batch_size, settings.drop_last)
        except ShardlineValueError as error:
            raise too_few_rows(error, rows, num_shards, settings, self.current.order.plan) from None

    def make_legs(self, legs: Sequence[Leg]) -> Legs:
        """These legs, on the current order."""
        return Legs(self.current.order.num_rows, list(legs))

    # What it says

    @property
    def current(self) -> EpochSource:
        """The source of the epoch in hand."""
        return self.sources.current

    def source_of(self, epoch: int) -> EpochSource:
        """The source of an epoch: a resumed epoch may keep to fewer files than later ones have."""
        return self.sources.current if epoch == self.progress.iterated_epoch else self.sources.fresh

    @property
    def replica(self) -> Replica | None:
        """This dataset's part in a worker of torch's own loaders; None in a process of its own."""
        if self._replica is None and in_worker():
            self._replica = Replica(self.shared)
        return self._replica

    def upcoming_place(self) -> StartPlace:
        """Where the next iterator begins."""
        progress = self.progress
        start = progress.upcoming()
        closed = progress.closed and start.epoch == progress.iterated_epoch
        legs = legs_of(start.legs.at(start.cursor))
        return StartPlace(start.epoch, legs, closed, self.num_shards, self.current.order.digest)

    # The state

    def state_dict(self) -> dict[str, Any]:
        """The job's state as of the last batch delivered; in a worker, with the worker's part of it."""
        progress = self.progress
        check_not_ahead(progress.is_ahead)
        state = self.state(progress.iterated_epoch, progress.ended, progress.leg_list())
        replica = self.replica
        if replica is None:
            if workers_iterate(self.shared):
                raise ShardlineRuntimeError(
                    "worker processes of a torch DataLoader iterate over copies of this dataset, so that the position "
                    "is not known here: take the state from a loader that counts what it delivers, "
                    "shardline.DataLoader(dataset, num_workers=…) or torchdata's StatefulDataLoader (and "
                    "shardline.job_state of its state)"
                )
        elif replica.base is not None:
            state = {**state, WORKER: replica.entry(self.settings.num_ranks)}
        return state

    def state(self, epoch: int, ended: bool, legs: Sequence[Leg]) -> dict[str, Any]:
        """The state of any place in an epoch."""
        order = self.source_of(epoch).order
        return state_format.build(
            order=order.entry,
            epoch=epoch,
            ended=ended,
            num_shards=self.num_shards,
            legs=legs,
            files=order.files,
            filter=order.filter,
            sample=order.sample,
            asked=self.progress.asked,
            left_out=order.left_out,
            source=order.source,
            pack=order.pack,
            mixture=self.mixture_entry(),
        )

    def mixture_entry(self) -> dict[str, Any] | None:
        """What is mixed, as a state holds it; None where rows are of one data set."""
        return None

    # What moves it

    def publish_place(self, made: Made | None = None) -> None:
        """The place was set. In the parent, workers see it at their next iter(); in a worker, it is this worker's."""
        replica = self.replica
        if replica is None:
            publish(self.shared, self.upcoming_place())
        else:
            replica.give(self.upcoming_place(), made or Made(0, False))

    def leaves(self, epoch: int) -> bool:
        """Whether `set_epoch(epoch)` leaves a place that was just loaded, which no copy has iterated from."""
        return self.progress.leaves(epoch) and not workers_iterate(self.shared)

    def set_epoch(self, epoch: int) -> None:
        """Begins `epoch` at its start, or keeps a place in it that a load or a seek has just set."""
        if workers_iterate(self.shared):
            self.progress.leave_place()
        if not self.progress.set_epoch(epoch):
            self.sources = self.sources.renewed()
        self.publish_place()

    def follow(self, epoch: int) -> None:
        """A framework, which counts epochs by itself, is about to begin `epoch`."""
        if not self.progress.follow(epoch):
            self.sources = self.sources.renewed()
        self.publish_place()

    def seek(self, step: int) -> None:
        """Moves forward to `step` of the epoch, or back to its start."""
        if self.progress.seek(step):
            self.sources = self.sources.renewed()
        self.publish_place()

    def leave_out(self, files: frozenset[str]) -> None:
        """Leaves these files out too, from the next iterator on.

        Raises:
            ShardlineRuntimeError: Batches of the epoch were delivered by the iterator in hand.
        """
        if self.progress.under_way or workers_iterate(self.shared):
            raise ShardlineRuntimeError(
                f"epoch {self.progress.epoch} is being iterated: leave files out before its first batch, or in its "
                "middle by load_state_dict(state_dict(), leave_out=[…])"
            )
        current, fresh = (source.order.left_out | files for source in self.sources)
        self.sources = self.sources.leaving_out(current, fresh)
        self.publish_place()

    def resume(self, found: Resumption, made: Made | None) -> None:
        """Takes the place of a saved state that fits. `made`: what a worker's state says it made."""
        self.sources = EpochSources.of(found.order, found.fresh, self.settings)
        self.num_shards = found.num_shards
        self.progress.load(found.first, found.epoch, found.legs, ended=found.ended, over=found.over, asked=found.asked)
        self.publish_place(made)

    def begin(self, start: Start) -> tuple[int, int]:
        """Takes the place that `upcoming()` found, for a new iterator; returns the iterator's (owner, mark)."""
        renewed = start.epoch != self.progress.iterated_epoch
        token = self.progress.begin(start)
        if renewed:
            self.sources = self.sources.renewed()
        self.publish_place()
        self.metrics.clear()
        return token

    def restart_at(self, base: StartPlace) -> None:
        """Takes the place that all workers of a loader have agreed on."""
        if base.digest != self.current.order.digest:
            raise ShardlineRuntimeError(
                "a state of other files, or of another order of them, was loaded while worker processes that persist "
                "had these open: make a new DataLoader after loading it"
            )
        self.num_shards = base.num_shards
        self.progress = Progress(self.whole_epoch(base.num_shards), self.settings.num_ranks)
        self.progress.restore(Place(base.epoch, base.legs, False, base.closed), self.make_legs(base.legs))

    def keep(self, iterator: BatchIterator) -> BatchIterator:
        """The newest iterator from now on."""
        self.newest = weakref.ref(iterator)
        return iterator

    def get_metrics(self) -> dict[str, float]:
        """The counters of the newest iterator's reader; before there is one, those of planning from a store."""
        iterator = self.newest()
        if iterator is not None:
            iterator.refresh_metrics()
        storage = self.settings.storage
        return {**(storage.planning() if storage else {}), **self.metrics}

    def report(self) -> EpochReport:
        """Where the time of the newest iterator's loop went."""
        return epoch_report(self.get_metrics(), self.settings.batch_size)

    def end(self) -> None:
        """An iterator has seen its epoch's end."""
        self.publish_place()
        if log.isEnabledFor(logging.INFO):
            report = self.report()
            log.info("epoch %d ended: %s; %s", self.progress.iterated_epoch, report.headline, report.verdict)

    def log_cost(self) -> None:
        """Logs how often the data is read, once, before the first read."""
        if self._cost_logged:
            return
        self._cost_logged = True
        order = self.current.order
        cost = order.read_cost(self.num_shards, self.settings.num_ranks)
        is_costly = order.plan.num_bytes > _COSTLY_BYTES and cost > _COSTLY
        log.log(
            logging.WARNING if is_costly else logging.INFO,
            "an epoch reads at most about %.1f times the data (%d shards x %d strands over %d row groups)%s",
            cost,
            self.num_shards,
            order.core.strands,
            order.plan.num_row_groups,
            "; fewer shards or strands, or smaller row groups, read less" if is_costly else "",
        )
        self._log_mixing(order)

    def _log_mixing(self, order: EpochOrder) -> None:
        """Warns where the shuffle settings leave sorted data badly mixed."""
        batch, windows = self.settings.batch_size, order.shuffle.windows
        places = order.places(batch)
        if (
            not order.shuffle.shuffle
            or windows == 1
            or order.num_rows < _MANY_ROWS
            or places >= min(_FEW_PLACES, batch)
        ):
            return
        log.warning(
            "the rows of a batch come from about %d places of the data: where rows are sorted by label, user or time, "
            "a batch of %d rows is worth about %.0f of a uniform shuffle. %s, or rewrite the data in random order "
            "once; shardline.shuffle_quality(loader) measures it",
            places,
            batch,
            1 / (1 / places + 1 / batch),
            f"Give shuffle_strands={_FEW_PLACES} or more" if windows else "Leave out shuffle_buffer_size=0",
        )


def _nothing() -> None:
    """Stands for `reopen` before there is an iterator."""


def _no_iterator() -> BatchIterator | None:
    """Stands for the weak reference to the newest iterator before there is one."""
    return None
