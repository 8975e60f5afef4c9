"""What `rewrite()` returns, and what it tells while it works."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from shardline import text


class RewriteProgress(NamedTuple):
    """How far a stage has come. Given to `progress=`, by the thread that called `rewrite()`."""

    stage: str
    """"survey" (values are looked at), "scatter" (pass one of two), "write"."""
    rows: int
    """Rows of the stage that are done; those of an earlier run that was killed among them."""
    total: int
    """Rows of the stage."""


@dataclass(frozen=True)
class RewriteReport:
    """What was written. `print` shows it as a table; `to_dict()` is for machines."""

    path: str
    """The folder, as it was given."""
    rows: int
    digest: str
    """The digest of the multiset of rows, of input and output: 32 hex digits."""
    files: int
    row_groups: int
    bytes: int
    files_before: int
    row_groups_before: int
    bytes_before: int | None
    """None where the input is in a store."""
    seconds: float
    """Of this run, from the call to the return."""
    resumed: bool
    """Whether this run went on from pieces of an earlier one."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain values."""
        return asdict(self)

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        lines = [
            ["rows", f"{self.rows:,}, each one verified (digest {self.digest})"],
            ["files", f"{self.files_before:,} → {self.files:,}"],
            ["row groups", f"{self.row_groups_before:,} → {self.row_groups:,}"],
            ["size", f"{_size(self.bytes_before)} → {text.size(self.bytes)}"],
            ["time", text.duration(self.seconds) + (", continuing an earlier run" if self.resumed else "")],
        ]
        return "\n".join([self.path, *text.table([], lines, width)])

    __str__ = text


def _size(number: int | None) -> str:
    return "in a store" if number is None else text.size(number)
