"""How a dataset begins to iterate in a process of its own: where, at what cost, and what runs on the batches."""

import logging
import warnings
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from shardline.distributed.state_check import Agreement
from shardline.iteration.batch_id import BatchId
from shardline.iteration.iterator import BatchIterator, Finish
from shardline.iteration.pipeline import MakePool, apply_functions
from shardline.reading.batch_source import BatchStride, open_share
from shardline.reading.transform import Functions
from shardline.sharing import Sharing
from shardline.standing import Source

log = logging.getLogger("shardline")
_COSTLY = 4.0  # times the data read, from where on the log warns
_COSTLY_BYTES = 2**28


class Iterating(Sharing):
    """The iterating half of `StructuredDataset`."""

    _cost_logged: bool
    _agreement: Agreement | None
    _fresh: Source

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The job's state."""

    def __iter__(self) -> Iterator[Any]:
        return self.iterate()

    def iterate(
        self,
        collate_fn: Callable[[Any], Any] | None = None,
        finish: Finish | None = None,
        progress: Callable[[int, int], Any] | None = None,
        workers: MakePool | None = None,
    ) -> BatchIterator:
        """An iterator from the place where the next epoch, or the rest of this one, begins.

        `collate_fn` and then `finish` are applied to a batch before it counts as delivered; `progress(steps done, steps
        in all)` makes a bar. `workers`: makes the processes that run transform and collate_fn; whether they persist.
        """
        self._log_cost()
        copy = self._copy()
        if copy is not None:
            return self._iterate_copy(copy)
        settings, position = self._settings, self._progress
        if self._agreement is not None:
            self._agreement.check(self.state_dict())
        start = position.upcoming()
        data = self._fresh
        if start.epoch == position.iterated_epoch:
            data = Source(self._line, self._projection, self._convert)
        share = BatchStride(start.cursor + settings.rank, settings.num_ranks, start.steps)
        reading = None
        if start.steps:
            reading = open_share(*data, start.epoch, start.legs, share, settings)
        older = self._iterator()
        if older is not None:
            older.close()
        if start.thrown_back > 1:
            warnings.warn(
                f"iter() before epoch {start.epoch} was over starts again where the last one started: "
                f"{start.thrown_back} batches are delivered again. To go on instead, first call "
                "load_state_dict(state_dict()); to begin another epoch, set_epoch()",
                RuntimeWarning,
                stacklevel=3,
            )
        functions = Functions(settings.transform, collate_fn)
        source = None
        if reading is not None:
            ids = BatchId(data.line.seed, start.epoch, start.legs.delivered_before, share, settings.num_ranks)
            source = apply_functions(reading, functions, ids, workers)
        token = position.begin(start)
        self._line, self._projection, self._convert = data
        self._tell()
        self._metrics.clear()
        bar = (
            progress(position.batch_index, position.batch_index + position.remaining) if progress is not None else None
        )
        iterator = BatchIterator(position, token, start.steps, source, finish, bar, self._metrics, self._tell)
        self._iterator = weakref.ref(iterator)
        return iterator

    def _log_cost(self) -> None:
        """How often the data is read, said once before the first read."""
        if self._cost_logged:
            return
        self._cost_logged = True
        cost = self._line.read_cost(self._num_shards)
        silly = cost > _COSTLY and self._line.plan.num_bytes > _COSTLY_BYTES
        log.log(
            logging.WARNING if silly else logging.INFO,
            "an epoch reads about %.1f times the data (%d shards x %d strands over %d row groups)%s",
            cost,
            self._num_shards,
            self._line.order.strands,
            self._line.plan.num_row_groups,
            ": fewer shards or strands, or smaller row groups, read less" if silly else "",
        )
