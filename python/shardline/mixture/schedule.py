"""Weights from row to row of the job: `At` and `Ramp`, and what they come to for the core.

A schedule is a list of plain events, as a state holds it: `[row, weights]` sets the weights of all sources, by number,
from a row on; `[row, end, weights, stairs]` moves them there in as many stairs.

>>> pieces([[0, [0.75, 0.25]], [8, [1, 1]]])
[(0, [3, 1]), (8, [1, 1])]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.mixture.source import check_weight, exact
from shardline.options.near import near
from shardline.options.validate import check_int

Event = list[Any]
_MOST_WEIGHT = 2**62


@dataclass(frozen=True, init=False)
class At:
    """Other weights from a batch of the job on, counted over all ranks. Sources that are not named keep theirs.

    Args:
        batch: The first batch with them. A step of the shards that it stands in the middle of keeps its weights.
        weights: By name; for names that are no keywords, as in `At(100, {"web/en": 0.4})`.
        named: More of them.

    >>> At(batch=1000, math=0.6).weights
    {'math': 0.6}
    """

    batch: int
    weights: Mapping[str, float]

    def __init__(self, batch: int, weights: Mapping[str, float] | None = None, **named: float) -> None:
        object.__setattr__(self, "batch", check_int("batch of At()", batch, 1, 2**50))
        object.__setattr__(self, "weights", check_weights("At", weights, named))


@dataclass(frozen=True, init=False)
class Ramp:
    """Weights that move to others, from a batch of the job to another, by equal stairs.

    Args:
        start: The batch that the first stair begins with.
        end: The batch from which on the weights are those given.
        weights: By name, as in `At`.
        stairs: How many.
        named: More weights.

    >>> Ramp(1000, 2000, math=0.6).end
    2000
    """

    start: int
    end: int
    weights: Mapping[str, float]
    stairs: int

    def __init__(
        self, start: int, end: int, weights: Mapping[str, float] | None = None, *, stairs: int = 64, **named: float
    ) -> None:
        object.__setattr__(self, "start", check_int("start of Ramp()", start, 0, 2**50))
        object.__setattr__(self, "end", check_int("end of Ramp()", end, self.start + 1, 2**50))
        object.__setattr__(self, "weights", check_weights("Ramp", weights, named))
        object.__setattr__(self, "stairs", check_int("stairs of Ramp()", stairs, 1, 2**12))


def check_weights(what: str, weights: Any, named: Mapping[str, float]) -> dict[str, float]:
    """Weights by name, of a mapping and of keywords.

    Raises:
        ShardlineTypeError: They are no mapping of numbers.
        ShardlineValueError: There is none, one is named twice, or one is negative or not finite.
    """
    if weights is not None and not isinstance(weights, Mapping):
        raise ShardlineTypeError(f"weights of {what}() must be a mapping of names to numbers, not {weights!r}")
    given = dict(weights or {})
    if twice := sorted(set(given) & set(named)):
        raise ShardlineValueError(f"{what}() names {twice[0]!r} twice: give one weight")
    given.update(named)
    if not given:
        raise ShardlineValueError(f"{what}() names no source: give weights, as in {what}(…, web=0.3)")
    return {name: check_weight(f"the weight of {name!r} in {what}()", value) for name, value in given.items()}


def merged(what: str, names: Sequence[str], before: Sequence[float], weights: Mapping[str, float]) -> list[float]:
    """The weights of all sources by number, those that are named replaced.

    Raises:
        ShardlineValueError: A name is not one of the mixture's, or no weight is left.
    """
    for name in weights:
        if name not in names:
            raise ShardlineValueError(f"{what} names {name!r}, which is no source of the mixture{near(name, names)}")
    after = [weights.get(name, value) for name, value in zip(names, before, strict=True)]
    if not any(after):
        raise ShardlineValueError(f"{what} leaves every source with weight 0: nothing would be left to read")
    return after


def events_of(
    names: Sequence[str], first: Sequence[float], schedule: Sequence[At | Ramp], batch_size: int
) -> list[Event]:
    """The events of a schedule, in rows of the job."""
    events: list[Event] = [[0, list(first)]]
    weights, last = list(first), 0
    for each in schedule:
        is_ramp = isinstance(each, Ramp)
        start, end = (each.start, each.end) if isinstance(each, Ramp) else (each.batch, each.batch)
        what = f"{type(each).__name__}({start:,}, …)"
        if start < last or (start == last and last > 0 and not is_ramp):
            raise ShardlineValueError(
                f"schedule= goes back in time: {what} stands behind an entry that reaches to batch {last:,}. Put its "
                "entries in order; a Ramp ends before the next begins"
            )
        weights, last = merged(what, names, weights, each.weights), end
        if isinstance(each, Ramp):
            events.append([start * batch_size, end * batch_size, weights, each.stairs])
        else:
            events.append([start * batch_size, weights])
    return events


def raw_pieces(events: Sequence[Event]) -> list[tuple[int, list[Fraction]]]:
    """The weights from row to row, as they were said."""
    found: dict[int, list[Fraction]] = {}
    force: list[Fraction] = []
    for event, following in zip(events, [*events[1:], None], strict=True):
        until = None if following is None else following[0]
        row = event[0]
        target = [exact(weight) for weight in event[-1 if len(event) == 2 else 2]]
        if len(event) == 2:
            found[row] = force = target
            continue
        end, stairs, begin = event[1], event[3], force
        for stair in range(stairs + 1):
            at = row + (end - row) * stair // stairs
            if until is not None and at >= until:
                break
            share = Fraction(2 * stair + 1, 2 * stairs) if stair < stairs else Fraction(1)
            force = [a + (b - a) * share for a, b in zip(begin, target, strict=True)]
            found[at] = force
    return sorted(found.items())


def weights_at(events: Sequence[Event], row: int) -> list[float]:
    """The weights in force at a row of the job."""
    *_, (_, weights) = (piece for piece in raw_pieces(events) if piece[0] <= row)
    return [int(weight) if weight.denominator == 1 else float(weight) for weight in weights]


def pieces(events: Sequence[Event]) -> list[tuple[int, list[int]]]:
    """The same in integers, as the core takes them: only ratios count.

    Raises:
        ShardlineValueError: Weights are too far apart to be counted with.
    """
    found = []
    for row, weights in raw_pieces(events):
        scale = lcm(*(weight.denominator for weight in weights))
        whole = [int(weight * scale) for weight in weights]
        divisor = gcd(*whole) or 1
        if sum(whole) // divisor >= _MOST_WEIGHT:
            raise ShardlineValueError(
                f"the weights from row {row:,} on are too far apart to be counted with: round them to fewer digits"
            )
        found.append((row, [weight // divisor for weight in whole]))
    return found
