"""Every error that shardline raises on purpose is a `ShardlineError`, and a builtin too where one fits.

>>> issubclass(CheckpointMismatchError, ValueError) and issubclass(CheckpointMismatchError, ShardlineError)
True
"""

from shardline._core import (
    ColumnNotFoundError,
    FileChangedError,
    ShardlineError,
    ShardlineFileNotFoundError,
    ShardlineOSError,
    ShardlinePermissionError,
    ShardlineRuntimeError,
    ShardlineTypeError,
    ShardlineValueError,
)

__all__ = [
    "CheckpointError",
    "CheckpointMismatchError",
    "ColumnNotFoundError",
    "FileChangedError",
    "RankTimeoutError",
    "RowError",
    "ShardlineError",
    "ShardlineFileNotFoundError",
    "ShardlineImportError",
    "ShardlineOSError",
    "ShardlinePermissionError",
    "ShardlineRuntimeError",
    "ShardlineTimeoutError",
    "ShardlineTypeError",
    "ShardlineValueError",
]


# A KeyError shows its argument as a literal, in quotes and with escapes: this is a sentence.
setattr(ColumnNotFoundError, "__str__", ShardlineError.__str__)  # noqa: B010  (mypy)


class CheckpointMismatchError(ShardlineError, ValueError):
    """A state that this dataset cannot resume exactly: of other data, settings or version, or no state at all.

    The message lists every difference with the value saved, the value here, and what to do.
    """


class RowError(ShardlineError, ValueError):
    """What a transform raises of a row that it cannot use. The loader adds the file and the row group to the message.

    Args:
        message: What is wrong.
        row: The row, counted from 0 in the batch.
        rows: How many rows the batch has: of one with other rows than the loader delivered, no file is named.

    >>> RowError("no image", 3, 8).row
    3
    """

    def __init__(self, message: str, row: int | None = None, rows: int | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.rows = rows
        self.located = False


class RankTimeoutError(ShardlineError, TimeoutError):
    """Another rank of the job did not come, or not in time (`rank_timeout`). The message says which, and what to do."""


class ShardlineTimeoutError(ShardlineError, TimeoutError):
    """A service did not answer in time. The message says which."""


class ShardlineImportError(ShardlineError, ImportError):
    """A package that an argument needs is not installed. The message names both."""


class CheckpointError(ShardlineError, RuntimeError):
    """A checkpoint that could not be written, is not whole, or does not fit what it is restored into.

    The message names the file or part, and what to do. A failed save leaves the earlier checkpoints as they were.
    """
