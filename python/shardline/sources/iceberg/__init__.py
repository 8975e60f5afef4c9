"""Iceberg tables, by the package pyiceberg, as a `TableVersion`.

From there come catalogs, the metadata of a table and the decoding of its manifests. Which deletes apply to which file
is planned here, and delete files are read here: pyiceberg refuses equality deletes, and drops what manifests say of
deletion vectors. The data are read by shardline, like all Parquet.

- `locations`, `table_files`: where a table's files are, and their bytes
- `metadata`: a table's metadata, and the snapshot in it that is asked for
- `avro`, `manifests`: the data and delete files of a snapshot
- `columns`: its schema as Arrow's; `partitions`: the values of identity partition columns
- `pruning`: files that a filter rules out by their partitions; `transforms`: what these say of values
- `scope`: which delete files apply to a data file
- `position_deletes`, `deletion_vectors`, `equality_deletes`: the rows that they delete; `delete_table`: such a file,
  opened; `key_columns`: what equality deletes compare
- `deletes`: all of these, of some data files
- `opening`: the whole of it
- `catalog`, `catalog_store`: a table by its name in a catalog, and how its store is read
"""
