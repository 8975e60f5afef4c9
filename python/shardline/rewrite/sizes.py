"""How many rows go where, from what a row takes and the memory that may be used. All of it is decided beforehand."""

from dataclasses import dataclass

from shardline.errors import ShardlineValueError
from shardline.rewrite.layout import Layout
from shardline.rewrite.source import Source

_CHUNK_BYTES = 16 * 2**20  # of pass one: decoded rows that are scattered at a time
_MOST_BUCKETS = 2**16 - 1  # a row's bucket fits 16 bits, which sort in linear time
_GROUPS_HELD = 3  # row groups in one worker: read ahead, in hand, encoded
SHARE = 0.5  # of the memory; the rest is the allocators' and what the loader keeps for reuse


@dataclass(frozen=True)
class Sizes:
    """Rows and pieces. A file of two passes is of whole buckets, so that its rows vary by chance."""

    row_group: int
    """The most rows of a row group."""
    groups_per_file: int
    files: int
    chunk: int
    """The rows that are scattered at a time."""
    chunks: int
    buckets_per_file: int
    workers: int
    """Threads that each read, order or write one piece."""

    @property
    def buckets(self) -> int:
        """Of pass two."""
        return self.files * self.buckets_per_file


def sizes_of(source: Source, layout: Layout, memory: int, threads: int) -> Sizes:
    """ShardlineValueError where one row group does not fit the memory."""
    mean, widest = source.row_bytes
    rows, room = source.num_rows, int(memory * SHARE)
    most = int(room / _GROUPS_HELD / widest)
    if layout.row_group_rows is None:
        row_group = max(1, min(int(layout.row_group_bytes / mean), most))
    else:
        row_group = layout.row_group_rows
    row_group = min(row_group, rows)
    if row_group > max(most, 1):
        needed = int(row_group * widest * _GROUPS_HELD / SHARE)
        raise ShardlineValueError(
            f"row_group_rows={row_group:,}: such row groups take {row_group * widest / 2**20:,.0f} MiB, decoded. Give "
            f"memory={needed:,} or more, or fewer rows"
        )
    if layout.file_rows is None:
        file_rows = max(1, int(layout.file_bytes / mean))
        row_group = min(row_group, file_rows)
        groups = file_rows // row_group
    else:  # row groups of one size, so that 100 rows do not become 64 and 36
        file_rows = min(layout.file_rows, rows)
        groups = -(-file_rows // row_group)
        row_group = file_rows // groups
    per_file = row_group * groups
    files = -(-rows // per_file)
    chunk_bytes = min(_CHUNK_BYTES, room // 8)
    chunk = max(1, min(int(chunk_bytes / widest), rows))
    file_bytes = -(-rows // files) * mean  # where rows change places, files are equal shares
    buckets = max(1, min(-(-int(file_bytes) // chunk_bytes), _MOST_BUCKETS // files)) if layout.two_passes else 1
    needs = row_group * widest * _GROUPS_HELD
    if layout.two_passes:
        needs = max(4.0 * chunk_bytes, row_group * widest * 2 + 2.5 * max(chunk_bytes, file_bytes / buckets))
    workers = max(1, min(threads, int(room // needs)))
    return Sizes(row_group, groups, files, chunk, -(-rows // chunk), buckets, workers)
