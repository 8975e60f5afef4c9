"""Tables: which files a version of one has, what its columns are called in them, and which of their rows are deleted.

- `request`: which table, and which version of it, a dataset was asked for
- `table_version`: what every kind of table comes to
- `delta`: Delta tables, by the package deltalake; `delta_schema`: their schema as Arrow's
"""
