"""`shardline shuffle-quality`: `shardline.shuffle_quality`."""

from typing import Annotated

import typer

from shardline.cli.app import app
from shardline.cli.options import BatchSize, Filters, Json, Other, Paths, Seed, loader_arguments
from shardline.cli.output import bars, show
from shardline.dataset import StructuredDataset
from shardline.quality import shuffle_quality as measure


@app.command("shuffle-quality", epilog="Example: shardline shuffle-quality data/train -b 256 --column label")
def shuffle_quality(
    path: Paths,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="Measure this column's values too; reads it.")
    ] = None,
    shuffle: Annotated[bool, typer.Option(help="Whether the loader shuffles.")] = True,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    seed: Seed = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """How well a loader mixes the rows: 1.00 is a uniform shuffle, above it batches are less alike.

    Computed from positions: no data is read but those of --column.
    """
    given = loader_arguments(path, None, filters, batch_size, shuffle, seed, option)
    dataset = StructuredDataset(show_progress=bars(), **{"output_format": "arrow", **given})
    show(measure(dataset, column), json)
