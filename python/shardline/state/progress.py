"""Where a run stands, and whose batches count: epoch, legs, cursor, whether the end was seen. No I/O, no torch.

A step is one batch of this rank; a cursor counts the job's batches of the last leg, so a step adds `num_ranks` to it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shardline._core import Legs
from shardline.errors import ShardlineValueError
from shardline.state.leg import Leg, legs_of


class Start(NamedTuple):
    """What the next iterator would deliver: an epoch's legs from a cursor on, and how many steps that is."""

    epoch: int
    legs: Legs
    cursor: int
    steps: int
    thrown_back: int
    """Steps delivered by the iterator before, which come again."""
    loaded_complete: bool
    """A loaded epoch that was delivered to its end, which was not seen: nothing is left, and nobody asked for that."""


class Place(NamedTuple):
    """All that a pickled dataset keeps of its progress."""

    epoch: int
    legs: Sequence[Leg]
    ended: bool
    closed: bool
    asked: int | None = None
    ahead: int | None = 0


class Progress:
    """The newest iterator's place in its epoch, and the rules that move it (docs/resume.md, "Rules of iterating").

    `first`: the legs of a fresh epoch. Frozen `Legs` in, plain numbers out.
    """

    __slots__ = (
        "_ahead",
        "_before",
        "_before_iter",
        "_closed",
        "_cursor",
        "_ended",
        "_epoch",
        "_first",
        "_known",
        "_legs",
        "_loaded",
        "_named",
        "_passed_empty",
        "_prefix",
        "_ranks",
        "_start",
        "_tail",
        "_total",
        "_under_way",
        "asked",
        "looked_ahead",
        "mark",
        "owner",
    )

    def __init__(self, first: Legs, num_ranks: int) -> None:
        self._first = first
        self._ranks = num_ranks
        self.owner = 0  # the iterator that may be asked for batches
        self.mark = 0  # the iterator whose batches count
        self._loaded = False  # placed by a load or a seek, and the epoch not iterated to its end since
        self._named = False  # set_epoch named the epoch since it was placed
        self._known = False  # set_epoch has named the epoch of a loaded place
        self._passed_empty = False  # the last pass delivered nothing, for nothing was left of a loaded epoch
        self._under_way = False  # the newest iterator has delivered a batch, and not the end
        self.asked: int | None = None  # the last epoch that a framework asked for, by its own count
        self._ahead: int | None = 0  # what is added to that count; None until the first call after a load
        self._place(0, first)

    def _place(self, epoch: int, legs: Legs, *, ended: bool = False, closed: bool = False) -> None:
        self._epoch = epoch
        self._legs = legs
        self._cursor = self._start = legs.delivered
        self._total = legs.num_batches
        self._before = legs.delivered_before
        self._ended = ended
        self._closed = closed  # nothing more of this epoch is delivered, though it may not be complete
        *self._prefix, self._tail = legs_of(legs)
        self._under_way = self._loaded = self._named = self._known = self._passed_empty = False
        # A loaded place whose end was seen (epoch, legs, closed), while the next epoch's iterator has no batch yet.
        self._before_iter: tuple[int, Legs, bool] | None = None
        self.looked_ahead = False  # the newest iterator's caller holds its last batch back
        self.mark += 1

    # What it says

    @property
    def is_ahead(self) -> bool:
        """Whether the cursor counts a batch that was not yet handed on."""
        return self.looked_ahead and self._under_way

    @property
    def epoch(self) -> int:
        """The epoch in hand; once its end was seen, the next."""
        return self._epoch + self._ended

    @property
    def iterated_epoch(self) -> int:
        """The epoch of the newest iterator, its end seen or not."""
        return self._epoch

    @property
    def ended(self) -> bool:
        """Whether the end of `iterated_epoch` was seen."""
        return self._ended

    @property
    def batch_index(self) -> int:
        """The index, in `epoch`, of this rank's next batch."""
        return 0 if self._ended else (self._before + self._cursor) // self._ranks

    @property
    def remaining(self) -> int:
        """This rank's steps to the end of `epoch`."""
        if self._ended:
            return self._first.num_batches // self._ranks
        return 0 if self._closed else (self._total - self._cursor) // self._ranks

    @property
    def closed(self) -> bool:
        """Whether nothing more of `iterated_epoch` is delivered, complete or not."""
        return self._closed

    @property
    def under_way(self) -> bool:
        """Whether the newest iterator has delivered a batch, and not the end."""
        return self._under_way

    def legs(self) -> Legs:
        """The legs of `iterated_epoch`, at the cursor."""
        return self._legs.at(self._cursor)

    def leg_list(self) -> list[Leg]:
        """The same as values, without a call into the core."""
        return [*self._prefix, self._tail._replace(delivered=self._cursor)]

    # What moves it

    def set_epoch(self, epoch: int) -> bool:
        """Begins `epoch` at its start; whether the place was kept instead.

        It is kept in the epoch that is being iterated, and in one where a load or a seek has set it. A loaded epoch
        whose end was seen delivers nothing, and then ends again.
        """
        self._return()
        under_way = self._under_way and self._cursor < self._total
        kept = epoch == self._epoch and (self._loaded or under_way)
        if not kept:
            self._place(epoch, self._first)
        elif self._ended:
            self._ended = False
            self.mark += 1
        elif self._cursor == self._total:
            self._start = self._cursor
        self._named = True
        self._known = kept
        return kept

    def leaves(self, epoch: int) -> bool:
        """Whether `set_epoch(epoch)` leaves a place that was just loaded, and not for where the run continues.

        A loop may name the loaded epoch, or the next one if all of it was delivered; in the former case, after a pass
        that is empty then, the next one only. A loop that has named it once may leave what is left of it.
        """
        self._return()
        if self._passed_empty:
            return epoch == self._epoch
        loaded = self._loaded and not self._known and self._cursor == self._start
        begun = self._epoch > 0 or self._ended or self._before + self._cursor > 0
        done = self._ended or self._closed or self._cursor == self._total
        return loaded and begun and epoch != self._epoch and not (done and epoch == self._epoch + 1)

    def follow(self, epoch: int) -> bool:
        """A framework, which counts epochs by itself, is about to begin `epoch`; whether the place was kept.

        A framework may count from 0 after a load, and it may leave a pass early or begin a second one: each of its
        epochs begins an epoch here, none twice. Nor does it go back behind an epoch that the caller has named.
        """
        self._return()
        last = self.asked
        if self._ahead is None:  # the first call after a load
            last = self.epoch if last is None else last
            self._ahead = max(0, last - epoch)
            self.asked = last
        epoch += self._ahead
        if last is not None and epoch <= last:
            return True
        self.asked = epoch
        passed = self._ended or self._cursor > self._start or self._loaded
        if last is not None and passed:
            return self.set_epoch(max(epoch, self._epoch + 1))
        return self.set_epoch(max(epoch, self._epoch) if self._named else epoch)

    def leave_place(self) -> None:
        """What a load or a seek set was iterated from already, by others."""
        self._loaded = self._under_way = False

    def kept_place(self) -> "Place":
        """What `restore` takes."""
        return Place(self._epoch, self.leg_list(), self._ended, self._closed, self.asked, self._ahead)

    def restore(self, place: "Place", legs: Legs) -> None:
        """The place of an unpickled dataset, with its legs; its next iterator continues there."""
        self._place(place.epoch, legs, ended=place.ended, closed=place.closed)
        self._loaded = self._named = self._known = True
        self.asked, self._ahead = place.asked, place.ahead

    def load(self, first: Legs, epoch: int, legs: Legs, *, ended: bool, over: bool, asked: int | None = None) -> None:
        """Takes a saved place. `over`: too few rows are left for the ranks."""
        self._first = first
        self._place(epoch, legs, ended=ended, closed=over or ended)
        self._loaded = True
        self.asked, self._ahead = asked, None

    def reweigh(self, first: Legs, legs: Legs) -> None:
        """What is delivered from the cursor on becomes another: `legs`, at the cursor, are the same up to there."""
        self._first, self._legs, self._total = first, legs, legs.num_batches
        if not self._under_way:
            self.mark += 1  # an iterator without a batch begins anew

    def seek(self, step: int) -> bool:
        """Moves forward to `step` of `epoch`, what lies between marked as skipped; 0 begins the epoch again.

        Whether the place is in a fresh epoch, and not in what was left of a loaded one.

        Raises:
            ShardlineValueError: The step lies before the present one, or after the last.
        """
        here, length = self.batch_index, self.batch_index + self.remaining
        if step == 0 < here:
            self._place(self.epoch, self._first)
            self._loaded = self._named = self._known = True
            return True
        if not here <= step <= length:
            raise ShardlineValueError(
                f"seek goes forward in the epoch, from step {here} to {length} at most, or back to 0, not to {step}"
            )
        fresh = self._ended
        legs = self._first if fresh else self.legs()
        self._place(self.epoch, legs.skip_to(legs.delivered + (step - here) * self._ranks))
        self._loaded = self._named = self._known = True
        return fresh

    def upcoming(self) -> Start:
        """What the next iterator delivers; changes nothing."""
        if self._ended or (self._start < self._cursor == self._total):
            first = self._first
            return Start(self._epoch + 1, first, 0, first.num_batches // self._ranks, 0, False)
        steps = 0 if self._closed else (self._total - self._start) // self._ranks
        again = 0 if self._named else (self._cursor - self._start) // self._ranks
        empty = steps == 0 and not self._closed and self._loaded and not self._named
        return Start(self._epoch, self._legs, self._start, steps, again, empty)

    def started(self) -> bool:
        """The newest iterator is asked for its first batch; whether set_epoch has named the epoch since it was made."""
        named, self._named = self._named, False
        self._before_iter = None
        return named

    def begin(self, start: Start) -> tuple[int, int]:
        """Takes `upcoming()`'s place for a new iterator; returns its (owner, mark)."""
        if start.epoch != self._epoch:
            loaded = (self._epoch, self.legs(), self._closed) if self._loaded else None
            self._place(start.epoch, start.legs)
            self._before_iter = loaded
        self._cursor = start.cursor
        self._under_way = self._named = False
        self.owner += 1
        self.mark += 1
        return self.owner, self.mark

    def deliver(self, mark: int) -> None:
        """One step was delivered to the caller."""
        if mark == self.mark:
            self._cursor += self._ranks
            self._under_way = True

    def finish(self, mark: int) -> None:
        """The end of the epoch was seen by the caller."""
        if mark == self.mark:
            self._ended = True
            self._passed_empty = self._loaded and self._cursor == self._start
            self._loaded = self._under_way = self._named = False

    def _return(self) -> None:
        """To the loaded place, from which an iterator without a batch so far went on to the next epoch."""
        if self._before_iter is not None:
            epoch, legs, closed = self._before_iter
            self._place(epoch, legs, ended=True, closed=closed)
            self._loaded = True

    # Arithmetic on any step

    def legs_at(self, step: int, epoch: int | None) -> tuple[int, Legs]:
        """(epoch, legs as of `step`): `epoch` None is `iterated_epoch`; any other is taken as a fresh one."""
        epoch, legs = self._legs_of(epoch)
        base = legs.delivered_before // self._ranks
        length = base + legs.num_batches // self._ranks
        if not 0 <= step <= length:
            raise ShardlineValueError(f"step {step} is not in epoch {epoch}, which has the steps 0 to {length}")
        if step < base:
            return epoch, legs.at_total(step * self._ranks)
        return epoch, legs.at((step - base) * self._ranks)

    def batch_at(self, num_rows: int, step: int, rank: int, epoch: int | None) -> tuple[int, list[tuple[int, int]]]:
        """(epoch, positions on the line) of the batch that `rank` takes at `step`."""
        epoch, legs = self._legs_of(epoch)
        base = legs.delivered_before // self._ranks
        length = base + legs.num_batches // self._ranks
        if not 0 <= step < length:
            steps = f"has the steps 0 to {length - 1}" if length else "has no step"
            raise ShardlineValueError(f"step {step} is not in epoch {epoch}, which {steps}")
        if step >= base:
            return epoch, legs.batch((step - base) * self._ranks + rank)
        wanted, parts, i = step * self._ranks + rank, legs_of(legs), 0
        while i < len(parts) - 1 and wanted >= parts[i].delivered:
            wanted -= parts[i].delivered
            i += 1
        return epoch, Legs(num_rows, parts[: i + 1]).batch(wanted)

    def left_out(self) -> list[tuple[int, int]]:
        """The positions of `iterated_epoch` that it never delivers, as far as is known at the cursor."""
        legs = self.legs()
        out = legs.left_out()
        if (self._ended or self._closed) and not legs.is_complete:
            out = merge_intervals([*out, *legs.left_over()])
        return out

    def _legs_of(self, epoch: int | None) -> tuple[int, Legs]:
        if epoch is None or epoch == self._epoch:
            return self._epoch, self._legs
        return epoch, self._first


def merge_intervals(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, those that touch joined.

    >>> merge_intervals([(4, 6), (0, 2), (2, 3)])
    [(0, 3), (4, 6)]
    """
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif start < stop:
            merged.append((start, stop))
    return merged
