"""`shardline verify`: `shardline.verify`."""

from typing import Annotated

import typer

from shardline.cli.app import PROBLEM, app
from shardline.cli.options import (
    BatchSize,
    Columns,
    Filters,
    Json,
    Nulls,
    Other,
    Paths,
    Shuffle,
    TransformPlace,
    loader_arguments,
    nulls_explained,
    numbers,
)
from shardline.cli.output import bar, show
from shardline.verification import verify as try_stops


@app.command(epilog="Example: shardline verify data/train --transform augment.py:augment --shuffle -b 256")
def verify(
    path: Paths,
    transform: TransformPlace = None,
    stops: Annotated[int, typer.Option(min=1, metavar="N", help="Random stops.")] = 5,
    batches: Annotated[int, typer.Option(min=2, metavar="N", help="The most batches that are compared.")] = 2000,
    ranks: Annotated[str, typer.Option(metavar="R,R", help="Numbers of ranks to go on with.")] = "1,2",
    workers: Annotated[str, typer.Option(metavar="W,W", help="Numbers of worker processes to go on with.")] = "0,1,2",
    seed: Annotated[int, typer.Option(metavar="N", help="Which stops are drawn.")] = 0,
    columns: Columns = None,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    shuffle: Shuffle = False,
    shuffle_seed: Annotated[int | None, typer.Option(metavar="N", help="The shuffle's seed.")] = None,
    nulls: Nulls = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """Try whether a training that is stopped and resumed gets the same batches, bit for bit.

    On these data, with these options and this transform: stops at random batches, resumes in new processes with other
    ranks and workers, compares with a run that is never stopped, and names what breaks it. Exits with 0 where all
    batches were the same, with 1 where one was not.
    """
    given = loader_arguments(path, columns, filters, batch_size, shuffle, shuffle_seed, option, nulls)
    with bar("runs") as progress, nulls_explained():
        report = try_stops(
            given.pop("path"),
            transform=transform,
            stops=stops,
            batches=batches,
            seed=seed,
            ranks=numbers(ranks, "--ranks"),
            workers=numbers(workers, "--workers"),
            progress=progress,
            **given,
        )
    show(report, json)
    if not report.proven:
        raise typer.Exit(PROBLEM)
