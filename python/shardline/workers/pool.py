"""`num_workers` > 0: batches go through worker processes and come back in their order.

Rows are decoded once, here, by the reader's threads; batch n goes to worker n mod W, in one block of shared memory, and
comes back in one.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from shardline.errors import ShardlineRuntimeError
from shardline.reading.batch_source import BatchSource
from shardline.reading.transform import Functions
from shardline.workers.handle import Heard, WorkerHandle
from shardline.workers.launch import WorkerSettings

log = logging.getLogger("shardline")
_T = TypeVar("_T")
_SLICE = 1.0  # seconds of waiting after which it is checked that every worker lives
_JOIN = 5.0  # seconds that a worker has to end by itself
_MAX_DEPTH = 64  # requests that a channel surely holds unread


class WorkerPool:
    """The processes, started at once. One user at a time: `begin` a run of batches, then `send` and `receive` each."""

    def __init__(self, settings: WorkerSettings, functions: Functions, seed: int) -> None:
        self.settings = settings
        self.broken = False
        self._run = 0
        self._workers: list[WorkerHandle] = []
        # Of multiprocessing's own: at the interpreter's end it comes before daemons are terminated and waited for.
        self._release = Finalize(self, _close, (os.getpid(), self._workers), exitpriority=100)
        try:
            for number in range(settings.number):
                self._workers.append(WorkerHandle(number, settings, functions, seed, self._workers))
            for worker in self._workers if self._workers[0].method == "forkserver" else ():
                self._await_ready(worker)
        except BaseException:
            self.close()
            raise
        log.info("started %d worker processes (%s)", settings.number, self._workers[0].method)

    @property
    def depth(self) -> int:
        """Batches that a worker has at a time."""
        return min(self.settings.prefetch_factor, _MAX_DEPTH)

    def begin(self) -> None:
        """A new run: what comes back of an earlier one is dropped."""
        self._run += 1

    def make_room(self, n: int) -> None:
        """Before the n-th batch is sent: waits for what its worker still makes of earlier runs, if that is much."""
        worker = self._of(n)
        while worker.pending >= self.depth:
            self._open(worker, self._hear(worker))

    def send(self, n: int, name: str, key: bytes, batch: Any) -> None:
        """Hands the n-th batch of this run over; `name` says which it is."""
        worker = self._of(n)
        try:
            worker.send(self._run, n, name, key, batch)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death(worker) from None

    def receive(self, n: int) -> Any:
        """The n-th batch of this run, as the functions return it: the oldest of its worker."""
        worker = self._of(n)
        while True:
            run, number, value = self._open(worker, self._hear(worker))
            if run == self._run:
                if number != n:
                    self.broken = True
                    raise worker.lost()
                return value

    def _of(self, n: int) -> WorkerHandle:
        return self._workers[n % self.settings.number]

    def _open(self, worker: WorkerHandle, heard: Heard) -> tuple[int, int, Any]:
        try:
            return worker.open(heard, self._run)
        except Exception:
            self.broken = True
            raise

    def _await_ready(self, worker: WorkerHandle) -> None:
        """Waits until no signal of the job ends the worker any more; one that was ended before is started again."""
        while not worker.ready:
            try:
                self._wait(worker, worker.greet, ())
            except EOFError:
                if not worker.restart():
                    raise self._death(worker) from None

    def _hear(self, worker: WorkerHandle) -> Heard:
        """Waits. Opening comes apart from it: what the functions raised may be a TimeoutError or an EOFError, too."""
        try:
            return self._wait(worker, worker.hear, self._workers)
        except EOFError:
            raise self._death(worker) from None

    def _wait(self, worker: WorkerHandle, receive: Callable[[float], _T], watched: Iterable[WorkerHandle]) -> _T:
        """What `receive` of a worker returns, once it does; raises where one of those `watched` dies meanwhile."""
        deadline = None
        if self.settings.timeout > 0:
            deadline = time.monotonic() + self.settings.timeout
        while True:
            wait = _SLICE if deadline is None else min(_SLICE, max(0.001, deadline - time.monotonic()))
            try:
                return receive(wait)
            except TimeoutError:
                for other in watched:
                    if not other.is_alive():
                        raise self._death(other) from None
                if deadline is not None and time.monotonic() >= deadline:
                    raise ShardlineRuntimeError(
                        f"DataLoader timed out after {self.settings.timeout} seconds: "
                        f"{worker.name} works on {worker.at}"
                    ) from None
            except EOFError:
                raise
            except Exception:
                self.broken = True
                raise

    def _death(self, worker: WorkerHandle) -> ShardlineRuntimeError:
        self.broken = True
        return ShardlineRuntimeError(f"{worker.name} died on {worker.at}: {worker.cause()}")

    def close(self) -> None:
        """Ends the processes; idempotent."""
        self.broken = True
        self._release()


def _close(pid: int, workers: list[WorkerHandle]) -> None:
    if os.getpid() != pid:
        return
    for worker in workers:
        worker.dismiss()
    deadline = time.monotonic() + _JOIN
    for worker in workers:
        worker.end(deadline)


def _interrupted() -> ShardlineRuntimeError:
    return ShardlineRuntimeError(
        "this iterator was interrupted while it handed a batch to a worker process: call "
        "load_state_dict(state_dict()) and then iter() to go on with the batch after the last one delivered"
    )


class PooledBatches:
    """A source's batches after a pool's functions. `key(n)` seeds them for the n-th; `name(n)` says which it is."""

    def __init__(
        self,
        source: BatchSource,
        pool: WorkerPool,
        steps: int,
        key: Callable[[int], bytes],
        name: Callable[[int], str],
        persistent: bool,
    ) -> None:
        self._source = source
        self._pool = pool
        self._steps = steps
        self._key = key
        self._name = name
        self._persistent = persistent
        self._sent = self._taken = 0
        self._hand: tuple[Any] | None = None
        self._error: BaseException | None = None
        self._late: Exception | None = None  # of the source, ahead of the batch in hand
        self._seconds = 0.0
        pool.begin()

    def get(self) -> Any:
        """As `BatchSource`'s. An error is raised again when asked again: nothing is skipped."""
        if self._error is not None:
            raise self._error
        try:
            if self._hand is None:
                self._send_ahead()
                if self._sent == self._taken and self._late is not None:
                    raise self._late
                begin = time.monotonic()
                self._hand = (self._pool.receive(self._taken),)
                self._seconds += time.monotonic() - begin
            return self._hand[0]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not (isinstance(error, ShardlineRuntimeError) and not self._pool.broken):
                self._error = error
                self.close()
            raise

    def _send_ahead(self) -> None:
        pool = self._pool
        most = min(self._steps, self._taken + pool.settings.number * pool.depth)
        while self._sent < most and self._late is None:
            n = self._sent
            pool.make_room(n)
            try:
                batch = self._source.get()
            except Exception as error:
                self._late = error
                return
            try:
                pool.send(n, self._name(n), self._key(n), batch)
                self._source.advance()
                self._sent += 1
            except BaseException as error:  # what was handed over is not known: this iterator cannot go on
                self._error = error if isinstance(error, Exception) else _interrupted()
                pool.broken = True
                raise

    def advance(self) -> None:
        """As `BatchSource`'s."""
        self._hand = None
        self._taken += 1

    def metrics(self) -> dict[str, float]:
        """As `BatchSource`'s, and the time that was waited for worker processes."""
        more = {"transform_seconds": self._seconds, "workers": self._pool.settings.number}
        return {**self._source.metrics(), **more}

    def close(self) -> None:
        """As `BatchSource`'s; persistent workers stay, unless something went wrong with them."""
        self._source.close()
        if not self._persistent or self._pool.broken:
            self._pool.close()
