"""`shardline stats`: `StructuredDataset.stats` and `StructuredDataset.value_counts`."""

from typing import Annotated

import typer

from shardline.cli.app import app
from shardline.cli.options import Filters, Json, Other, Paths, loader_arguments
from shardline.cli.output import show, show_json, show_text, width
from shardline.dataset import StructuredDataset
from shardline.text import printable, table

_SHOWN = 20


@app.command(epilog="Example: shardline stats data/train --counts label")
def stats(
    path: Paths,
    counts: Annotated[
        str | None,
        typer.Option("--counts", metavar="COLUMN", help="How often each value of this column comes; reads it."),
    ] = None,
    filters: Filters = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """Rows, nulls, least and greatest value of every column, from footers."""
    dataset = StructuredDataset(output_format="arrow", **loader_arguments(path, filters=filters, other=option))
    if counts is None:
        show(dataset.stats(), json)
        return
    found = dataset.value_counts(counts)
    if json:
        show_json([{"value": value, "rows": rows} for value, rows in found.items()])
        return
    lines = [[printable(value), f"{rows:,}", f"{rows / dataset.num_rows:.1%}"] for value, rows in found.items()]
    text = [
        f"{counts}: {len(found):,} values in {dataset.num_rows:,} rows",
        *table([], lines[:_SHOWN], width(), right=[1, 2]),
    ]
    if len(lines) > _SHOWN:
        text.append(f"  and {len(lines) - _SHOWN:,} more values; --json prints all")
    show_text("\n".join(text))
