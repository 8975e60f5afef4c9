"""Which rows are read.

- `parse`: pyarrow expressions and lists of conditions, as trees.
- `compile`: a tree as steps of the core.
- `fallback`: what only pyarrow evaluates.
- `sample`: a fraction of the rows.
- `hive`: `key=value` folders as columns.
- `row_filter`: all of these, over the files of one plan.
"""
