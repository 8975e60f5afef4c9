"""`rewrite()`: its arguments, checked, and one run."""

import errno
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shardline.errors import ShardlineTypeError
from shardline.options import validate
from shardline.options.validate import Paths
from shardline.rewrite.folders import check_partition_types
from shardline.rewrite.layout import Layout, check_layout
from shardline.rewrite.order import ROW, check_sortable
from shardline.rewrite.passes import Passes
from shardline.rewrite.place import Place
from shardline.rewrite.report import RewriteProgress, RewriteReport
from shardline.rewrite.sizes import sizes_of
from shardline.rewrite.source import Source
from shardline.rewrite.types import stored_schema
from shardline.rewrite.write import cannot_write


def rewrite(
    path: Paths,
    out: validate.PathLike,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    sort_by: Any = None,
    partition_by: str | Sequence[str] | None = None,
    row_group_rows: int | None = None,
    row_group_bytes: int | str | None = None,
    file_rows: int | None = None,
    file_bytes: int | str | None = None,
    codec: str | None = "snappy",
    codec_level: int | None = None,
    dictionary: bool | str | Sequence[str] = "auto",
    statistics: bool = True,
    page_index: bool = True,
    page_checksums: bool = True,
    fixed_size_lists: bool = False,
    narrow: bool = False,
    overwrite: bool = False,
    memory: int | str = "512MiB",
    num_threads: int | None = None,
    progress: Callable[[RewriteProgress], None] | None = None,
    **reading: Any,
) -> RewriteReport:
    """Writes the same rows in another layout: a folder of Parquet files whose names in order hold the rows in order.

    Every row is verified: what was written is read again, and its digest compared with that of the input, before the
    folder gets its name. A run that was stopped or killed continues from the pieces that are done when it is called
    with the same arguments again; until then they stand in `.NAME.unfinished` beside OUT. See docs/rewrite.md.

    Args:
        path: The input: a file, a directory, a glob or a list of these, local or in a store.
        out: The folder to be made, on a local or mounted disk.
        shuffle: Whether rows come in a uniformly random order, by two passes over temporary files beside `out`.
        seed: The order of a shuffle, 0 by default. It depends on the seed and the rows' numbers only.
        sort_by: Columns, or `(column, "descending")`. Stable; nulls last.
        partition_by: Columns that become `key=value` folders instead of columns. In each, rows keep their order.
        row_group_rows: Rows of a row group.
        row_group_bytes: Decoded bytes of a row group, about, instead of rows; 16MiB by default.
        file_rows: Rows of a file. About as many where rows change places.
        file_bytes: Decoded bytes of a file, about, instead of rows; 256MiB by default.
        codec: "none", "snappy", "zstd", "lz4", "gzip" or "brotli".
        codec_level: Of zstd, gzip or brotli.
        dictionary: True, False, the names of the columns that have a dictionary, or "auto": those that it makes
            smaller, by trying it on some rows.
        statistics: Whether files hold least and greatest values.
        page_index: Whether files hold the places of their pages, so that a reader can begin in the middle.
        page_checksums: Whether pages hold a CRC.
        fixed_size_lists: Whether lists become fixed-size lists where all lists of a column have one length.
        narrow: Whether numbers get narrower types where no value changes: int64 to int32 or int16, float64 to float32.
        overwrite: Whether `out` may exist. It is replaced when all is written.
        memory: The most bytes that the run takes, about, beyond what the process has.
        num_threads: The pieces that are made at a time, where memory allows. By default the cores.
        progress: Called on this thread with a `RewriteProgress` now and then.
        reading: Which rows and columns are read, by the loader's arguments: `columns`, `filters`, `sample`, `subset`,
            `partitioning`, `storage_options`, `columns_from`, `missing_columns`, `widen_types`; of a Delta table
            `format="delta"`, `version` and `timestamp`, of an Iceberg table `format="iceberg"`, `snapshot`, `ref` and
            `as_of`.

    Returns:
        What was written; `print` shows it as a table.

    Raises:
        ShardlineValueError: An argument is out of its range, `out` exists, or the input is damaged.
        ShardlineTypeError: An argument is of the wrong type, or a column cannot be sorted or partitioned by.
        ColumnNotFoundError: A column does not exist.
        ShardlineOSError: The disk is full, or a file cannot be written.
        ShardlineRuntimeError: What was written differs from what was read, or another process writes `out`.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> folder = tempfile.mkdtemp()
    >>> pq.write_table(pa.table({"x": range(1000)}), f"{folder}/x.parquet", row_group_size=10)
    >>> report = rewrite(f"{folder}/x.parquet", f"{folder}/out", shuffle=True, seed=7, row_group_rows=500)
    >>> report.rows, report.row_groups_before, report.row_groups
    (1000, 100, 2)
    >>> pq.read_table(f"{folder}/out")["x"].to_pylist()[:5] != [0, 1, 2, 3, 4]
    True
    """
    began = time.perf_counter()
    layout = check_layout(
        row_group_rows=row_group_rows,
        row_group_bytes=row_group_bytes,
        file_rows=file_rows,
        file_bytes=file_bytes,
        codec=codec,
        codec_level=codec_level,
        page_index=page_index,
        page_checksums=page_checksums,
        statistics=statistics,
        dictionary=dictionary,
        fixed_size_lists=fixed_size_lists,
        narrow=narrow,
        sort_by=sort_by,
        partition_by=partition_by,
        shuffle=shuffle,
        seed=seed,
    )
    validate.check_bool("overwrite", overwrite)
    if progress is not None and not callable(progress):
        raise ShardlineTypeError(f"progress must be a function of a RewriteProgress, not {progress!r}")
    threads, limit = validate.check_num_threads(num_threads), validate.parse_bytes("memory", memory)
    source = Source(path, reading, threads, ahead=max(1, limit // 64))
    _check_columns(source, layout)
    sizes = sizes_of(source, layout, limit, threads)
    place = Place(out, _folders(path), source.paths, overwrite=overwrite)
    try:
        with place:
            return Passes(source, layout, sizes, place, limit, progress).run(began)
    except OSError as error:  # writers name their files themselves
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) and place.work.name not in str(error):
            raise cannot_write(place.work, error) from error
        raise


def _folders(path: Paths) -> list[Path]:
    """The folders of the input: no OUT may stand in them, or the next run would read it."""
    return [Path(one) for one in validate.check_paths(path) if Path(one).is_dir()]


def _check_columns(source: Source, layout: Layout) -> None:
    sort = [name for name, _ in layout.sort_by]
    source.check_columns("sort_by", sort)
    source.check_columns("partition_by", layout.partition_by)
    if isinstance(layout.dictionary, tuple):
        source.check_columns("dictionary", layout.dictionary)
    check_partition_types(source.schema, layout.partition_by)
    stored = stored_schema(source.schema)
    check_sortable(stored, list(layout.sort_by), "sort_by")
    if layout.two_passes and ROW in source.schema.names:
        raise ShardlineTypeError(f"a column has the name {ROW!r}, which temporary files use; leave it out by columns=")
