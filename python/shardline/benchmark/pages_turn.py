"""A turn that reads and decompresses all pages and decodes none: no reader of these columns can be faster.

By pyarrow's decompressors, on Python threads. What Python does for a page takes some 20 µs, in which no other thread
works: where pages are small, the limit is really higher than what is measured here.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shardline.benchmark.clock import Clock
from shardline.benchmark.page_walk import pages
from shardline.benchmark.turn import Result, Turn
from shardline.errors import ShardlineValueError

_CODECS = ("snappy", "gzip", "brotli", "zstd", "lz4_raw")


def run(turn: Turn) -> Result:
    """Row groups are taken by so many threads; the first of them is the first batch."""
    clock, lock = Clock(turn.seconds), threading.Lock()
    failed: list[Exception] = []
    work, total = _groups(turn), [0, 0]

    def take() -> None:
        memory = Memory()
        try:
            while not failed and not clock.over:
                with lock:
                    group = next(work, None)
                if group is None:
                    return
                size, count = read_group(*group[:2], memory)
                with lock:
                    total[0], total[1] = total[0] + size, total[1] + count
                    clock.done(group[2])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=take) for _ in range(turn.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return Result(**clock.times(), page_bytes=total[0] / max(1, total[1]))


def _groups(turn: Turn) -> Iterator[tuple[int, list[Any], int]]:
    """(an open file, its column chunks, rows) of all row groups, again and again."""
    root = Path(turn.plan.root.removeprefix("file://"))
    columns = turn.arguments.get("columns")
    wanted = None if columns is None else {each.partition(".")[0] for each in columns}
    while True:
        for name, _, _ in turn.plan.files():
            footer, file = pq.read_metadata(root / name), os.open(root / name, os.O_RDONLY)
            try:
                for number in range(footer.num_row_groups):
                    group = footer.row_group(number)
                    chunks = [group.column(place) for place in range(group.num_columns)]
                    if wanted is not None:
                        chunks = [each for each in chunks if each.path_in_schema.partition(".")[0] in wanted]
                    if group.num_rows:
                        yield os.dup(file), chunks, group.num_rows
            finally:
                os.close(file)


class Memory:
    """What chunks are read into, one after the other."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def of(self, size: int) -> memoryview:
        """So many bytes; what was there before is overwritten."""
        if self._bytes.size < size:
            self._bytes = np.empty(size, np.uint8)
        return self._bytes.data[:size]


def read_group(file: int, chunks: list[Any], memory: Memory) -> tuple[int, int]:
    """Reads and decompresses a row group's chunks; (decompressed bytes, pages). Closes the file."""
    size = count = 0
    try:
        for chunk in chunks:
            codec = _codec(chunk.compression)
            start = min(each for each in (chunk.dictionary_page_offset, chunk.data_page_offset) if each)
            view = memory.of(chunk.total_compressed_size)
            if os.preadv(file, [view], start) != len(view):
                raise ShardlineValueError("a file ends within a column chunk")
            for page in pages(view):
                if codec is not None and page.compressed and page.size:
                    codec.decompress(view[page.start + page.levels : page.end], page.size)
                size, count = size + page.size + page.levels, count + 1
    finally:
        os.close(file)
    return size, count


def _codec(name: str) -> Any:
    if name == "UNCOMPRESSED":
        return None
    name = "lz4_raw" if name == "LZ4" else name.lower()  # Hadoop's has another name
    if name not in _CODECS:
        raise ShardlineValueError(f"pages compressed by {name} are not decompressed here")
    return pa.Codec(name)
