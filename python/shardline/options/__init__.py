"""What one argument may be: knows no file and no rank.

`validate`: checks of plain arguments. `columns`: `ColumnOptions`. `storage`: `storage_options`. `temporal`: units of
dates and times. `cpu`: the cores that this process may use.
"""
