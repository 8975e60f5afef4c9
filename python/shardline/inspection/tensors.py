"""What each column becomes as a tensor, by default and whatever nulls it has."""

from collections.abc import Mapping
from typing import Any

from shardline._core import Plan
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineError
from shardline.options.columns import ColumnOptions
from shardline.schema import ColumnSchema, words_of


def tensors_of(plan: Plan, storage_options: Mapping[str, Any] | None) -> tuple[dict[str, str], str]:
    """In words, by the name of a column or of a field; and why the files cannot be read as one, or nothing."""
    try:
        dataset = StructuredDataset(
            plan=plan,
            batch_size=1,
            column_defaults=ColumnOptions(nulls="mask"),
            storage_options=storage_options,
            rank=0,
            num_ranks=1,
        )
    except ShardlineError as error:
        return {}, str(error)
    found: dict[str, str] = {}

    def add(column: ColumnSchema, path: str) -> None:
        if column.role == "value":
            found[path] = " ".join(filter(None, words_of(column)))
            for each in column.fields:
                add(each, f"{path}.{each.name}")

    for column in dataset.schema.values():
        add(column, column.columns[0])
    return found, ""
