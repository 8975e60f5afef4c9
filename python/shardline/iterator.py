"""The iterator of one epoch: takes batches from the reader's shards in turn, and counts what the caller was given."""

import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from shardline._core import Reader
from shardline.columns import Batch, Convert
from shardline.errors import ShardlineRuntimeError
from shardline.position import Position

Finish = Callable[[Batch], Any]


class BatchIterator(Iterator[Any]):
    """Delivers `steps` batches of this rank, and moves `position` with each.

    `reader`: None where there is nothing to deliver. `finish`: what is done to a batch before the caller gets it
    (collate_fn, pinning); where it raises, the batch was not delivered and comes again. Raises ShardlineRuntimeError
    when asked for more after a newer iterator was begun. Closes its reader at the end, when superseded, and when
    collected.
    """

    def __init__(
        self,
        position: Position,
        token: tuple[int, int],
        steps: int,
        reader: Reader | None,
        convert: Convert,
        finish: Finish | None = None,
        progress: Any = None,
        metrics: dict[str, float] | None = None,
    ) -> None:
        self._position = position
        self._owner, self._mark = token
        self._left = steps
        self._reader = reader
        self._convert = convert
        self._finish = finish
        self._progress = progress
        self._queues: list[deque[Batch]] = [deque() for _ in range(reader.num_shards if reader else 1)]
        self._turn = 0
        self._done = False
        self._warned = False
        self._error: BaseException | None = None
        self._metrics = {} if metrics is None else metrics
        self._release = weakref.finalize(self, _close, os.getpid(), reader, progress, self._metrics)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        position = self._position
        if self._done:
            raise StopIteration
        if self._owner != position.owner:
            self.close()
            raise ShardlineRuntimeError(
                "a newer iterator of this dataset was begun, and this one ended with that: take all batches from the "
                "newest, or make a second dataset to read two at a time"
            )
        if self._left == 0:
            position.finish(self._mark)
            self._done = True
            self.close()
            raise StopIteration
        queue = self._queues[self._turn]
        if not queue:
            self._fill(queue)
        batch = queue[0]
        if self._finish is not None:
            batch = self._finish(batch)
        queue.popleft()
        self._left -= 1
        self._turn = (self._turn + 1) % len(self._queues)
        if self._mark != position.mark and not self._warned:
            self._warned = True
            warnings.warn(
                "the position was set anew (load_state_dict, set_epoch, seek), which takes effect at the next iter(); "
                "the batches that this iterator still delivers are not counted",
                RuntimeWarning,
                stacklevel=2,
            )
        position.deliver(self._mark)
        if self._progress is not None:
            self._progress.update(1)
        return batch

    def _fill(self, queue: deque[Batch]) -> None:
        """The next run of the shard whose turn it is. An error is raised again when asked again: nothing is skipped."""
        if self._error is not None:
            raise self._error
        if self._reader is None or not self._release.alive:
            raise ShardlineRuntimeError("this iterator was closed")
        try:
            run = self._reader.next_run(self._turn)
            if run is None:
                raise ShardlineRuntimeError(f"the reader ended {self._left} batches early; this is a bug in shardline")
            queue.extend(self._convert(run))
        except Exception as error:
            self._error = error
            self.close()
            raise

    def refresh_metrics(self) -> None:
        """Brings the reader's counters up to date; at its close they are kept."""
        if self._reader is not None and self._release.alive:
            self._metrics.update(self._reader.metrics())

    def close(self) -> None:
        """Stops the reader's threads and frees its memory; idempotent."""
        if self._release.alive:
            self._release()
            for queue in self._queues:
                queue.clear()


def _close(pid: int, reader: Reader | None, progress: Any, metrics: dict[str, float]) -> None:
    """In a forked child the reader's threads do not exist, and nothing is to be stopped."""
    if os.getpid() != pid:
        return
    if reader is not None:
        metrics.update(reader.metrics())
        reader.close()
    if progress is not None:
        progress.close()
