"""How an iterator begins: where, and what runs on its batches."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shardline.distributed.state_check import StateCheck
from shardline.iteration.batch_id import BatchId
from shardline.iteration.context import EpochContext
from shardline.iteration.iterator import BatchIterator, Finish
from shardline.iteration.pipeline import MakePool, apply_functions
from shardline.iteration.torch_workers import Replica
from shardline.reading.batch_source import BatchStride, open_stride
from shardline.reading.transform import Functions
from shardline.state.leg import legs_of

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

    `collate_fn` and then `finish` are applied to a batch before it counts as delivered. `workers`: makes the processes
    that run transform and collate_fn, and says whether they persist. In a worker of torch's own loaders, the iterator
    takes this worker's part.
    """
    context.log_cost()
    replica = context.replica
    if replica is not None:
        return _start_replica(context, replica)
    settings, progress = context.settings, context.progress
    if state_check is not None:
        state_check.check(context.state_dict())
    start = progress.upcoming()
    source = context.sources.current if start.epoch == progress.iterated_epoch else context.sources.fresh
    stride = BatchStride(start.cursor + settings.rank, settings.num_ranks, start.steps)
    reading = open_stride(source, start.epoch, start.legs, stride, settings) if start.steps else None
    older = context.newest()
    if older is not None:
        older.close()
    if start.thrown_back > 1:
        warnings.warn(
            f"iter() before epoch {start.epoch} was over starts again where the last one started: "
            f"{start.thrown_back} batches are delivered again. To go on instead, first call "
            "load_state_dict(state_dict()); to begin another epoch, set_epoch()",
            RuntimeWarning,
            stacklevel=4,
        )
    batches = None
    if reading is not None:
        ids = BatchId(source.order.seed, start.epoch, start.legs.delivered_before, stride, settings.num_ranks)
        batches = apply_functions(reading, Functions(settings.transform, collate_fn), ids, workers)
    token = context.begin(start)
    steps_done = progress.batch_index
    shown = None if bar is None else bar(steps_done, steps_done + progress.remaining)
    iterator = BatchIterator(
        progress, token, start.steps, batches, finish, shown, context.metrics, context.publish_place
    )
    return context.keep(iterator)


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
        batches = apply_functions(reading, Functions(settings.transform, None), ids, None)
    context.metrics.clear()
    iterator = BatchIterator(replica, (replica.owner, replica.mark), stride.steps, batches, metrics=context.metrics)
    return context.keep(iterator)
