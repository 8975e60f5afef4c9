"""`bench()`: readers of the same data take turns, and their medians are compared."""

import time
from collections.abc import Callable
from typing import Any

from shardline.benchmark.client import Server
from shardline.benchmark.readers import ASKED, readers
from shardline.benchmark.report import BenchReport
from shardline.benchmark.rounds import take_turns
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options import validate
from shardline.options.function import check_place
from shardline.options.validate import Paths
from shardline.sources.request import OF_VERSIONS

_OF_BENCH = ("rank", "num_ranks", "plan", "mesh", "process_group", "show_progress", "num_shards")
"""Arguments of a loader that make no sense here."""


def bench(
    path: Paths,
    *,
    seconds: float = 60,
    model_ms: float | None = None,
    transform: Callable[[Any], Any] | str | None = None,
    num_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **arguments: Any,
) -> BenchReport:
    """Measures how fast a loader reads these data here, beside a hand-written loop and the limit of the machine.

    Readers take turns in rounds, each turn in a process of its own, and figures are medians over the rounds: shardline
    as the arguments ask for, the same with other threads, batches and shuffles, `ParquetFile.iter_batches` with each
    column made a tensor, and the limit: reading and decompressing all pages, decoding nothing.

    Args:
        path: The data, as a loader takes them.
        seconds: How long it may take, about, listing the files included.
        model_ms: What a step of the model takes: measures how long it would wait for data.
        transform: The function, or its place: "file.py:function" or "package.module:function".
        num_workers: The worker processes that run it.
        progress: Called with the turns that are done, and all there are.
        arguments: Of the loader: `batch_size`, `shuffle`, `columns`, `filters`, `num_threads` and so on.

    Returns:
        The figures of each reader, and what follows from them; `print` shows it.

    Raises:
        ShardlineError: The data cannot be read, or an argument is wrong.

    Example (docs/bench.md shows what it prints; it takes as long as it is told to)::

        print(shardline.bench("flights/", seconds=30, model_ms=5))
    """
    began = time.monotonic()
    check_place("transform", transform)
    seconds = validate.check_seconds("seconds", seconds)
    if model_ms is not None and validate.check_seconds("model_ms", model_ms) == 0:
        raise ShardlineValueError("model_ms must be more than 0: the milliseconds of a training step")
    num_workers = validate.check_int("num_workers", num_workers, 0, 2**10)
    for name in _OF_BENCH:
        if name in arguments:
            raise ShardlineTypeError(f"{name}= is not taken: bench measures one rank, from files that it lists itself")
    # The transform is only ever called in the turns' processes.
    dataset = StructuredDataset(path, **arguments, rank=0, num_ranks=1)
    listed = time.monotonic() - began
    # The turns read from the plan, which is of one version.
    without = ("batch_size", "num_threads", *OF_VERSIONS)
    given = {name: value for name, value in arguments.items() if name not in without}
    given |= {"shuffle_seed": dataset.seed} if given.get("shuffle") else {}
    order, settings = dataset.measured()
    if order.pack is not None:
        raise ShardlineValueError(
            "bench compares rows a second with a hand-written loop over rows, and with pack= rows are packed "
            "sequences: leave pack= out, and give columns= with its column"
        )
    found = readers(order.plan, given, settings.num_threads, settings.batch_size, transform, num_workers, model_ms)
    with Server() as server:
        measured, rounds, turn = take_turns(found, began + seconds, server, progress or _nobody)
    row_bytes = next((each.row_bytes for each in measured[ASKED].rounds.values() if each.row_bytes), 0.0)
    return BenchReport(
        path=str(path),
        files=order.plan.num_files,
        row_groups=order.plan.num_row_groups,
        rows=dataset.num_rows,
        threads=settings.num_threads,
        batch_size=settings.batch_size,
        order=order.describe(),
        listed_seconds=listed,
        rounds=rounds,
        turn_seconds=turn,
        model_ms=model_ms,
        row_bytes=row_bytes,
        readers=measured,
    )


def _nobody(done: int, of: int) -> None:
    """Is told of progress, and does nothing."""
