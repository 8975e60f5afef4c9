"""How long a loader's first batch takes: what it must read before that, and how fast that is read here."""

import time
from dataclasses import replace
from typing import NamedTuple

from shardline import text
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.footers.survey import Survey
from shardline.iteration.context import EpochContext
from shardline.iteration.epoch import start_epoch
from shardline.options.columns import ColumnOptions
from shardline.options.validate import parse_bytes
from shardline.planning.epoch_order import EpochOrder
from shardline.settings import Settings

MEASURE = "measure"
"""As a rate: by reading for a moment."""
_SECONDS = 0.25
"""For which a rate is measured."""


class Rate(NamedTuple):
    """How fast the files are read, in their own bytes."""

    bytes_per_second: float
    begin_seconds: float = 0.0
    """What the first rows took, files opened."""
    measured: bool = False

    def text(self) -> str:
        """In words."""
        rate = f"{self.bytes_per_second / 1e6:,.{0 if self.bytes_per_second >= 1e7 else 1}f} MB/s"
        if not self.measured:
            return f"{rate} as given"
        return f"{rate} after {text.duration(self.begin_seconds)}, as a short read in file order went"


def rate_of(given: int | str | None, order: EpochOrder, settings: Settings, column_bytes: int) -> Rate | None:
    """The rate that was asked for: a number of bytes a second, text like "200MB/s", or "measure".

    Raises:
        ShardlineTypeError: It is something else.
        ShardlineValueError: The text is not understood.
    """
    if given is None:
        return None
    if given == MEASURE:
        return _measured(order, settings, column_bytes)
    if isinstance(given, bool) or not isinstance(given, (int, str)):
        raise ShardlineTypeError(f"rate must be bytes a second, text like '200MB/s', or '{MEASURE}', not {given!r}")
    try:
        return Rate(float(parse_bytes("rate", given.removesuffix("/s") if isinstance(given, str) else given)))
    except ShardlineValueError:
        raise ShardlineValueError(
            f"rate={given!r} is not understood: give bytes a second, as '200MB/s', or '{MEASURE}'"
        ) from None


def _measured(order: EpochOrder, settings: Settings, column_bytes: int) -> Rate:
    """By reading these columns in file order, decoded and not converted."""
    reading = replace(
        settings,
        column_options={},
        column_defaults=ColumnOptions(),
        matrices=(),
        output_format="numpy" if settings.pack else "arrow",
        transform=None,
        drop_last=False,
        shuffle=False,
        rank=0,
        num_ranks=1,
        num_shards=1,
    )
    began = time.perf_counter()
    batches = start_epoch(EpochContext(reading, order.plan, order.seed, 1), None)
    rows, first, now = 0, 0.0, began
    try:
        for batch in batches:
            rows += len(batch["input_ids"]) if settings.pack else batch.num_rows
            now = time.perf_counter()
            first = first or now - began
            if now - began > _SECONDS:
                break
    finally:
        batches.close()
    read = column_bytes * rows / max(1, order.num_rows)
    return Rate(read / max(now - began, 1e-9), first, measured=True)


def first_bytes(found: Survey, columns: set[str], order: EpochOrder, shards: int, batch_size: int) -> float:
    """About how many bytes of the files are read until the first batch is there.

    Rows that are mixed wait for a window, which has a part of each strand. What begins within a row group needs its
    dictionaries, and where there is no page index all pages before, on average half of them.
    """
    read = [each for each in found.columns.values() if each.leaf.column in columns]
    all_ = float(sum(each.compressed for each in read))
    groups = max(1, sum(group.rows > 0 for group in found.groups))
    windows, rows = order.shuffle.windows, max(1, order.num_rows)
    before = sum(
        each.dictionary_bytes
        + (0.0 if each.offset_indexes == each.chunks else (each.compressed - each.dictionary_bytes) / 2)
        for each in read
    )
    if windows == 1:
        return all_
    if windows:
        return min(all_, all_ / windows + before * order.core.strands / groups)
    dictionaries = float(sum(each.dictionary_bytes for each in read))
    return min(all_, all_ * min(1.0, batch_size / rows) + (before if shards > 1 else dictionaries) / groups)
