"""The pages of a column chunk: where each begins and ends, and what is compressed in it.

A header is a Thrift struct in the compact protocol. Of it are needed: 2 and 3 the sizes, and in 8, the header of a data
page of version 2, the lengths of the levels (5, 6), which are never compressed, and whether the values are (7).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

_STRUCT = 12


class Page(NamedTuple):
    """A page's bytes in its chunk."""

    start: int
    end: int
    levels: int
    """Bytes at its start that are not compressed."""
    size: int
    """Decompressed, without these levels."""
    compressed: bool


def pages(chunk: memoryview) -> Iterator[Page]:
    """All pages of a chunk; IndexError or ValueError where these are not a chunk's bytes."""
    at = 0
    while at < len(chunk):
        header = _Header(chunk, at)
        fields = header.struct()
        size, stored, inner = int(fields[2]), int(fields[3]), fields.get(8, {})
        levels, compressed = int(inner.get(5, 0)) + int(inner.get(6, 0)), bool(inner.get(7, True))
        if stored < levels or header.at + stored > len(chunk):
            raise ValueError("a page is longer than its column chunk")
        yield Page(header.at, header.at + stored, levels, size - levels, compressed)
        at = header.at + stored


class _Header:
    """Reads a struct: its numbers and structs by field; the rest is skipped."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self.at = data, at

    def struct(self) -> dict[int, Any]:
        """The struct that begins here."""
        found: dict[int, Any] = {}
        field = 0
        while byte := self._byte():
            delta, kind = byte >> 4, byte & 15
            field = field + delta if delta else self._zigzag()
            found[field] = self._value(kind)
        return found

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct()
        if kind == 7:
            self.at += 8
        elif kind == 8:
            length = self._varint()
            self.at += length
        elif kind in (9, 10):
            head = self._byte()
            count, inner = head >> 4, head & 15
            for _ in range(self._varint() if count == 15 else count):
                self._byte() if inner in (1, 2) else self._value(inner)
        else:
            raise ValueError(f"no page header: a field of type {kind}")
        return None
