"""The input: any range of its rows as Arrow batches, read by the loader in file order."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shardline._core import Plan
from shardline.dataset import StructuredDataset
from shardline.errors import ColumnNotFoundError, ShardlineTypeError, ShardlineValueError
from shardline.options.storage import is_remote
from shardline.options.validate import Paths
from shardline.sources.request import OF_VERSIONS

READING = (
    *OF_VERSIONS,
    "columns",
    "columns_from",
    "filters",
    "format",
    "missing_columns",
    "partitioning",
    "sample",
    "sample_seed",
    "storage_options",
    "subset",
    "widen_types",
)
"""The loader's arguments that say which rows and columns are the input."""

_OF_PATHS = ("format", *OF_VERSIONS)
"""Those of them that say what a path stands for."""

_ALWAYS: dict[str, Any] = {"output_format": "arrow", "rank": 0, "num_ranks": 1}


class Source:
    """An input that was listed, and whose rows were counted."""

    plan: Plan
    num_rows: int
    schema: pa.Schema
    """As the rows are delivered."""

    def __init__(self, path: Paths, reading: Mapping[str, Any], threads: int, ahead: int) -> None:
        """`ahead`: the bytes that a reader decodes ahead, at most."""
        unknown = sorted(set(reading) - set(READING))
        if unknown:
            raise ShardlineTypeError(
                f"there is no argument {unknown[0]!r} here; of the loader's these are taken: {', '.join(READING)}"
            )
        self._reading, self._ahead = dict(reading), ahead
        dataset = self._dataset(path=path, batch_size=1, num_threads=threads)
        self.plan, self.num_rows = dataset.plan, dataset.num_rows
        self.schema = self._delivered()
        if len(self.schema) == 0:
            raise ShardlineValueError("there is no column to write")
        for name in self.schema.names:
            if self.schema.names.count(name) > 1:
                raise ShardlineValueError(f"the column {name!r} is there twice; rename one, or name others in columns=")

    @property
    def described(self) -> list[str]:
        """What the input is, as far as it decides rows: for the journal's key."""
        secret = ("storage_options",)
        of_table = [] if self.plan.source is None else [self.plan.source, str(self.plan.deleted)]
        given = (f"{k}={v!s}" for k, v in sorted(self._reading.items()) if k not in secret)
        return [self.plan.digest, *of_table, *given]

    @property
    def paths(self) -> list[Path]:
        """The input's files, where they are local."""
        if is_remote(self.plan.root):
            return []
        return [Path(self.plan.root) / name for name, _, _ in self.plan.files()]

    @property
    def num_bytes(self) -> int | None:
        """As stored, where files are local."""
        paths = self.paths
        return sum(path.stat().st_size for path in paths) if paths else None

    @property
    def row_bytes(self) -> tuple[float, float]:
        """The decoded bytes of a row, over all columns: the mean, and the most that a row group has on average."""
        sizes = [(rows, size) for rows, size in zip(self.plan.group_rows, self.plan.decoded_bytes, strict=True) if rows]
        total = sum(rows for rows, _ in sizes)
        mean = sum(size for _, size in sizes) / total
        return max(1.0, mean), max(1.0, *(size / rows for rows, size in sizes))

    def check_columns(self, argument: str, names: Sequence[str]) -> None:
        """ColumnNotFoundError where one of `names` is no column."""
        for name in names:
            if name not in self.schema.names:
                known = ", ".join(self.schema.names[:20])
                raise ColumnNotFoundError(f"{argument}= names {name!r}, which is no column; there are {known}")

    def batches(
        self, first: int, count: int, rows: int, *, columns: Sequence[str] | None = None, threads: int = 1
    ) -> Iterator[pa.RecordBatch]:
        """Batches `first` … `first + count - 1` of all rows cut into batches of `rows` rows.

        `columns`: of these columns only. The thread that iterates does not decode: `threads` others do.
        """
        chosen = {} if columns is None else {"columns": list(columns)}
        dataset = self._dataset(plan=self.plan, batch_size=rows, num_threads=threads, **chosen)
        dataset.seek(first)
        for batch in dataset:
            yield batch
            count -= 1
            if count == 0:
                return

    def _dataset(self, **arguments: Any) -> StructuredDataset:
        without = {*arguments, *(_OF_PATHS if "plan" in arguments else ())}
        kept = {key: value for key, value in self._reading.items() if key not in without}
        return StructuredDataset(prefetch_bytes=self._ahead, **_ALWAYS, **(kept | arguments))

    def _delivered(self) -> pa.Schema:
        """With the first file's metadata, where it is local: what pandas or Hugging Face datasets need to know."""
        first = next(iter(self._dataset(plan=self.plan, batch_size=1, num_threads=1)))
        path = next(iter(self.paths), None)
        return first.schema.with_metadata(None if path is None else pq.read_schema(path).metadata)


def read_file(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a file that was written."""
    # Whatever table the folder may stand in.
    options = {"format": "parquet", "batch_size": rows, "num_threads": 1, "prefetch_bytes": 1, **_ALWAYS}
    yield from StructuredDataset(os.fspath(path), **options)
