"""`shardline head`: `StructuredDataset.head`, as `shardline.describe_batch` shows it."""

from typing import Annotated, Any, cast

import typer

from shardline.cli.app import app
from shardline.cli.options import BatchSize, Columns, Filters, Json, Other, Paths, Seed, Shuffle, loader_arguments
from shardline.cli.output import bars, show, show_text
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineValueError
from shardline.inspection.batch import describe_batch
from shardline.options.columns import ColumnOptions


@app.command(epilog='Example: shardline head data/train --shuffle -b 256 -f "label > 0"')
def head(
    path: Paths,
    columns: Columns = None,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    shuffle: Shuffle = False,
    seed: Seed = None,
    nulls: Annotated[
        str | None, typer.Option("--nulls", metavar="POLICY", help="What nulls become: fill, nan, mask or keep.")
    ] = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """The first batch: key, shape, type and a few values of each tensor."""
    given = loader_arguments(path, columns, filters, batch_size, shuffle, seed, option)
    if nulls is not None:
        given.setdefault("column_defaults", ColumnOptions(nulls=cast(Any, nulls)))
    try:
        dataset = StructuredDataset(show_progress=bars(), **given)
    except ShardlineValueError as error:
        if "ColumnOptions(nulls=" not in str(error):
            raise
        raise ShardlineValueError(f"{error} (here: --nulls mask)") from None
    report = describe_batch(dataset.head(dataset.batch_size))
    if not json:
        show_text(f"The first batch of {len(dataset):,}; {dataset.num_rows:,} rows")
    show(report, json)
