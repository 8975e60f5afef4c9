"""Tables: which files a version of one has, what its columns are called in them, and which of their rows are deleted.

- `request`: which table, and which version of it, a dataset was asked for
- `table_version`: what every kind of table comes to
- `delta`: Delta tables, by the package deltalake; `delta_schema`: their schema as Arrow's; `delta_store`: its
  options for a store; `delta_copy`: logs that it cannot read where they are
- `iceberg`: Iceberg tables
- `opening`: a version of a table, whatever its format
"""
