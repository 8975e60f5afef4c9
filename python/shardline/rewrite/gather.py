"""Pass two of two: each bucket in memory, in order, and the buckets end to end in files."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from shardline.rewrite.folders import cut_by_folder
from shardline.rewrite.job import Job, Piece, Rows
from shardline.rewrite.order import Order
from shardline.rewrite.parallel import Tell
from shardline.rewrite.scatter import Contents, read_bucket
from shardline.rewrite.verify import digest_of_files
from shardline.rewrite.write import FileWriter, WrittenFile


class Budget:
    """Bytes that threads take and give back; who wants more than there are gets all of them, alone."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Waits until they are free."""
        wanted = min(wanted, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


def gather_file(job: Job, file: int, held: Contents, order: Order, budget: Budget, tell: Tell) -> None:
    """Writes one file, or one in each folder that its rows belong to."""
    sizes, folders = job.sizes, job.layout.partition_by
    buckets = range(file * sizes.buckets_per_file, (file + 1) * sizes.buckets_per_file)
    rows, group_rows = int(held.rows[buckets.start : buckets.stop].sum()), sizes.row_group
    if rows and not folders:  # row groups of equal size, rather than a small one at the end
        group_rows = -(-rows // -(-rows // sizes.row_group))
    chunks = [job.chunk_path(chunk) for chunk in range(sizes.chunks)]
    written: list[WrittenFile] = []
    writer: FileWriter | None = None
    for bucket in buckets:
        with budget.taken(int(held.bytes[bucket]) * 5 // 2):
            for above, part in cut_by_folder(_ordered(job, chunks, bucket, order), folders):
                name = above + job.file_name(file)
                if writer is None or writer.name != name:
                    written += [] if writer is None else [writer.close()]
                    writer = job.new_file(name, group_rows)
                for start in range(0, part.num_rows, group_rows):
                    piece = part.slice(start, group_rows)
                    writer.add(job.conformed(piece))
                    tell(Rows(piece.num_rows))
    written += [] if writer is None else [writer.close()]
    tell(Piece(f"file {file}", digest_of_files(job.folder, written, job.stored), tuple(written)))


def _ordered(job: Job, chunks: Sequence[Path], bucket: int, order: Order) -> pa.RecordBatch:
    return order.arrange(read_bucket(chunks, bucket, job.stored)).select(job.stored.names)
