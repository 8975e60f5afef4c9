"""Filters of which a part has no kernel in the core: pyarrow evaluates them, on the threads that decode."""

from typing import Any

import pyarrow as pa

from shardline.errors import ShardlineTypeError


class PyarrowEvaluator:
    """Tells which rows an expression is true of; pyarrow computes without the GIL, on the thread that asks."""

    def __init__(self, expression: Any) -> None:
        self._expression = expression

    def __call__(self, rows: Any) -> pa.BooleanArray:
        """`rows`: few enough for one batch of pyarrow's, so that none changes its place."""
        from pyarrow import acero  # slow to import, and needed here only

        table = pa.Table.from_batches([pa.record_batch(rows)])
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
