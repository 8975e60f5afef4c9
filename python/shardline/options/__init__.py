"""What one argument may be. Knows no file and no rank.

- `validate`: checks of plain arguments.
- `columns`: `ColumnOptions`, checked.
- `storage`: `storage_options`, flattened for the core.
- `near`: names that may have been meant.
- `temporal`: units of dates, times and durations.
- `cpu`: the cores that this process may use.
"""
