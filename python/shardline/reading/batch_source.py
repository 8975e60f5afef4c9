"""Where an iterator's batches come from: the reader's shards in turn, and what the caller's functions make of them."""

import os
from collections import deque
from collections.abc import Callable
from math import gcd
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import torch

from shardline._core import Legs, Reader, Run
from shardline.errors import ShardlineRuntimeError
from shardline.reading.convert import Batch, Convert
from shardline.reading.epoch_source import EpochSource
from shardline.reading.transform import Functions, apply
from shardline.settings import Settings
from shardline.state.leg import legs_of


class BatchStride(NamedTuple):
    """The batches of one taker: `first`, `first` + `stride`, …, of the job's batches of a leg; `steps` of them."""

    first: int
    stride: int
    steps: int


class BatchSource(Protocol):
    """Batches in order, one in hand at a time."""

    def get(self) -> Any:
        """The batch whose turn it is; the same again until `advance`."""

    def advance(self) -> None:
        """The batch in hand was delivered."""

    def metrics(self) -> dict[str, float]:
        """The reader's counters."""

    def close(self) -> None:
        """Stops threads and processes, frees memory; idempotent, and nothing in a forked child."""


def open_stride(
    source: EpochSource, epoch: int, legs: Legs, stride: BatchStride, settings: Settings
) -> "DecodedBatches":
    """The batches of a stride. The reader opens the shards that the stride has a batch of, and no others.

    A reader can take every d-th batch, where d divides the shards: what of those is another's is decoded and dropped.
    """
    divisor = gcd(stride.stride, legs_of(legs)[-1].num_shards)
    rank = stride.first % divisor
    reader = source.open_reader(epoch, legs.at(stride.first - rank), rank, divisor, settings)
    return DecodedBatches(reader, source.convert, stride.steps, stride.stride // divisor)


class DecodedBatches:
    """The reader's batches, converted: the first, and then each `every`-th."""

    def __init__(self, reader: Reader, convert: Convert, steps: int, every: int = 1) -> None:
        self._reader = reader
        self._convert = convert
        self._left = steps
        self._every = every
        self._drop = 0
        # Of each shard: a run that is not converted yet, and the batches of the one before.
        self._slots: list[tuple[list[Run | None], deque[Batch]]] = [([], deque()) for _ in range(reader.num_shards)]
        self._turn = 0
        self._error: BaseException | None = None
        self._pid = os.getpid()
        self._closed = False

    def get(self) -> Batch:
        """As `BatchSource`'s. An error is raised again when asked again: nothing is skipped."""
        while self._drop:
            if not self._slots[self._turn][1]:
                self._fill()
            self._pop()
            self._drop -= 1
        return (self._slots[self._turn][1] or self._fill())[0]

    def advance(self) -> None:
        """As `BatchSource`'s."""
        # As `_pop`: a call costs a twentieth of a batch.
        slots, turn = self._slots, self._turn
        slots[turn][1].popleft()
        self._turn = (turn + 1) % len(slots)
        self._left -= 1
        self._drop = self._every - 1

    def _pop(self) -> None:
        self._slots[self._turn][1].popleft()
        self._turn = (self._turn + 1) % len(self._slots)

    def _fill(self) -> deque[Batch]:
        """The batches of the next run of the shard whose turn it is.

        Ctrl-C may come after any call, and must not lose a run: the reader's goes into the slot within one call of the
        interpreter, and its batches take its place by one assignment.
        """
        if self._error is not None:
            raise self._error
        if self._closed:
            raise ShardlineRuntimeError("this iterator was closed")
        try:
            runs, _ = self._slots[self._turn]
            if not runs:
                runs.extend(map(self._reader.next_run, (self._turn,)))
            run = runs[0]
            if run is None:
                raise ShardlineRuntimeError(f"the reader ended {self._left} batches early; this is a bug in shardline")
            with torch.inference_mode(False):  # a batch may be trained on though this was evaluated with
                batches = deque(self._convert(run))
            self._slots[self._turn] = [], batches
            return batches
        except Exception as error:
            self._error = error
            self.close()
            raise

    def metrics(self) -> dict[str, float]:
        """As `BatchSource`'s; after closing it is what was counted before."""
        return self._reader.metrics()

    def close(self) -> None:
        """As `BatchSource`'s."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        self._reader.close()
        self._slots = [([], deque()) for _ in self._slots]


class TransformedBatches:
    """A source's batches after `functions`, which run in this process; `key(n)` seeds them for the n-th."""

    def __init__(self, source: BatchSource, functions: Functions, key: Callable[[int], bytes]) -> None:
        self._source = source
        self._functions = functions
        self._key = key
        self._taken = 0
        self._seconds = 0.0

    def get(self) -> Any:
        """As `BatchSource`'s; where a function raises, the batch comes again."""
        batch = self._source.get()
        begin = perf_counter()
        try:
            return apply(self._functions, batch, self._key(self._taken))
        finally:
            self._seconds += perf_counter() - begin

    def advance(self) -> None:
        """As `BatchSource`'s."""
        self._source.advance()
        self._taken += 1

    def metrics(self) -> dict[str, float]:
        """As `BatchSource`'s, and the time that the functions took."""
        return {**self._source.metrics(), "transform_seconds": self._seconds}

    def close(self) -> None:
        """As `BatchSource`'s."""
        self._source.close()
