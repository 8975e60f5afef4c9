"""All footers of some files, read by a pool of threads and gathered in the files' order."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa

from shardline.errors import ShardlineError
from shardline.footers import page_header
from shardline.footers.columns import ColumnFacts
from shardline.footers.leaves import Leaf, leaves_of
from shardline.footers.opening import Open

_AT_A_TIME = 256
"""Footers in memory."""


class Group(NamedTuple):
    """A row group: its file, its number there, its rows, and its bytes in the file and once decompressed."""

    file: str
    number: int
    rows: int
    compressed: int
    uncompressed: int


@dataclass
class Survey:
    """What the footers say."""

    files: int = 0
    bytes: int = 0
    rows: int = 0
    footer_bytes: int = 0
    groups: list[Group] = field(default_factory=list)
    columns: dict[str, ColumnFacts] = field(default_factory=dict)
    writers: Counter[str] = field(default_factory=Counter)
    with_checksums: int = 0
    """Files whose first page has a checksum."""
    damaged: dict[str, str] = field(default_factory=dict)
    """What is wrong with the files whose footer cannot be read."""
    _schema: Any = None
    _leaves: Sequence[Leaf] = ()

    def add(self, name: str, footer: Any, size: int, has_checksum: bool) -> None:
        """Takes in a file: pyarrow's `FileMetaData`."""
        self.files += 1
        self.bytes += size
        self.rows += footer.num_rows
        self.footer_bytes += footer.serialized_size
        self.writers[footer.created_by or "unknown"] += 1
        self.with_checksums += has_checksum
        if self._schema is None or not footer.schema.equals(self._schema):
            self._schema, self._leaves = footer.schema, leaves_of(footer.schema)
        facts = [self.columns.setdefault(leaf.name, ColumnFacts(leaf)) for leaf in self._leaves]
        for each, leaf in zip(facts, self._leaves, strict=True):
            each.types[leaf.type] += 1
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            compressed, rows = 0, group.num_rows
            for place, each in enumerate(facts):
                chunk = group.column(place)
                compressed += chunk.total_compressed_size
                if rows:
                    each.add(chunk, rows)
            self.groups.append(Group(name, number, rows, compressed, group.total_byte_size))


def survey(
    names: Iterable[str], open_file: Open, num_threads: int, progress: Callable[[int], object] | None = None
) -> Survey:
    """Reads the footers of files, and the first bytes of each file's first page.

    Args:
        names: The files, in their order.
        open_file: Opens one.
        num_threads: How many are read at a time.
        progress: Told of each how many were done.

    Returns:
        What they say; files that cannot be read are among `damaged`.
    """
    found, names = Survey(), iter(names)

    def read(name: str) -> tuple[str, Any]:
        try:
            return name, _read(open_file, name)
        except (OSError, pa.ArrowException, ShardlineError) as error:
            return name, str(error).splitlines()[0]

    with ThreadPoolExecutor(num_threads) as pool:
        while some := list(islice(names, _AT_A_TIME)):
            for name, result in pool.map(read, some):
                if isinstance(result, str):
                    found.damaged[name] = result
                else:
                    found.add(name, *result)
            if progress is not None:
                progress(found.files + len(found.damaged))
    return found


def _read(open_file: Open, name: str) -> tuple[Any, int, bool]:
    import pyarrow.parquet as pq  # slow to import

    with open_file(name) as file:
        footer = pq.read_metadata(file)
        size, has_checksum = file.size(), None
        start = _first_page(footer)
        if start is not None:
            file.seek(start)
            has_checksum = page_header.has_checksum(file.read(page_header.MOST))
    return footer, size, bool(has_checksum)


def _first_page(footer: Any) -> int | None:
    """Where the first page of a file begins; None where there is none."""
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if group.num_rows and footer.num_columns:
            chunk = group.column(0)
            return min((each for each in (chunk.dictionary_page_offset, chunk.data_page_offset) if each), default=None)
    return None
