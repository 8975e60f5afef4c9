"""Filters of which a part has no kernel in the core: pyarrow evaluates them, on the threads that decode."""

from typing import Any

import pyarrow as pa

from shardline._core import FILTER_BLOCK_ROWS
from shardline.errors import ShardlineTypeError


class PyarrowEvaluator:
    """Tells which rows an expression is true of; pyarrow computes without the GIL, on the thread that asks."""

    def __init__(self, expression: Any) -> None:
        self._expression = expression

    def __call__(self, rows: Any) -> pa.BooleanArray:
        """Tells it of at most `FILTER_BLOCK_ROWS` rows: one batch for pyarrow, which keeps their order."""
        from pyarrow import acero  # slow to import, and needed here only

        batch = pa.record_batch(rows)
        assert batch.num_rows <= FILTER_BLOCK_ROWS, "the core gave more rows than pyarrow computes as one batch"
        table = pa.Table.from_batches([batch])
        steps = [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(table)),
            acero.Declaration("project", acero.ProjectNodeOptions([self._expression], ["passes"])),
        ]
        try:
            passes = acero.Declaration.from_sequence(steps).to_table(use_threads=False)["passes"]
        except pa.ArrowException as error:
            raise ShardlineTypeError(f"filters={self._expression}: {error}") from error
        if not pa.types.is_boolean(passes.type):
            raise ShardlineTypeError(f"filters={self._expression}: it is {passes.type}, neither true nor false")
        return passes.combine_chunks()
