"""A mixture as a run has it: its sources in the order in which they joined, and its weights so far."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any

from shardline._core import Mixture as CoreMixture
from shardline.errors import ShardlineValueError
from shardline.mixture.mixture import Mixture
from shardline.mixture.opening import OpenedSource
from shardline.mixture.order import content_digest
from shardline.mixture.schedule import Event, merged, pieces, raw_pieces, weights_at
from shardline.mixture.source import exact
from shardline.planning.shuffle import Shuffle
from shardline.settings import Settings
from shardline.state.mixed import SavedMixture, SavedSource


@dataclass(frozen=True)
class MixtureRun:
    """What is mixed in a run; its states hold it."""

    saved: SavedMixture

    @staticmethod
    def begin(
        mixture: Mixture, opened: Sequence[OpenedSource], shuffles: Sequence[Shuffle], settings: Settings
    ) -> "MixtureRun":
        """A run from its start.

        Raises:
            ShardlineValueError: The mixture ends in tokens, and rows are not packed.
        """
        sources = [saved_source(each, shuffle) for each, shuffle in zip(opened, shuffles, strict=True)]
        end = None
        if mixture.end is not None:
            end = [*mixture.end, end_row(mixture, settings)]
        events = mixture.events(settings.batch_size)
        return MixtureRun(SavedMixture(sources, events, mixture.events(1), end, mixture.stop))

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, by number."""
        return tuple(each.name for each in self.saved.sources)

    @property
    def schedule(self) -> str:
        """All that decides which source a row is of, as text."""
        return json.dumps([self.saved.schedule, self.saved.end, self.saved.stop])

    def core(self) -> CoreMixture:
        """As the core counts with it."""
        sources = self.saved.sources
        caps = [None if each.epochs is None else floor(exact(each.epochs) * each.rows) for each in sources]
        return CoreMixture(
            list(self.names),
            [each.rows for each in sources],
            caps,
            pieces(self.saved.schedule),
            end=None if self.saved.end is None else self.saved.end[2],
            stop=self.saved.stop,
        )

    def reads_from(self, number: int, row: int) -> bool:
        """Whether a source has a weight at a row of the job, or later."""
        all_pieces = raw_pieces(self.saved.schedule)
        in_force = max(at for at, _ in all_pieces if at <= row)
        return any(at >= in_force and weights[number] for at, weights in all_pieces)

    def with_weights(self, row: int, weights: dict[str, float]) -> "MixtureRun":
        """Other weights from a row of the job on; what the schedule says of later rows is dropped."""
        events = [event for event in self.saved.schedule if event[0] < row]
        before = weights_at(self.saved.schedule, row)
        after: Event = [row, merged("set_weights()", self.names, before, weights)]
        made = MixtureRun(self.saved._replace(schedule=[*events, after]))
        made.core()  # raises where the weights cannot be counted with
        return made

    def with_sources(self, sources: Sequence[SavedSource]) -> "MixtureRun":
        """With more sources, which have no weight so far."""
        zeros = [0] * len(sources)

        def wider(events: list[Event]) -> list[Event]:
            return [
                [event[0], event[1] + zeros] if len(event) == 2 else [*event[:2], event[2] + zeros, event[3]]
                for event in events
            ]

        saved = self.saved
        return replace(
            self,
            saved=saved._replace(
                sources=[*saved.sources, *sources], schedule=wider(saved.schedule), asked=wider(saved.asked)
            ),
        )


def saved_source(opened: OpenedSource, shuffle: Shuffle) -> SavedSource:
    """A source as a state holds it."""
    order = opened.order(shuffle, 0)
    return SavedSource(
        opened.name, order.num_rows, content_digest(order), shuffle.strands, shuffle.windows, opened.epochs
    )


def end_row(mixture: Mixture, settings: Settings) -> int | None:
    """The row of the job that an epoch ends at, counted from its start in batches of the present size.

    Raises:
        ShardlineValueError: It ends in tokens, and rows are not packed; or before the first batch.
    """
    if mixture.end is None:
        return None
    what, number = mixture.end
    if what == "batches":
        return number * settings.batch_size
    if what == "tokens":
        if settings.pack is None:
            raise ShardlineValueError("tokens= counts the tokens of packed sequences: give pack= too, or rows=")
        number //= settings.pack.seq_len
    if number < settings.batch_size:
        raise ShardlineValueError(f"{what}={mixture.end[1]:,} ends the mixture before its first batch: give more")
    return number


def plain_weights(events: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Events with weights by name, those of 0 left out: what is compared of two runs."""
    return [
        [*event[:1], *(event[1:2] if len(event) == 4 else ()), {n: w for n, w in zip(names, weights, strict=True) if w}]
        for event in events
        for weights in [event[1] if len(event) == 2 else event[2]]
    ]
