"""`shardline head`: `StructuredDataset.head`, as `shardline.describe_batch` shows it."""

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
    loader_arguments,
    nulls_explained,
)
from shardline.cli.output import bars, show, show_text
from shardline.dataset import StructuredDataset
from shardline.inspection.batch import describe_batch


@app.command(epilog='Example: shardline head data/train --shuffle -b 256 -f "label > 0"')
def head(
    path: Paths,
    columns: Columns = None,
    filters: Filters = None,
    batch_size: BatchSize = 1024,
    shuffle: Shuffle = False,
    seed: Seed = None,
    nulls: Nulls = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """The first batch: key, shape, type and a few values of each tensor."""
    given = loader_arguments(path, columns, filters, batch_size, shuffle, seed, option, nulls)
    with nulls_explained():
        dataset = StructuredDataset(show_progress=bars(), **given)
    report = describe_batch(dataset.head(dataset.batch_size))
    if not json:
        show_text(f"The first batch of {len(dataset):,}; {dataset.num_rows:,} rows")
    show(report, json)
