"""`shardline bench`: `shardline.bench`."""

from typing import Annotated

import typer

from shardline.benchmark import bench as measure
from shardline.cli.app import app
from shardline.cli.options import (
    BatchSize,
    Columns,
    Filters,
    Json,
    Nulls,
    Other,
    Paths,
    Seed,
    Shuffle,
    TransformPlace,
    loader_arguments,
    nulls_explained,
)
from shardline.cli.output import bar, show


@app.command(epilog="Example: shardline bench data/train --shuffle -b 256 --model-ms 20")
def bench(
    path: Paths,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="S", help="How long it may take, about.")] = 60,
    model_ms: Annotated[
        float | None,
        typer.Option("--model-ms", metavar="N", help="Whether a training step of N ms would wait for data."),
    ] = None,
    transform: TransformPlace = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, metavar="W", help="Worker processes that run the transform.")
    ] = 0,
    columns: Columns = None,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    shuffle: Shuffle = False,
    seed: Seed = None,
    nulls: Nulls = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """Measure how fast a loader reads these data here.

    Beside the loop that people write by hand, and beside what it takes to read and decompress the pages; with other
    threads, batches and shuffles. Readers take turns, and figures are medians: other work on the machine makes them
    wrong all the same.
    """
    given = loader_arguments(path, columns, filters, batch_size, shuffle, seed, option, nulls)
    with bar("turns") as progress, nulls_explained():
        report = measure(
            given.pop("path"),
            seconds=seconds,
            model_ms=model_ms,
            transform=transform,
            num_workers=workers,
            progress=progress,
            **given,
        )
    show(report, json)
