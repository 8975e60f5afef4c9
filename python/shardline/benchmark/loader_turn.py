"""A turn of shardline: loaders from the plan, one after the other."""

from collections.abc import Iterator

from shardline.benchmark.clock import Clock
from shardline.benchmark.turn import Result, Turn
from shardline.loader import DataLoader
from shardline.options.function import load_function


def run(turn: Turn) -> Result:
    """Reads epochs, each by a new loader."""
    transform = load_function(turn.transform) if isinstance(turn.transform, str) else turn.transform
    arguments = {
        **turn.arguments,
        "batch_size": turn.batch_size,
        "num_threads": turn.threads,
        "transform": transform,
        "num_workers": turn.num_workers,
        "rank": 0,
        "num_ranks": 1,
    }
    clock = Clock(turn.seconds, turn.step_seconds)
    loader = DataLoader(plan=turn.plan, **arguments)
    while clock.through(_sizes(loader)) and not clock.over:
        loader = DataLoader(plan=turn.plan, **arguments)
    metrics = loader.get_metrics()
    row_bytes = metrics.get("bytes_decoded", 0.0) / max(1.0, metrics.get("rows_decoded", 0.0))
    times, waited = clock.times(), clock.waited
    return Result(**times, row_bytes=row_bytes, waited_seconds=waited, verdict=loader.report().verdict)


def _sizes(loader: DataLoader) -> Iterator[int]:
    """The rows of each batch, whatever a transform made of it: one shard, of which the last batch has what is left."""
    last, size = len(loader) - 1, loader.batch_size
    for number, _ in enumerate(loader):
        yield size if number < last or loader.drop_last else loader.dataset.num_rows - last * size
