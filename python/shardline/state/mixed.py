"""A mixture in a state: its sources and schedule. Nothing of a source's position is in it, which is arithmetic.

>>> SavedMixture.of(
...     SavedMixture([SavedSource("web", 10, "00ff", 8, 12, None)], [[0, [1]]], [[0, [1]]], None, None).plain()
... ).sources
[SavedSource(name='web', rows=10, digest='00ff', strands=8, windows=12, epochs=None)]
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from shardline.state.form import MISSING, Form, short

MIXTURE_VERSION = 1
_MOST_BYTES = 64 * 2**20


class SavedSource(NamedTuple):
    """A source, as a state holds it."""

    name: str
    rows: int
    """Of an epoch."""
    digest: str
    """Over its files, and which of their rows pass."""
    strands: int
    windows: int
    epochs: float | None


class SavedMixture(NamedTuple):
    """A mixture, as a state holds it."""

    sources: list[SavedSource]
    """In the order in which they joined, which numbers them."""
    schedule: list[list[Any]]
    """Events in rows of the job: see `shardline.mixture.schedule`."""
    asked: list[list[Any]]
    """The schedule that the run was given when it began: events by weights."""
    end: list[Any] | None
    """[what, how many as asked, rows of the job]."""
    stop: str | None

    def plain(self) -> dict[str, Any]:
        """As a state and JSON hold it."""
        columns = [list(column) for column in zip(*self.sources, strict=True)]
        data = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return {
            "version": MIXTURE_VERSION,
            "sources": base64.b64encode(zlib.compress(data, 9)).decode("ascii"),
            "schedule": [list(event) for event in self.schedule],
            "asked": [list(event) for event in self.asked],
            "end": self.end,
            "stop": self.stop,
        }

    @staticmethod
    def of(plain: Mapping[str, Any]) -> "SavedMixture":
        """The inverse of `plain`.

        Raises:
            ValueError: It is none.
        """
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(plain["sources"], validate=True), _MOST_BYTES)
        columns = json.loads(data.decode("utf-8", "surrogatepass"))
        sources = [SavedSource(*row) for row in zip(*columns, strict=True)]
        for each in sources:
            name, digest, *counts = each.name, each.digest, each.rows, each.strands, each.windows
            if not {type(name), type(digest)} == {str} or {type(count) for count in counts} != {int} or min(counts) < 0:
                raise ValueError(f"{short(each)} is no source")
        for events in (plain["schedule"], plain["asked"]):
            for event in events:
                weights = event[1] if len(event) == 2 else event[2]
                if len(event) not in (2, 4) or len(weights) != len(sources):
                    raise ValueError(f"{short(event)} is no event of {len(sources)} sources")
        if not sources or not plain["schedule"]:
            raise ValueError("it has no source, or no weights")
        return SavedMixture(
            sources, [list(each) for each in plain["schedule"]], list(plain["asked"]), plain["end"], plain["stop"]
        )

    def words(self) -> list[str]:
        """For a person."""
        _, *last = self.schedule[-1]
        weights = last[0] if len(last) == 1 else last[1]
        lines = [f"a mixture of {len(self.sources):,} source{'s' * (len(self.sources) != 1)}"]
        lines += [
            f"  {source.name}: weight {weight:g} at the schedule's end, {source.rows:,} rows an epoch"
            + ("" if source.epochs is None else f", {source.epochs:g} epochs at the most")
            for source, weight in zip(self.sources, weights, strict=True)
        ]
        if len(self.schedule) > 1:
            lines.append(
                f"  weights change {len(self.schedule) - 1:,} times, last from row {self.schedule[-1][0]:,} on"
            )
        if self.end is not None:
            lines.append(f"  ends after {self.end[1]:,} {self.end[0]} of all ranks")
        if self.stop is not None:
            lines.append(
                f"  ends once {'a source has' if self.stop == 'first' else 'all sources have'} had their epochs"
            )
        return lines


def read_mixture(form: Form, value: Any) -> SavedMixture | None:
    """The mixture of a state, its form checked."""
    if value is None:
        return None
    where = "rows.mixture"
    found = form.mapping(where, value)
    version = form.integer(f"{where}.version", found.get("version", MISSING), 1)
    if version != MIXTURE_VERSION:
        form.wrong.append(f"{where}.version is {version}: use the shardline that saved the state")
        return None
    try:
        return SavedMixture.of(found)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        form.wrong.append(f"{where} is damaged: {error}")
        return None
