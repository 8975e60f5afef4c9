"""What `bench()` returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from shardline import text
from shardline.benchmark.readers import ASKED, LIMIT, LOOP, STEP
from shardline.benchmark.result import LEAST, Measured

_WIDE = 96
"""Columns from which on one table has room for all figures."""
_APART = 0.3
_SMALL_PAGES = 64 << 10
_NEVER, _HARDLY = 0.01, 0.1


@dataclass(frozen=True)
class BenchReport:
    """Medians over rounds in which all readers took turns. `print` shows them, and what follows from them."""

    path: str
    files: int
    row_groups: int
    rows: int
    threads: int
    batch_size: int
    order: str
    """In words."""
    listed_seconds: float
    """What it took to list the files, read their footers and count the rows that pass."""
    rounds: int
    """Those that were complete."""
    turn_seconds: float
    """Of the shortest turn."""
    model_ms: float | None
    row_bytes: float
    """Decoded bytes of a row, of the columns that are read."""
    readers: dict[str, Measured]
    """By key: "asked" is the loader as it was asked for, "loop" the hand-written one, "pages" the limit."""

    @property
    def times_loop(self) -> float | None:
        """How many times as fast as the hand-written loop: the median over rounds; None where it was not measured."""
        return _median(self._asked.ratios(self.readers[LOOP]))

    @property
    def share_of_limit(self) -> float | None:
        """What share of the pages-only rate: the median over rounds; None where it was not measured."""
        return _median(self._asked.ratios(self.readers[LIMIT]))

    @property
    def waits(self) -> bool | None:
        """Whether a step of `model_ms` would wait for more than a hundredth of its time; None where none was given."""
        step = self.readers.get(STEP)
        return None if step is None or not step.waited_share else median(step.waited_share) >= _NEVER

    @property
    def _asked(self) -> Measured:
        return self.readers[ASKED]

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        counts = ((self.files, "file"), (self.row_groups, "row group"), (self.rows, "row"))
        head = f"{self.path}: {', '.join(text.counted(number, what) for number, what in counts)}"
        how = (
            f"As asked: {text.counted(self.threads, 'thread')}, batches of {self.batch_size:,}, {self.order}. "
            f"{text.counted(self.rounds, 'round')} of turns of {text.duration(self.turn_seconds)}; medians"
        )
        lines = [*text.paragraph(head, width, "", "  "), *text.paragraph(how, width), *self._tables(width)]
        for sentence in self.sentences:
            lines += text.paragraph(sentence, width, "", "  ")
        return "\n".join(lines)

    __str__ = text

    def _tables(self, width: int) -> list[str]:
        names = ["", "rows/s", "lowest, highest", "× loop", "of limit", "MB/s", "first batch", "memory"]
        rows = [[each.label, *self._cells(each)] for each in self.readers.values()]
        cut = 5
        right = range(1, len(names))
        if width >= _WIDE:
            return text.table(names, rows, width, right=right)
        first, second = [row[:cut] for row in rows], [[row[0], *row[cut:]] for row in rows]
        return [
            *text.table(names[:cut], first, width, right=range(1, cut)),
            *text.table([names[0], *names[cut:]], second, width, right=range(1, len(names) - cut + 1)),
        ]

    def _cells(self, reader: Measured) -> list[str]:
        rate, rates = reader.rows_per_second, reader.rates.values()
        if rate is None:
            return ["–"] * 7
        return [
            _rate(rate),
            f"{_rate(min(rates))}, {_rate(max(rates))}",
            _or_dash(self._beside(reader, LOOP), lambda x: f"{x:.2g}" if x < 10 else f"{x:.0f}"),
            _or_dash(self._beside(reader, LIMIT), lambda x: f"{x:.0%}"),
            f"{rate * self.row_bytes / 1e6:,.0f}" if self.row_bytes else "–",
            "–" if reader.key == LIMIT else _or_dash(reader.first_seconds, text.duration),
            _or_dash(reader.peak_bytes, text.size),
        ]

    def _beside(self, reader: Measured, key: str) -> float | None:
        return None if reader.key == STEP else _median(reader.ratios(self.readers[key]))

    @property
    def sentences(self) -> list[str]:
        """What follows from the figures, and what they do not say."""
        found = [*self._compared(), *self._faster(), *self._model()]
        found.append(f"Listing the files took {text.duration(self.listed_seconds)}, which is in no figure above.")
        if self.rounds < LEAST:
            found.append(
                f"No more than {text.counted(self.rounds, 'round')} was complete, which says nothing of the spread: "
                "give more --seconds."
            )
        rates = self._asked.rates.values()
        if rates and max(rates) - min(rates) > _APART * median(rates):
            found.append(
                f"The rounds lie far apart ({_rate(min(rates))} to {_rate(max(rates))} rows/s): this machine does "
                "other work, or the turns are short. Differences smaller than that say nothing; give more --seconds."
            )
        pages = [each.page_bytes for each in self.readers[LIMIT].rounds.values()]
        if pages and median(pages) < _SMALL_PAGES:
            found.append(
                f"Pages have {text.size(median(pages))} on average: of such small ones the limit is measured too low."
            )
        found += [f"{each.label}: not measured: {each.why}" for each in self.readers.values() if not each.rates]
        return found

    def _compared(self) -> list[str]:
        parts = []
        for key, say in ((LOOP, _times), (LIMIT, _share)):
            ratios = self._asked.ratios(self.readers[key])
            if ratios:
                parts.append(say(median(ratios), min(ratios), max(ratios)))
        return [f"As asked, it is {', and '.join(parts)}."] if parts else []

    def _faster(self) -> list[str]:
        """What was faster in every round, by a twentieth at least."""
        found = []
        for each in self.readers.values():
            ratios = each.ratios(self._asked)
            if each.key not in (ASKED, LOOP, LIMIT, STEP) and len(ratios) > 1 and min(ratios) > 1.05:
                found.append((median(ratios), each.label))
        said = ", ".join(f"{label} ({ratio:.1f} times)" for ratio, label in sorted(found, reverse=True))
        return [f"Faster in every round: {said}."] if said else []

    def _model(self) -> list[str]:
        step = self.readers.get(STEP)
        if step is None or not step.waited:
            return []
        share, waited = median(step.waited_share), median(step.waited)
        what = "does not wait" if share < _NEVER else "hardly waits" if share < _HARDLY else "waits"
        range_ = f"{min(step.waited_share):.1%} to {max(step.waited_share):.1%}"
        said = (
            f"A step of {self.model_ms:g} ms {what} for data: {text.duration(waited)} a batch, {share:.1%} of its time "
            f"({range_}). The step was a sleep: one that uses the processor leaves less of it to the loader."
        )
        return [said] if share < _HARDLY or not step.verdict else [said, f"In such a loop {step.verdict}."]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = ("path", "files", "row_groups", "rows", "threads", "batch_size", "order", "listed_seconds", "rounds")
        more = ("turn_seconds", "model_ms", "row_bytes", "times_loop", "share_of_limit", "waits", "sentences")
        found = {name: getattr(self, name) for name in (*names, *more)}
        step = self.readers.get(STEP)
        found["waited_seconds"] = None if step is None else _median(step.waited)
        found["waited_share"] = None if step is None else _median(step.waited_share)
        found["readers"] = {key: each.to_dict(self.row_bytes) for key, each in self.readers.items()}
        return dict(text.plain(found))


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _or_dash(value: float | None, say: Any) -> str:
    return "–" if value is None else str(say(value))


def _rate(rate: float) -> str:
    """Three digits.

    >>> _rate(1_486_000), _rate(32_100), _rate(7.5)
    ('1.49 M', '32.1 k', '7.5')
    """
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if rate >= 0.9995 * size:
            value = rate / size
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}{unit}"
    return f"{rate:.3g}"


def _times(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.1f} times as fast as the hand-written loop ({low:.1f} to {high:.1f} in the rounds)"


def _share(ratio: float, low: float, high: float) -> str:
    return f"at {ratio:.0%} of the limit ({low:.0%} to {high:.0%})"
