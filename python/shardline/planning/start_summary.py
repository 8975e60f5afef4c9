"""What a dataset is, said once in the log when it is made: in words, and as fields of the log record."""

import logging

from shardline.planning.epoch_order import EpochOrder
from shardline.settings import Settings

log = logging.getLogger("shardline")


def log_start(where: str, order: EpochOrder, settings: Settings, num_shards: int, batches: int | None) -> None:
    """At level INFO, with `event="dataset_ready"`. `batches`: of this rank, in an epoch; None where it has no end."""
    plan, rows = order.plan, settings.batch_size
    log.info(
        "%s: %d rows in %d row groups of %d files; %s; rank %d of %d delivers %s",
        where,
        order.num_rows,
        plan.num_row_groups,
        plan.num_files,
        order.describe(),
        settings.rank,
        settings.num_ranks,
        f"batches of {rows} rows without an end" if batches is None else f"{batches} batches of {rows} rows an epoch",
        extra={
            "event": "dataset_ready",
            "path": where,
            "files": plan.num_files,
            "row_groups": plan.num_row_groups,
            "rows": order.num_rows,
            "batch_size": settings.batch_size,
            "batches": batches,
            "rank": settings.rank,
            "num_ranks": settings.num_ranks,
            "num_shards": num_shards,
            "shuffle": settings.shuffle,
            "shuffle_seed": order.seed,
            "output_format": settings.output_format,
            "source": order.source and dict(order.source),
        },
    )
