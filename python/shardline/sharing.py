"""The half of a dataset that lives in the workers of torch's own loaders: how a copy begins, and what its state is."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shardline._core import Legs, Projection
from shardline.errors import ShardlineRuntimeError
from shardline.iteration.batch_id import BatchId
from shardline.iteration.iterator import BatchIterator
from shardline.iteration.pipeline import apply_functions
from shardline.iteration.replica import Base, Copy, Made, in_worker, publish, workers_iterate
from shardline.iteration.shared_dict import SharedDict
from shardline.planning.epoch_order import EpochOrder
from shardline.reading.batch_source import open_share
from shardline.reading.convert import Convert
from shardline.reading.transform import Functions
from shardline.settings import Settings
from shardline.state.progress import Progress
from shardline.state.torchdata import WORKER


class Sharing:
    """What `StructuredDataset` does in a worker process, and what its workers are told by it in their parent."""

    _settings: Settings
    _line: EpochOrder
    _num_shards: int
    _projection: Projection
    _convert: Convert
    _progress: Progress
    _metrics: dict[str, float]
    _iterator: Callable[[], BatchIterator | None]
    _board: SharedDict
    _copied: Copy | None

    def _copy(self) -> Copy | None:
        """Which worker's copy this is; None in a process of one's own."""
        if self._copied is None and in_worker():
            self._copied = Copy(self._board)
        return self._copied

    def _here(self) -> Base:
        """Where the next iterator begins."""
        start = self._progress.upcoming()
        closed = self._progress.closed and start.epoch == self._progress.iterated_epoch
        legs = start.legs.at(start.cursor).legs
        return Base(start.epoch, legs, closed, self._num_shards, self._line.plan.digest)

    def _tell(self, made: Made | None = None) -> None:
        """The position was set: in the parent the workers hear of it, at their next iter()."""
        copy = self._copy()
        if copy is None:
            publish(self._board, self._here())
        else:
            copy.give(self._here(), made or Made(0, False))

    def _worker_state(self, job: dict[str, Any]) -> dict[str, Any]:
        """A state, and in a worker that worker's part of it; ShardlineRuntimeError where only workers know it."""
        copy = self._copy()
        if copy is None:
            if workers_iterate(self._board):
                raise ShardlineRuntimeError(
                    "worker processes of a torch DataLoader iterate over copies of this dataset, so that the position "
                    "is not known here: take the state from a loader that counts what it delivers, "
                    "shardline.DataLoader(dataset, num_workers=…) or torchdata's StatefulDataLoader (and "
                    "shardline.job_state of its state)"
                )
        elif copy.base is not None:
            job = {**job, WORKER: copy.entry(self._settings.num_ranks)}
        return job

    def _iterate_copy(self, copy: Copy) -> BatchIterator:
        """This worker's share of what its rank has to deliver."""
        settings = self._settings

        def fresh(num_shards: int) -> Legs:
            return Legs.start(self._line.order.num_rows, num_shards, settings.batch_size, settings.drop_last)

        base = copy.begin(self._here(), lambda num_shards: fresh(num_shards).legs)
        if base.digest != self._line.plan.digest:
            raise ShardlineRuntimeError(
                "a state of other files was loaded while worker processes that persist had these open: make a new "
                "DataLoader after loading it"
            )
        self._num_shards = base.num_shards
        self._progress = Progress(fresh(base.num_shards), settings.num_ranks)
        legs = Legs(self._line.order.num_rows, list(base.legs))
        self._progress.restore(base.epoch, legs, ended=False, closed=base.closed)
        start = self._progress.upcoming()
        share = copy.share(start, settings.rank, settings.num_ranks)
        source = None
        if share.steps:
            # All workers together use what one process would.
            settings = replace(
                settings,
                num_threads=max(1, settings.num_threads // copy.workers),
                prefetch_bytes=max(1, settings.prefetch_bytes // copy.workers),
            )
            reading = open_share(self._line, self._projection, self._convert, start.epoch, start.legs, share, settings)
            ids = BatchId(self._line.seed, start.epoch, start.legs.delivered_before, share, settings.num_ranks)
            source = apply_functions(reading, Functions(settings.transform, None), ids, None)
        self._metrics.clear()
        iterator = BatchIterator(copy, (copy.owner, copy.mark), share.steps, source, metrics=self._metrics)
        self._iterator = weakref.ref(iterator)
        return iterator
