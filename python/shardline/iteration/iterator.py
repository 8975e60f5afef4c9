"""The iterator of one epoch: takes batches from a source, and counts what the caller was given."""

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from shardline.errors import ShardlineRuntimeError
from shardline.iteration.shutdown import enrol
from shardline.reading.batch_source import BatchSource

Finish = Callable[[Any], Any]


class Counter(Protocol):
    """Who counts what is delivered: a `Progress`, or a worker's copy of one."""

    owner: int
    mark: int

    def deliver(self, mark: int) -> None:
        """One batch was delivered."""

    def finish(self, mark: int) -> None:
        """The end was seen."""


class BatchIterator(Iterator[Any]):
    """Delivers `steps` batches of this rank, and moves `progress` with each.

    `source`: None where there is nothing to deliver. `finish`: what is done to a batch last (pinning). Where either
    raises, the batch was not delivered. `ended` is called when the end was seen. Raises ShardlineRuntimeError when
    asked for more after a newer iterator was begun. Closes its source at the end, when superseded, and when collected.
    """

    def __init__(
        self,
        progress: Counter,
        token: tuple[int, int],
        steps: int,
        source: BatchSource | None,
        finish: Finish | None = None,
        bar: Any = None,
        metrics: dict[str, float] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._progress = progress
        self._owner, self._mark = token
        self._left = steps
        self._source = source
        self._finish = finish
        self._bar = bar
        self._ended = ended
        self._done = False
        self._warned = False
        self._moving = False
        self._metrics = {} if metrics is None else metrics
        self._pid = os.getpid()
        self._release = weakref.finalize(self, _close, self._pid, source, bar, self._metrics)
        self._release.atexit = False  # `ending` closes it, when no thread works for it
        self.busy: threading.RLock
        enrol(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        progress = self._progress
        if self._done:
            raise StopIteration
        if os.getpid() != self._pid:
            raise ShardlineRuntimeError(
                "this iterator belongs to the process that made it, of which this is a fork: iterate over the dataset "
                "anew here, or start processes by multiprocessing_context='forkserver'"
            )
        if self._owner != progress.owner:
            self.close()
            raise ShardlineRuntimeError(
                "a newer iterator of this dataset was begun, and this one ended with that: take all batches from the "
                "newest, or make a second dataset to read two at a time"
            )
        if self._left == 0:
            progress.finish(self._mark)
            self._done = True
            if self._ended is not None:
                self._ended()
            self.close()
            raise StopIteration
        with self.busy:  # the end of the interpreter waits for it
            source = self._source
            if source is None:
                raise ShardlineRuntimeError("this iterator was closed")
            if self._moving:
                self.close()
                raise ShardlineRuntimeError(
                    "this iterator was interrupted while it handed out a batch, which the state does not count: call "
                    "load_state_dict(state_dict()) and then iter() to go on with that batch"
                )
            if self._mark != progress.mark and not self._warned:
                self._warned = True
                warnings.warn(
                    "the position was set anew (load_state_dict, set_epoch, seek), which takes effect at the next "
                    "iter(); the batches that this iterator still delivers are not counted",
                    RuntimeWarning,
                    stacklevel=2,
                )
            batch = source.get()
            if self._finish is not None:
                batch = self._finish(batch)
            # Ctrl-C may come between any two of these lines.
            self._moving = True
            source.advance()
            self._left -= 1
            progress.deliver(self._mark)
            self._moving = False
            if self._bar is not None:
                self._bar.update(1)
            return batch

    def refresh_metrics(self) -> None:
        """Brings the reader's counters up to date; at its close they are kept."""
        if self._source is not None:
            self._metrics.update(self._source.metrics())

    def close(self) -> None:
        """Stops threads and processes and frees their memory; idempotent."""
        self._release()
        self._source = None


def _close(pid: int, source: BatchSource | None, bar: Any, metrics: dict[str, float]) -> None:
    """In a forked child the source's threads and processes are not its own, and nothing is to be stopped."""
    if os.getpid() != pid:
        return
    if source is not None:
        metrics.update(source.metrics())
        source.close()
    if bar is not None:
        bar.close()
