"""Pass one of two: chunks of rows, each a file in which the rows stand by bucket.

A chunk's file: where each bucket begins and the last one ends, as int64, then how many rows each has, then an Arrow IPC
message for each bucket that has rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardline.errors import ShardlineRuntimeError
from shardline.rewrite.digest import digest
from shardline.rewrite.job import Job, Piece, Rows
from shardline.rewrite.order import ROW, Order
from shardline.rewrite.parallel import Tell
from shardline.rewrite.types import conform
from shardline.rewrite.write import WrittenFile, cannot_write

Counts = npt.NDArray[np.int64]


class Contents(NamedTuple):
    """Of each bucket, over all chunks."""

    rows: Counts
    bytes: Counts


def scatter_chunks(job: Job, chunks: Sequence[int], order: Order, tell: Tell) -> None:
    """Writes consecutive chunks, with one reader for all of them."""
    rows = job.sizes.chunk
    for chunk, batch in zip(chunks, job.source.batches(chunks[0], len(chunks), rows), strict=True):
        path = job.chunk_path(chunk)
        placed, counts = order.place(conform(batch, job.stored), chunk * rows)
        try:
            size = _write(path, placed, counts)
        except OSError as error:
            raise cannot_write(path, error) from error
        tell(Piece(f"chunk {chunk}", digest(batch), (WrittenFile(path.name, batch.num_rows, 0, size),)))
        tell(Rows(batch.num_rows))


def _write(path: Path, placed: pa.RecordBatch, counts: Counts) -> int:
    ends = np.cumsum(counts)
    begins = np.zeros(len(counts) + 1, np.int64)
    at = begins[0] = (2 * len(counts) + 1) * 8
    with path.open("wb", buffering=2**20) as file:
        file.write(bytes(int(at)))
        for bucket, (end, rows) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
            if rows:
                at += file.write(placed.slice(end - rows, rows).serialize())
            begins[bucket + 1] = at
        file.seek(0)
        file.write(np.concatenate([begins, counts]).astype("<i8").tobytes())
    return int(at)


def contents(chunks: Sequence[Path], buckets: int) -> Contents:
    """What all chunks hold."""
    rows, size = np.zeros(buckets, np.int64), np.zeros(buckets, np.int64)
    for path in chunks:
        head = np.fromfile(path, "<i8", 2 * buckets + 1)
        rows += head[buckets + 1 :]
        size += np.diff(head[: buckets + 1])
    return Contents(rows, size)


def read_bucket(chunks: Sequence[Path], bucket: int, schema: pa.Schema) -> pa.RecordBatch:
    """A bucket's rows, in the order of the input. `schema`: of temporary files, without ROW."""
    schema = schema.append(pa.field(ROW, pa.uint64(), nullable=False))
    batches = []
    for path in chunks:
        with path.open("rb", buffering=0) as file:
            file.seek(bucket * 8)
            begin, end = np.frombuffer(file.read(16), "<i8").tolist()
            if end > begin:
                file.seek(begin)
                data = file.read(end - begin)
                if len(data) < end - begin:
                    raise ShardlineRuntimeError(f"{path} was cut short while it was in use; run rewrite() again")
                batches.append(pa.ipc.read_record_batch(pa.py_buffer(data), schema))
    whole = pa.Table.from_batches(batches, schema).combine_chunks()
    found = whole.to_batches()
    return found[0] if found else pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
