"""What is gathered of one column over all footers."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shardline.footers.leaves import Leaf

_MAY_BE_CUT = 64
"""Bytes of a text from which on some writers cut it in statistics."""


@dataclass
class ColumnFacts:
    """A column as Parquet stores it, over the files that have it."""

    leaf: Leaf
    types: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    chunks: int = 0
    values: int = 0
    """Nulls counted in; of a list, its items and its empty and null lists."""
    compressed: int = 0
    uncompressed: int = 0
    offset_indexes: int = 0
    column_indexes: int = 0
    dictionaries: int = 0
    dictionary_bytes: int = 0
    """Of the dictionaries' pages, in the files."""
    nulls: int = 0
    counted: int = 0
    """The chunks whose nulls the footers count."""
    bounded: int = 0
    """The chunks with a least and a greatest value."""
    empty: int = 0
    """The chunks of nulls only, which have none."""
    min: Any = None
    max: Any = None
    may_be_cut: bool = False
    per_row: set[int | None] = field(default_factory=set)
    """The values a row, of each chunk; None where that is no whole number."""
    rising: int = 0
    falling: int = 0
    """The chunks that begin where the one before ended, or after that; and before it."""
    _last: tuple[Any, Any] | None = None

    def add(self, chunk: Any, rows: int) -> None:
        """Takes in a chunk of a row group that has rows: pyarrow's `ColumnChunkMetaData`."""
        self.rows += rows
        self.chunks += 1
        values = chunk.num_values
        self.values += values
        self.per_row.add(values // rows if values % rows == 0 else None)
        self.compressed += chunk.total_compressed_size
        self.uncompressed += chunk.total_uncompressed_size
        self.codecs[chunk.compression] += 1
        self.encodings.update(chunk.encodings)
        self.dictionaries += chunk.has_dictionary_page
        if chunk.has_dictionary_page:
            self.dictionary_bytes += max(0, chunk.data_page_offset - chunk.dictionary_page_offset)
        self.offset_indexes += chunk.has_offset_index
        self.column_indexes += chunk.has_column_index
        statistics = chunk.statistics if chunk.is_stats_set else None
        nulls = statistics.null_count if statistics is not None and statistics.has_null_count else None
        if nulls is not None:
            self.nulls += nulls
            self.counted += 1
        if nulls == values:
            self.empty += 1
        elif statistics is not None and statistics.has_min_max:
            self._bound(statistics)

    def _bound(self, statistics: Any) -> None:
        try:
            low, high = statistics.min, statistics.max
            if not low <= high:
                return
            # Writers store -0.0 for a least value of zero, whichever zero it was.
            low, high = (0.0 if isinstance(each, float) and each == 0 else each for each in (low, high))
            self.min = low if self.bounded == 0 or low < self.min else self.min
            self.max = high if self.bounded == 0 or high > self.max else self.max
        except (TypeError, ValueError, NotImplementedError, OverflowError):
            return  # pyarrow gives this type no values, or files differ in the type
        self.bounded += 1
        self.may_be_cut |= any(isinstance(each, (str, bytes)) and len(each) >= _MAY_BE_CUT for each in (low, high))
        if self._last is not None:
            self.rising += low >= self._last[1]
            self.falling += high <= self._last[0]
        self._last = low, high

    @property
    def has_nulls(self) -> int | None:
        """How many nulls; None where some footers do not say."""
        return self.nulls if self.counted == self.chunks else None

    @property
    def has_bounds(self) -> bool:
        """Whether `min` and `max` are of all chunks."""
        return self.bounded + self.empty == self.chunks and self.bounded > 0

    @property
    def sorted_by(self) -> str | None:
        """Where each row group's values begin where the last one's ended: "rising" or "falling"."""
        steps = self.bounded - 1
        if not self.has_bounds or steps < 3 or self.min == self.max:
            return None
        return "rising" if self.rising == steps else "falling" if self.falling == steps else None
