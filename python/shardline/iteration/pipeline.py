"""What becomes of the reader's batches: the caller's functions, in this process or in worker processes."""

from collections.abc import Callable

from shardline.iteration.batch_id import BatchId
from shardline.reading.batch_source import BatchSource, DecodedBatches, TransformedBatches
from shardline.reading.transform import Functions
from shardline.workers.pool import PooledBatches, WorkerPool

MakePool = Callable[[Functions], tuple[WorkerPool, bool]]
"""Makes the processes for some functions; returns them, and whether they outlive an iterator."""


def apply_functions(
    reading: DecodedBatches, functions: Functions, ids: BatchId, workers: MakePool | None
) -> BatchSource:
    """The batches as the functions leave them, made in worker processes if there are any, or in this one."""
    if not functions.any:
        return reading
    if workers is None:
        return TransformedBatches(reading, functions, ids.key)
    pool, persistent = workers(functions)
    return PooledBatches(reading, pool, ids.stride.steps, ids.key, ids.name, persistent)
