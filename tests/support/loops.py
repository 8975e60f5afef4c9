"""Training loops as people write them, and what each is entitled to, by arithmetic.

A loop is a generator over a real loader: each batch, and then END for each pass that ended. `entitled` gives the same
events from the batches of runs that were never stopped; it asks nothing of a loader or a state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, islice, takewhile
from typing import Any, NamedTuple

END = object()
Rows = list[int]


@dataclass
class Trainer:
    """What a training script saves beside the loader's state."""

    epochs: int
    limit: int | None = None
    step: int = 0
    epoch: int = 0


# The loops


def readme(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(loader.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        yield from loader
        yield END


def enumerated(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(loader.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        for index, batch in enumerate(loader, start=loader.batch_index):
            assert loader.batch_index == index + 1
            yield batch
        yield END


def zipped(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(loader.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        for _, batch in zip(count(), loader):
            yield batch
        yield END


def named_while_iterated(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(loader.epoch, trainer.epochs):
        iterator = iter(loader)
        loader.set_epoch(epoch)
        for batch in iterator:
            if loader.remaining:
                loader.set_epoch(epoch)
            yield batch
        yield END


def left_and_continued(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(loader.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        yield from islice(loader, 2)
        loader.load_state_dict(loader.state_dict())
        loader.set_epoch(epoch)
        yield from loader
        yield END


def by_steps(loader: Any, trainer: Trainer) -> Iterator[Any]:
    step = trainer.step
    while step < trainer.epochs * len(loader):
        loader.set_epoch(step // len(loader))
        for batch in loader:
            step += 1
            yield batch
        yield END


def by_passes(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for _ in range(trainer.step // len(loader), trainer.epochs):
        yield from loader
        yield END


def until(loader: Any, trainer: Trainer) -> Iterator[Any]:
    step, total = trainer.step, trainer.epochs * len(loader)
    while step < total:
        for batch in loader:
            step += 1
            yield batch
            if step == total:
                break
        else:
            yield END


def cycled(loader: Any, trainer: Trainer) -> Iterator[Any]:
    left = trainer.epochs - loader.epoch
    iterator = iter(loader)
    while left > 0:
        batch = next(iterator, END)
        yield batch
        if batch is END:
            left -= 1
            iterator = iter(loader)


def saved_epoch(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for _ in range(trainer.epoch, trainer.epochs):
        yield from loader
        yield END


def saved_epoch_named(loader: Any, trainer: Trainer) -> Iterator[Any]:
    for epoch in range(trainer.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        yield from loader
        yield END


def limited(loader: Any, trainer: Trainer) -> Iterator[Any]:
    assert trainer.limit is not None
    for epoch in range(loader.epoch, trainer.epochs):
        loader.set_epoch(epoch)
        yield from islice(loader, max(0, trainer.limit - loader.batch_index))
        yield END


def lightning(loader: Any, trainer: Trainer) -> Iterator[Any]:
    """It counts an epoch as done after its last step, and asks the loader before it tells the first epoch."""
    done = loader.batch_index >= min(trainer.limit or loader.batch_index + loader.remaining, len(loader))
    first = trainer.epoch + (done or loader.epoch > trainer.epoch)
    iterator = iter(loader)
    for epoch in range(first, trainer.epochs):
        loader.sampler.set_epoch(epoch)
        if epoch > first:
            iterator = iter(loader)
        left = None if trainer.limit is None else max(0, trainer.limit - loader.batch_index)
        yield from islice(iterator, left)
        yield END


def fabric(loader: Any, trainer: Trainer) -> Iterator[Any]:
    """It counts the passes of this process."""
    for epoch in range(trainer.epochs - loader.epoch):
        loader.sampler.set_epoch(epoch)
        yield from loader
        yield END


OWN: dict[str, Callable[[Any, Trainer], Iterator[Any]]] = {
    loop.__name__: loop
    for loop in (
        *(readme, enumerated, zipped, named_while_iterated, left_and_continued, cycled),
        *(by_steps, by_passes, until, saved_epoch, saved_epoch_named),
    )
}
"""Loops that one training may change between: from life to life, another."""
ALONE = {loop.__name__: loop for loop in (limited, lightning, fabric)}
"""Loops whose counts no other loop would know."""
NAMED = {"readme", "enumerated", "zipped", "named_while_iterated", "left_and_continued", "saved_epoch_named"}
UNSOUND = {"by_steps", "by_passes", "until"}
"""Loops that take steps for a measure of epochs where these had another number of steps in an earlier life."""


# What they are entitled to


class Event(NamedTuple):
    """A step of all ranks, or the end of a pass (`end`)."""

    epoch: int
    rows: list[Rows] | None = None
    """Of each rank; None where they are not known beforehand: the rest of an epoch that is cut anew."""
    end: bool = False
    seen: bool = True
    """The end of the epoch was: the loop asked for one batch more."""
    warned: bool = False
    """The pass was empty though nobody asked for that."""
    left: bool = False
    """The loop left the place that was loaded: rows are left out, or come again."""


@dataclass
class Place:
    """Where a run stands, by what it delivered."""

    epoch: int = 0
    taken: list[Rows] = field(default_factory=list)  # of this epoch, in the job's order
    ended: bool = False  # the end was seen
    rest: int | None = None  # steps of the ranks; None: a whole epoch
    cut: Any = None  # the settings of this epoch's batches; None once they have changed in it

    def after(self, event: Event, rows: list[Rows], cut: Any) -> "Place":
        """One event later."""
        again = self.ended and not event.end
        place = self if event.epoch == self.epoch and not again else Place(event.epoch, cut=cut)
        if event.end:
            return replace(place, ended=event.seen)
        rest = None if place.rest is None else place.rest - 1
        return replace(place, taken=[*place.taken, *rows], ended=False, rest=rest)


def entitled(
    loop: str, place: Place, trainer: Trainer, rest: list[list[Rows] | None], fresh: Callable[[int], list[list[Rows]]]
) -> Iterator[Event]:
    """The events of a life. `rest`: the steps left of `place.epoch`; `fresh(epoch)`: those of a whole epoch."""
    length, own, total, limit = len(fresh(0)), place.epoch + place.ended, trainer.epochs, trainer.limit
    step = trainer.step
    if limit is not None:
        rest = rest[: max(0, len(rest) - max(0, length - limit))]
    done = place.ended or not rest
    complete = not place.ended and done and bool(place.taken)
    if loop in NAMED | {"limited"}:
        epochs: Iterator[int] = iter(range(place.epoch if loop == "saved_epoch_named" else own, total))
    elif loop == "by_steps":
        epochs = takewhile(lambda epoch: epoch < total, (step // length for _ in count()))
    elif loop == "lightning":
        epochs = iter(range(place.epoch + done, total))
    else:
        passes = {
            "by_passes": total - step // length,
            "until": total + 1 if step < total * length else 0,
            "saved_epoch": total - trainer.epoch,
            "cycled": total - own,
            "fabric": total - own,
        }[loop]
        epochs = iter(range(own, own + passes))
    names = loop in NAMED | {"by_steps", "lightning", "limited"}
    begun = place.epoch > 0 or place.ended or bool(place.taken)
    gone = False  # the loaded place was left, and that was said
    for number, epoch in enumerate(epochs):
        left = begun and epoch not in ({place.epoch, place.epoch + done}) if number == 0 else epoch == place.epoch
        left = left and not gone
        gone = gone or left
        if epoch != place.epoch or number > 0:
            steps: list[Any] = fresh(epoch)[:limit]
        else:
            steps = [] if place.ended else rest
        for rows in steps:
            yield Event(epoch, rows, left=left)
            left = False
            step += 1
            if loop == "until" and step == total * length:
                return
        seen = limit is None or limit > length
        yield Event(epoch, end=True, seen=seen, warned=complete and number == 0 and not names, left=left)
