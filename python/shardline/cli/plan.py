"""`shardline plan`: `shardline.explain`, and `Plan.save`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from shardline.cli.app import app
from shardline.cli.options import BatchSize, Columns, Filters, Json, Other, Paths, Seed, Shuffle, loader_arguments
from shardline.cli.output import bars, complain, show
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineValueError
from shardline.inspection.explain import explain
from shardline.inspection.first_batch import MEASURE


@app.command(epilog="Example: shardline plan data/train --shuffle -b 256 --ranks 8 --save train.plan")
def plan(
    path: Paths,
    ranks: Annotated[
        int, typer.Option("--ranks", "-r", min=1, metavar="R", help="Processes that share the batches.")
    ] = 1,
    workers: Annotated[int, typer.Option("--workers", "-w", min=0, metavar="W", help="Worker processes of each.")] = 0,
    columns: Columns = None,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    shuffle: Shuffle = False,
    seed: Seed = None,
    option: Other = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            metavar="BYTES/S",
            help="How fast the files are read, as 100MB/s. On a disk it is measured, by reading for 0.25 s.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write the file list, for DataLoader(plan=Plan.load(FILE))."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE where it exists.")] = False,
    json: Json = False,
) -> None:
    """What a loader will do in an epoch: splits, windows, shards, steps, bytes read and held, time to the first batch.

    Footers are read, a filter's columns, to count the rows that pass, and some rows of local files, for their rate.
    """
    if save is not None and save.exists() and not overwrite:
        raise ShardlineValueError(f"{save} exists: give --overwrite, or another name")
    given = loader_arguments(path, columns, filters, batch_size, shuffle, seed, option)
    given = {"output_format": "arrow", **given, "rank": 0, "num_ranks": ranks}
    dataset = StructuredDataset(show_progress=bars(), **given)
    report = explain(dataset, num_workers=workers, rate=rate or (None if dataset.is_remote else MEASURE))
    show(report if len(path) > 1 else replace(report, where=path[0]), json)
    if save is not None:
        dataset.plan.save(save)
        complain("saved", f"{save}, the list of {dataset.plan.num_files:,} files")
