"""What Parquet footers say of files, read by pyarrow: the core keeps less of them than people ask about.

- `opening`: files by name, on disk or in a store
- `page_header`: whether a page has a checksum
- `leaves`: the columns that a footer has, by the names that users know
- `columns`: what is gathered of a column over all footers
- `survey`: all footers, gathered
- `stats`: `Stats`, the report of `dataset.stats()`
"""
