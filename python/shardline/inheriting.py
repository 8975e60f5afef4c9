"""Which options hold for a column, or for a field in one."""

from typing import Any

from shardline.options.columns import ColumnOptions
from shardline.settings import Settings


def options_of(settings: Settings, path: str, columns: Any = ()) -> ColumnOptions:
    """What holds for a column, or for a field in one: its own options, those of what it lies in, and the defaults.

    `columns`: the names of whole columns, which lie in none.
    """
    options = settings.column_options.get(path, ColumnOptions())
    outer = path
    while outer not in columns and "." in outer:
        outer = outer.rpartition(".")[0]
        if outer in settings.column_options:
            options = options.over(settings.column_options[outer])
    return options.over(settings.column_defaults)
