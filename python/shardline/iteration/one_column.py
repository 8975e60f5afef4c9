"""One column of a dataset, in file order, in this process: all of it, or how often each value comes."""

from dataclasses import replace
from typing import Any

import pyarrow as pa

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.iteration.context import EpochContext
from shardline.iteration.epoch import start_epoch
from shardline.options.columns import ColumnOptions
from shardline.planning.epoch_order import EpochOrder
from shardline.settings import Settings

_BATCH = 2**16
_MOST_VALUES = 2**20


def read_column(order: EpochOrder, settings: Settings, column: str) -> "pa.RecordBatchReader":
    """The column's values on the line, in file order: Arrow batches of one column."""
    reading = replace(
        settings,
        columns=(column,),
        column_options={},
        column_defaults=ColumnOptions(),
        matrices=(),
        output_format="arrow",
        transform=None,
        batch_size=_BATCH,
        drop_last=False,
        shuffle=False,
        rank=0,
        num_ranks=1,
        num_shards=1,
    )
    return start_epoch(EpochContext(reading, order.plan, order.seed, 1), None)


def value_counts(order: EpochOrder, settings: Settings, column: str) -> dict[Any, int]:
    """How many rows have each value, the most frequent first; None stands for null. Reads the column.

    Raises:
        ColumnNotFoundError: There is no such column.
        ShardlineTypeError: The column holds lists or structs.
        ShardlineValueError: It has more than 1,048,576 values.
    """
    counts: dict[Any, int] = {}
    for batch in read_column(order, settings, column):
        array = batch.column(0)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_nested(array.type):
            raise ShardlineTypeError(
                f"column={column!r} is {array.type}, and only single values are counted. Give another column"
            )
        for value, count in zip(*array.value_counts().flatten(), strict=True):
            plain = value.as_py()
            counts[plain] = counts.get(plain, 0) + count.as_py()
        if len(counts) > _MOST_VALUES:
            raise ShardlineValueError(
                f"column={column!r} has more than {_MOST_VALUES:,} values: give a column of fewer, such as a label"
            )
    return dict(sorted(counts.items(), key=lambda each: -each[1]))
