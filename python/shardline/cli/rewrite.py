"""`shardline rewrite`: `shardline.rewrite`."""

from typing import Annotated, Any

import typer

from shardline.cli.app import app
from shardline.cli.options import Columns, Filters, Json, Other, loader_arguments
from shardline.cli.output import bar, show
from shardline.rewrite import RewriteProgress
from shardline.rewrite import rewrite as write


@app.command(epilog="Example: shardline rewrite data/train data/shuffled --shuffle --seed 7 --codec zstd")
def rewrite(
    path: Annotated[str, typer.Argument(metavar="IN", help="A file, a directory or a glob; on disk or in a store.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to be made.")],
    shuffle: Annotated[bool, typer.Option("--shuffle", "-s", help="All rows in a uniformly random order.")] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The shuffle's order; 0 by default.")] = None,
    sort_by: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help='Columns; "-A" for descending: --sort-by=-A.')
    ] = None,
    partition_by: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Columns for key=value folders.")
    ] = None,
    row_group_rows: Annotated[int | None, typer.Option(metavar="N", help="Rows of a row group.")] = None,
    row_group_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Decoded bytes of a row group instead; 16MiB by default.")
    ] = None,
    file_rows: Annotated[int | None, typer.Option(metavar="N", help="Rows of a file.")] = None,
    file_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Decoded bytes of a file instead; 256MiB by default.")
    ] = None,
    codec: Annotated[str, typer.Option(help="none, snappy, zstd, lz4, gzip or brotli.")] = "snappy",
    codec_level: Annotated[int | None, typer.Option(metavar="N", help="Of zstd, gzip or brotli.")] = None,
    dictionary: Annotated[
        str, typer.Option(metavar="A,B", help='"auto", "all", "none", or the columns that have one.')
    ] = "auto",
    statistics: Annotated[bool, typer.Option(help="Least and greatest values.")] = True,
    page_index: Annotated[bool, typer.Option(help="The places of pages.")] = True,
    page_checksums: Annotated[bool, typer.Option(help="A CRC of each page.")] = True,
    fixed_size_lists: Annotated[bool, typer.Option("--fixed-size-lists", help="Where all have one length.")] = False,
    narrow: Annotated[bool, typer.Option("--narrow", help="Narrower numbers where nothing is lost.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT, when all is written.")] = False,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="The most that it takes, about.")] = "512MiB",
    threads: Annotated[int | None, typer.Option(metavar="N", help="Pieces at a time; by default the cores.")] = None,
    columns: Columns = None,
    filters: Filters = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """Write the same rows in another layout, verified, and shuffled globally if asked.

    Stopped, it goes on where it was when it is run again.
    """
    given: dict[str, Any] = {
        "shuffle": shuffle,
        "seed": seed,
        "sort_by": [(name[1:], "descending") if name[:1] == "-" else name for name in _names(sort_by)] or None,
        "partition_by": _names(partition_by) or None,
        "row_group_rows": row_group_rows,
        "row_group_bytes": row_group_bytes,
        "file_rows": file_rows,
        "file_bytes": file_bytes,
        "codec": codec,
        "codec_level": codec_level,
        "dictionary": {"auto": "auto", "all": True, "none": False}.get(dictionary, _names([dictionary])),
        "statistics": statistics,
        "page_index": page_index and statistics,
        "page_checksums": page_checksums,
        "fixed_size_lists": fixed_size_lists,
        "narrow": narrow,
        "overwrite": overwrite,
        "memory": memory,
        "num_threads": threads,
    }
    reading = loader_arguments([path], columns, filters, other=option)
    for name in reading:
        if name in given:
            raise typer.BadParameter(f"{name} has an option of its own", param_hint="--option")
    with bar("rewrite") as shown:

        def progress(told: RewriteProgress) -> None:
            if shown is not None:
                shown(told.rows, told.total)

        report = write(**reading, out=out, progress=progress, **given)
    show(report, json)


def _names(given: list[str] | None) -> list[str]:
    """Of options that may be given again, each with names between commas."""
    return [name for each in given or () for name in each.split(",") if name]
