"""What a catalog says of a table, among the arguments of the dataset that reads it."""

from typing import Any

from shardline.filters.compile import check_filters
from shardline.sources.iceberg.catalog import IcebergTable
from shardline.sources.request import request_of


def ask_catalog(table: IcebergTable, values: dict[str, Any]) -> str:
    """Puts what the catalog says into checked arguments: how the store is read, and the scan filter as one of rows.

    Args:
        table: The table. Its catalog is asked once.
        values: The arguments, which are changed.

    Returns:
        Where the table is.

    Raises:
        ShardlineError: As `IcebergTable.load` does, or an argument has no meaning for tables.
    """
    request = request_of(values)
    assert request is not None
    given = values["storage_options"]
    values["catalog"] = table
    values["storage_options"] = table.storage_options(given)
    found = table.rows(request)
    if found is not None:
        expression, values["reading"] = found
        own = values["filters"]
        values["filters"] = check_filters(expression if own is None else own.expression & expression)
    return table.location()
