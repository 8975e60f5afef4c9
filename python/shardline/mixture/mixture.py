"""`Mixture`: what is mixed, and when it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.mixture.schedule import At, Ramp, events_of
from shardline.mixture.source import Source
from shardline.options.validate import check_choice, check_int

Stop = Literal["first", "all"]
MAX_SOURCES = 2**15 - 1
_ENDS = ("batches", "rows", "tokens")


@dataclass(frozen=True, init=False)
class Mixture:
    """Several sources whose rows come in proportion to weights; given to a loader in place of a path.

    An epoch of a mixture is one whole schedule. A source runs on: each of its rows comes once before any comes twice,
    whatever the weights do. Every batch but the last has exactly `batch_size` rows, put in an order that the seed, the
    epoch and the batch fix, and `batch["source"]` has the number of each row's source.

    Args:
        sources: By name. The name keys the order of a source's rows: to add, remove or reorder others changes nothing
            of it.
        batches: The batches of the job, over all ranks, at which an epoch ends; those that the ranks do not divide are
            left out.
        rows: The same in rows.
        tokens: The same in tokens, where rows are packed sequences.
        stop: `"first"` ends an epoch once a source has delivered its `epochs` (one, where it has no limit), `"all"`
            once all have.
        schedule: Entries `At` and `Ramp`, in order: weights that change with the batches of the job.

    Raises:
        ShardlineTypeError: A source is no `Source`, or an entry of the schedule is none.
        ShardlineValueError: All weights are 0, the schedule goes back, or an end is given twice.

    >>> Mixture({"web": Source("web/", weight=0.7), "code": Source("code/", weight=0.3)}, batches=1000).names
    ('web', 'code')
    """

    sources: Mapping[str, Source]
    end: tuple[str, int] | None
    stop: Stop | None
    schedule: tuple[At | Ramp, ...]

    def __init__(
        self,
        sources: Mapping[str, Source],
        *,
        batches: int | None = None,
        rows: int | None = None,
        tokens: int | None = None,
        stop: Stop | None = None,
        schedule: Sequence[At | Ramp] = (),
    ) -> None:
        if not isinstance(sources, Mapping):
            raise ShardlineTypeError(
                f'Mixture() takes sources by name, as in {{"web": Source("web/", weight=0.7)}}, not {sources!r}'
            )
        for name, source in sources.items():
            if type(name) is not str or name == "":
                raise ShardlineTypeError(f"a source's name must be text, not {name!r}")
            if not isinstance(source, Source):
                raise ShardlineTypeError(
                    f"the source {name!r} must be a shardline.Source(path, weight=…), not {source!r}"
                )
        if not 1 <= len(sources) <= MAX_SOURCES:
            raise ShardlineValueError(f"a mixture has 1 to {MAX_SOURCES:,} sources, not {len(sources):,}")
        if not any(source.weight for source in sources.values()):
            raise ShardlineValueError("every source of the mixture has weight 0: give one that is more")
        given = [(name, value) for name, value in zip(_ENDS, (batches, rows, tokens), strict=True) if value is not None]
        if len(given) > 1:
            raise ShardlineValueError(
                f"{given[0][0]}= and {given[1][0]}= both say where the mixture ends: give one of them"
            )
        if not isinstance(schedule, (list, tuple)) or not all(isinstance(each, (At, Ramp)) for each in schedule):
            raise ShardlineTypeError(f"schedule= must be a list of shardline.At and shardline.Ramp, not {schedule!r}")
        if stop is not None:
            check_choice("stop", stop, ("first", "all"))
        plain: dict[str, Any] = {
            "sources": dict(sources),
            "end": (given[0][0], check_int(given[0][0], given[0][1], 1, 2**50)) if given else None,
            "stop": stop,
            "schedule": tuple(schedule),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self.events(1)  # whatever is wrong with the schedule is said here

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, in order."""
        return tuple(self.sources)

    def events(self, batch_size: int) -> list[list[Any]]:
        """The schedule in rows of the job, as a state holds it."""
        weights = [source.weight for source in self.sources.values()]
        return events_of(self.names, weights, self.schedule, batch_size)
