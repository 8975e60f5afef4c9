"""`Stats`: rows, nulls, least and greatest value of every column, from footers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shardline import text
from shardline.errors import ColumnNotFoundError
from shardline.footers.columns import ColumnFacts
from shardline.footers.survey import Survey
from shardline.options.near import near


@dataclass(frozen=True)
class ColumnStats:
    """What footers say of a column."""

    name: str
    type: str
    rows: int
    """Rows of the files that have the column."""
    nulls: int | None
    """None where a footer does not count them. Of a list's items, null and empty lists count too."""
    min: Any
    """None where a footer does not say, or all values are null. NaN is never one."""
    max: Any
    exact: bool
    """Whether `min`, `max` and `nulls` are exact: known of all row groups, and not cut."""
    note: str = ""
    """Why they are not."""


class Stats(Mapping[str, ColumnStats]):
    """What footers say of each column of some files: `print` shows a table."""

    def __init__(self, survey: Survey, note: str = "") -> None:
        self.rows = survey.rows
        """Rows of the files."""
        self.note = note
        """Where the rows are others than those of a loader."""
        self._columns = {name: _stats_of(name, facts, survey) for name, facts in survey.columns.items()}

    def __getitem__(self, name: str) -> ColumnStats:
        if name not in self._columns:
            known = text.listed(map(repr, self._columns), 20)
            raise ColumnNotFoundError(f"there is no column {name!r}{near(name, self._columns)}; the files have {known}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def text(self, width: int = text.WIDTH) -> str:
        """As a table of at most `width` columns."""
        head = [f"{self.rows:,} rows, {text.counted(len(self), 'column')}; from footers, no data was read"]
        rows = [
            [
                each.name,
                each.type,
                "?" if each.nulls is None else f"{each.nulls:,}",
                "" if each.min is None else text.printable(each.min, 24),
                "" if each.max is None else text.printable(each.max, 24),
                each.note,
            ]
            for each in self.values()
        ]
        lines = text.table(["column", "type", "nulls", "min", "max", "not exact"], rows, width, right=[2])
        return "\n".join([*head, *text.paragraph(self.note, width), *lines])

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        columns = {name: text.plain(vars(each)) for name, each in self.items()}
        return {"rows": self.rows, "note": self.note, "columns": columns}


def _stats_of(name: str, facts: ColumnFacts, survey: Survey) -> ColumnStats:
    notes = []
    unknown = facts.chunks - facts.bounded - facts.empty
    if unknown:
        notes.append(
            "no min and max" if unknown == facts.chunks else f"unknown of {text.counted(unknown, 'row group')}"
        )
    if facts.may_be_cut:
        notes.append("long texts may be cut")
    if facts.leaf.in_list:
        notes.append("nulls count empty lists")
    if facts.rows < survey.rows:
        notes.append(f"missing in {text.counted(survey.files - sum(facts.types.values()), 'file')}")
    if len(facts.types) > 1:
        notes.append("types differ")
    known = not unknown
    return ColumnStats(
        name=name,
        type=text.listed(facts.types),
        rows=facts.rows,
        nulls=facts.has_nulls,
        min=facts.min if known else None,
        max=facts.max if known else None,
        exact=not notes and facts.has_nulls is not None,
        note="; ".join(notes),
    )
