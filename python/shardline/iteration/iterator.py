"""The iterator of one epoch: takes batches from a source, and counts what the caller was given."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from shardline.errors import ShardlineRuntimeError
from shardline.iteration.guard import check_not_batched_again, looks_ahead
from shardline.iteration.shutdown import enrol
from shardline.iteration.timing import Timing
from shardline.reading.batch_source import BatchSource

Finish = Callable[[Any], Any]


class Counter(Protocol):
    """Who counts what is delivered: a `Progress`, or a worker's copy of one."""

    owner: int
    mark: int
    looked_ahead: bool

    def deliver(self, mark: int) -> None:
        """One batch was delivered."""

    def finish(self, mark: int) -> None:
        """The end was seen."""


class Begun(NamedTuple):
    """What an iterator has to deliver. `token`: the (owner, mark) by which its batches count."""

    token: tuple[int, int]
    steps: int
    batches: BatchSource | None
    """None where there is nothing to deliver."""


class Watch(Protocol):
    """What is looked at before later batches, while `watching`."""

    watching: bool

    def look(self) -> None:
        """Raises if another rank stands elsewhere."""


class FirstBatch(Protocol):
    """What happens when an iterator is asked for its first batch."""

    def __call__(self, begun: Begun, moved: bool) -> tuple[Begun, Any]:
        """What it has to deliver, and a progress bar or None. `moved`: the position was set since it was made."""


class BatchIterator(Iterator[Any]):
    """Delivers this rank's batches, and moves `progress` with each.

    It takes its place when it is asked for its first batch: `first` says what it delivers. `finish`: what is done to a
    batch last (pinning). Where either raises, the batch was not delivered. `ended` is called when the end was seen.
    Raises ShardlineRuntimeError when asked for more after a newer iterator was begun, or after the position was set.
    Closes its source at the end, when superseded, and when collected.
    """

    def __init__(
        self,
        progress: Counter,
        begun: Begun,
        first: FirstBatch | None = None,
        watch: Watch | None = None,
        finish: Finish | None = None,
        metrics: dict[str, float] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._progress = progress
        self._first = first
        self._watch = watch
        self._finish = finish
        self._ended = ended
        self._done = False
        self._moving = False
        self._metrics = {} if metrics is None else metrics
        self._timing = Timing()
        self._pid = os.getpid()
        self._take(begun, None)
        self.busy: threading.RLock
        enrol(self)

    def _take(self, begun: Begun, bar: Any) -> None:
        (self._owner, self._mark), self._left, self._source = begun
        self._begun, self._bar = begun, bar
        self._release = weakref.finalize(self, _close, self._pid, begun.batches, bar, self._metrics, self._timing)
        self._release.atexit = False  # `shutdown` closes it, when no thread works for it

    def _begin(self, first: FirstBatch) -> None:
        """The first batch is asked for: until now the position could be set."""
        begun, bar = first(self._begun, self._mark != self._progress.mark)
        if begun is not self._begun:
            self._release()
        else:
            self._release.detach()
        self._take(begun, bar)
        self._first = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        progress = self._progress
        if self._done:
            raise StopIteration
        timing = self._timing
        entered = timing.enter()
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
        if self._first is not None:
            caller = sys._getframe(1)
            check_not_batched_again(caller)
            self._begin(self._first)
            progress.looked_ahead = looks_ahead(caller)
        elif self._watch is not None and self._watch.watching:
            self._watch.look()
        if self._left == 0:
            progress.finish(self._mark)
            self._done = True
            timing.leave(entered, 0)
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
            if self._mark != progress.mark:
                self.close()
                raise ShardlineRuntimeError(
                    "the position was set (by load_state_dict, set_epoch or seek) after this iterator had delivered "
                    "batches, and it ended with that: call iter() for one that begins there"
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
            timing.leave(entered, 1)
            return batch

    def renew(self, steps: int, open_batches: Callable[[], BatchSource | None]) -> None:
        """Delivers `steps` batches of another source from here on; the one before is closed first."""
        if self._source is None:
            return
        self._release.detach()
        _close(self._pid, self._source, None, self._metrics, self._timing)
        self._take(Begun((self._owner, self._mark), steps, open_batches()), self._bar)

    def refresh_metrics(self) -> None:
        """Brings the reader's counters up to date; at its close they are kept."""
        if self._source is not None:
            self._metrics.update(self._source.metrics(), **self._timing.counters())

    def close(self) -> None:
        """Stops threads and processes and frees their memory; idempotent."""
        self._release()
        self._source = None


def _close(pid: int, source: BatchSource | None, bar: Any, metrics: dict[str, float], timing: Timing) -> None:
    """In a forked child the source's threads and processes are not its own, and nothing is to be stopped."""
    if os.getpid() != pid:
        return
    if source is not None:
        metrics.update(source.metrics(), **timing.counters())
        source.close()
    if bar is not None:
        bar.close()
