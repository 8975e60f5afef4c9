"""How an iterator begins: where, and what runs on its batches."""

import inspect
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shardline.distributed.state_check import StateCheck
from shardline.iteration.batch_id import BatchId
from shardline.iteration.context import EpochContext
from shardline.iteration.iterator import BatchIterator, Begun, Finish
from shardline.iteration.pipeline import MakePool, apply_functions
from shardline.iteration.row_places import LocatedBatches
from shardline.iteration.torch_workers import Replica
from shardline.reading.batch_source import BatchSource, BatchStride, DecodedBatches, open_stride
from shardline.reading.transform import Functions
from shardline.state.leg import legs_of
from shardline.state.progress import Start

MakeBar = Callable[[int, int], Any]
"""Makes a progress bar, from the steps done and the steps in all."""


def start_epoch(
    context: EpochContext,
    state_check: StateCheck | None,
    collate_fn: Callable[[Any], Any] | None = None,
    finish: Finish | None = None,
    bar: MakeBar | None = None,
    workers: MakePool | None = None,
) -> BatchIterator:
    """An iterator from the place where the next epoch, or the rest of this one, begins.

    It takes that place when it is asked for its first batch; until then set_epoch, seek and load_state_dict move it.
    `collate_fn` and then `finish` are applied to a batch before it counts as delivered. `workers`: makes the processes
    that run transform and collate_fn, and says whether they persist. In a worker of torch's own loaders, the iterator
    takes this worker's part.
    """
    context.log_cost()
    replica = context.replica
    if replica is not None:
        return _start_replica(context, replica)
    functions = Functions(context.settings.transform, collate_fn)
    start = context.progress.upcoming()
    begun = _begin(context, start, functions, workers)

    def first_batch(begun: Begun, moved: bool) -> tuple[Begun, Any]:
        progress = context.progress
        here = progress.upcoming() if moved else start
        if not progress.started():
            _warn(context, here)
        if moved:
            begun = _begin(context, here, functions, workers)
        if state_check is not None:
            state_check.check(context.state_dict())
        done = progress.batch_index
        return begun, None if bar is None else bar(done, done + progress.remaining)

    return context.keep(
        BatchIterator(context.progress, begun, first_batch, state_check, finish, context.metrics, context.end)
    )


def _begin(context: EpochContext, start: Start, functions: Functions, workers: MakePool | None) -> Begun:
    """Takes a place: opens the reader there, with the caller's functions behind it, in the newest iterator's stead."""
    settings = context.settings
    source = context.source_of(start.epoch)
    stride = BatchStride(start.cursor + settings.rank, settings.num_ranks, start.steps)
    reading = open_stride(source, start.epoch, start.legs, stride, settings) if start.steps else None
    newest = context.newest()
    if newest is not None:
        newest.close()
    batches = None
    if reading is not None:
        ids = BatchId(source.order.seed, start.epoch, start.legs.delivered_before, stride, settings.num_ranks)
        batches = _apply(context, reading, functions, ids, workers)
    context.reopen = _reopening(context, functions, workers)
    return Begun(context.begin(start), start.steps, batches)


def _reopening(context: EpochContext, functions: Functions, workers: MakePool | None) -> Callable[[], None]:
    """What `context.reopen` does. It keeps neither the context nor the loader alive, whose processes end with it."""
    ref, method = weakref.ref(context), weakref.WeakMethod(workers) if inspect.ismethod(workers) else None
    others = workers if method is None else None

    def reopen() -> None:
        here = ref()
        if here is not None:
            _reopen(here, functions, others if method is None else method())

    return reopen


def _reopen(context: EpochContext, functions: Functions, workers: MakePool | None) -> None:
    """Reads on, in the newest iterator, from its place: what comes next is another than before."""
    iterator, progress, settings = context.newest(), context.progress, context.settings
    if iterator is None:
        return
    legs, steps, epoch = progress.legs(), progress.remaining, progress.iterated_epoch

    def open_batches() -> BatchSource | None:
        if not steps:
            return None
        source = context.source_of(epoch)
        stride = BatchStride(legs.delivered + settings.rank, settings.num_ranks, steps)
        reading = open_stride(source, epoch, legs, stride, settings)
        ids = BatchId(source.order.seed, epoch, legs.delivered_before, stride, settings.num_ranks)
        return _apply(context, reading, functions, ids, workers)

    iterator.renew(steps, open_batches)


def _apply(
    context: EpochContext, reading: DecodedBatches, functions: Functions, ids: BatchId, workers: MakePool | None
) -> BatchSource:
    """The batches as the functions leave them, with errors about a row that say which it is."""
    batches = apply_functions(reading, functions, ids, workers)
    return LocatedBatches(batches, context, ids) if functions.any else batches


def _warn(context: EpochContext, start: Start) -> None:
    """What a caller who counts epochs by himself would not expect, and did not ask for by set_epoch."""
    if start.thrown_back > 1 and context.current.order.shuffle.shuffle:
        warnings.warn(
            f"iter() before epoch {start.epoch} was over starts again where the last one started: "
            f"{start.thrown_back} batches are delivered again. To continue instead, first call "
            "load_state_dict(state_dict()); to begin another epoch, set_epoch()",
            RuntimeWarning,
            stacklevel=5,
        )
    if start.loaded_complete:
        warnings.warn(
            f"this pass over epoch {start.epoch} delivers nothing: the loaded state was saved after the epoch's last "
            "batch and before its end was seen. A loop that counts its passes gets one epoch less. Call "
            "set_epoch(step // len(loader)) before each pass, with the step that training has reached",
            RuntimeWarning,
            stacklevel=5,
        )


def _start_replica(context: EpochContext, replica: Replica) -> BatchIterator:
    """This worker's part of what its rank has to deliver."""
    settings = context.settings
    base = replica.begin(context.upcoming_place(), lambda num_shards: legs_of(context.whole_epoch(num_shards)))
    context.restart_at(base)
    start = context.progress.upcoming()
    stride = replica.stride(start, settings.rank, settings.num_ranks)
    # All workers together use what one process would.
    settings = replace(
        settings,
        num_threads=max(1, settings.num_threads // replica.workers),
        prefetch_bytes=max(1, settings.prefetch_bytes // replica.workers),
    )
    source, batches = context.current, None
    if stride.steps:
        reading = open_stride(source, start.epoch, start.legs, stride, settings)
        ids = BatchId(source.order.seed, start.epoch, start.legs.delivered_before, stride, settings.num_ranks)
        batches = _apply(context, reading, Functions(settings.transform, None), ids, None)
    context.metrics.clear()
    begun = Begun((replica.owner, replica.mark), stride.steps, batches)
    return context.keep(BatchIterator(replica, begun, lambda begun, moved: (begun, None), metrics=context.metrics))
