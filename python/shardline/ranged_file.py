"""A file that is read by ranges, wherever they come from, as Python's files are."""

import io
import os
from abc import abstractmethod
from typing import Any


class RangedFile(io.RawIOBase):
    """A file of a known size. What reads it says how a range is had."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    @abstractmethod
    def fetch(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, which the file has."""

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the place that is read next."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Reads as much as the buffer takes and the file has left."""
        end = min(self._size, self._at + len(buffer))
        if end <= self._at:
            return 0
        data = self.fetch(self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
