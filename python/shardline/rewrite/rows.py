"""`row_digest()`: whether two data sets hold the same rows, whoever wrote them."""

from typing import Any

from shardline.options import validate
from shardline.options.validate import Paths
from shardline.rewrite.digest import Digest, digest
from shardline.rewrite.source import Source

_BATCH_ROWS = 2**16
_AHEAD = 64 << 20


def row_digest(path: Paths, *, num_threads: int | None = None, **reading: Any) -> str:
    """The digest of a data set's rows, in which neither their order nor how they are stored plays a part.

    It is what `rewrite()` verifies its output by. Columns count by name and value: int32 7 and int64 7 are one, and so
    are a dictionary and its values; see docs/rewrite.md. All rows are read and decoded.

    Args:
        path: A file, a directory, a glob or a list of these, local or in a store.
        num_threads: The threads that decode; by default the cores.
        reading: Which rows and columns are meant, as for `rewrite()`.

    Returns:
        32 hex digits.

    Raises:
        ShardlineTypeError: A column's type has no digest, or an argument is not known.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> pq.write_table(pa.table({"x": [1, 2], "y": ["a", None]}), f"{folder}/one.parquet")
    >>> pq.write_table(pa.table({"y": [None, "a"], "x": pa.array([2, 1], pa.int8())}), f"{folder}/other.parquet")
    >>> row_digest(f"{folder}/one.parquet") == row_digest(f"{folder}/other.parquet")
    True
    """
    threads = validate.check_num_threads(num_threads)
    source, found = Source(path, reading, threads, _AHEAD), Digest()
    for batch in source.batches(0, -(-source.num_rows // _BATCH_ROWS), _BATCH_ROWS, threads=threads):
        found += digest(batch)
    return str(found)
