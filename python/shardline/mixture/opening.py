"""The sources of a mixture, opened: their plans, and whether their batches have one form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from shardline._core import DEFAULT_BUFFER_BYTES, Plan
from shardline.arguments import DatasetArguments
from shardline.distributed.plan_broadcast import RankChannels, broadcast_plan, open_channels
from shardline.distributed.ranks import Ranks
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.mixture.mixture import Mixture
from shardline.mixture.source import Source
from shardline.options import validate
from shardline.options.storage import check_storage
from shardline.planning.build import build_plan
from shardline.planning.epoch_order import EpochOrder
from shardline.planning.shuffle import Shuffle
from shardline.reading.epoch_source import EpochSource
from shardline.settings import Settings
from shardline.signature import check_arguments

STRANDS = 8
"""The most strands of a source where no number is asked for: row groups of all sources are open at once."""
BUFFER_PART = 8
"""A source's shuffle buffer is one part in so many of a data set's."""
SOURCE_KEY = "source"
"""The key of a batch that has the number of each row's source."""


@dataclass(frozen=True)
class OpenedSource:
    """A source of a mixture. Plain and picklable."""

    name: str
    settings: Settings
    plan: Plan
    epochs: float | None
    transform: Callable[[Any], Any] | None

    def shuffle(self, num_shards: int) -> Shuffle:
        """The order's numbers: of its own data and settings, and of the shards at the run's start."""
        return Shuffle.resolve(self.plan, self._for_order(), num_shards)

    def _for_order(self) -> Settings:
        """The settings, with what a source of a mixture has by default."""
        settings = self.settings
        if not settings.shuffle:
            return settings
        settings = replace(settings, shuffle_strands=settings.shuffle_strands or STRANDS)
        if settings.shuffle_buffer_size is not None:
            return settings
        buffer = max(1, (settings.shuffle_buffer_bytes or DEFAULT_BUFFER_BYTES) // BUFFER_PART)
        return replace(settings, shuffle_buffer_bytes=buffer)

    def order(self, shuffle: Shuffle, seed: int) -> EpochOrder:
        """The order of its rows."""
        return EpochOrder(self.plan, self.settings.row_filter, shuffle, seed)


def open_sources(
    mixture: Mixture, given: Mapping[str, Any], ranks: Ranks
) -> tuple[list[OpenedSource], Settings, int, RankChannels | None]:
    """The sources; the settings of all; the seed; and the channels of the ranks.

    Args:
        mixture: What to open.
        given: The loader's arguments, as they were given.
        ranks: The processes that share the batches.

    Raises:
        ShardlineError: As a dataset of one source raises it; and where a source has no row.
    """
    opened: list[OpenedSource] = []
    common, seed, channels = None, 0, None
    for name, source in mixture.sources.items():
        settings, paths, plan = _settings(source, given, ranks)
        if settings.on_new_files != "keep":
            raise ShardlineValueError('on_new_files="refresh" is not for a mixture: its sources keep their files')
        if opened:
            settings = replace(settings, shuffle_seed=seed)
        own = open_channels(ranks, paths, plan, settings)
        progress = bool(given.get("show_progress")) and ranks.rank == 0
        if own is None:
            plan, drawn = build_plan(paths, plan, settings, show_progress=progress)
        else:
            plan, drawn = broadcast_plan(paths, plan, settings, own.listing, show_progress=progress)
        if common is None:
            common, seed, channels = settings, drawn, own
        opened.append(OpenedSource(name, settings, plan, source.epochs, source.transform))
    assert common is not None
    return opened, common, seed, channels


def _settings(
    source: Source, given: Mapping[str, Any], ranks: Ranks
) -> tuple[Settings, Sequence[str] | None, Plan | None]:
    """A source's settings, its paths, and the plan that it was given."""
    options = {**given, **source.options}
    of_all, own = given.get("column_options"), source.options.get("column_options")
    if isinstance(of_all, Mapping) and isinstance(own, Mapping):
        options["column_options"] = {**of_all, **own}
    values = check_arguments("Source", options, DatasetArguments)
    plan = values["plan"]
    paths = validate.check_paths(source.path) if plan is None else None
    storage = check_storage(values["storage_options"], paths, plan)
    return Settings.of(values, rank=ranks.rank, num_ranks=ranks.num_ranks, storage=storage), paths, plan


def check_form(sources: Sequence[OpenedSource], read: Sequence[EpochSource]) -> None:
    """Rows of all sources stand in one batch: they must have the same keys, of the same types.

    Raises:
        ShardlineTypeError: They do not. The message names the source, the column and both types.
        ShardlineValueError: A column is called as the key of the sources' numbers is.
    """
    for source, each in zip(sources, read, strict=True):
        if SOURCE_KEY in each.projection.names:
            raise ShardlineValueError(
                f"source {source.name!r} has a column {SOURCE_KEY!r}, and a mixture's batches have the numbers of "
                "their rows' sources under this key: leave it out by columns=, or rename it"
            )
        if len(sources) > 1 and each.projection.unlearned:
            path = each.projection.unlearned[0]
            raise ShardlineTypeError(
                f"column {path!r} is delivered as codes, which would mean other values in every source: give the "
                f"values by column_options={{{path!r}: ColumnOptions(encode='codes', vocabulary=[…])}}, or "
                "ColumnOptions(strings='objects')"
            )
        if source.settings.pack is not None:
            continue
        here, there = _form(each), _form(read[0])
        if list(here) != list(there):
            lacking = [key for key in there if key not in here] + [key for key in here if key not in there]
            what = f"other keys ({', '.join(map(repr, lacking[:5]))})" if lacking else "its keys in another order"
            raise ShardlineTypeError(
                f"source {source.name!r} has {what} than source {sources[0].name!r}: rows of both stand in one batch; "
                "give columns= of each source so that they are the same"
            )
        for key, form in here.items():
            if form != there[key]:
                raise ShardlineTypeError(
                    f"column {key!r} of source {source.name!r} is {_words(each, key)}, and of source "
                    f"{sources[0].name!r} {_words(read[0], key)}: rows of both stand in one batch; give "
                    f"column_options={{{key!r}: ColumnOptions(dtype=…)}} so that they are the same, or leave it out by "
                    "columns="
                )


def _form(source: EpochSource) -> dict[str, Any]:
    """What each key of a batch is."""
    schema = pa.schema(source.projection.schema)
    found: dict[str, Any] = {}
    for name, role, columns, node in source.projection.layout:
        stored = tuple(str(schema.field(column).type) for column in columns if column in schema.names)
        is_number = node[0] in ("dense", "jagged", "padded") and "[" not in "".join(stored)
        found[name] = (role, node, () if is_number else stored)
    return found


def _words(source: EpochSource, key: str) -> str:
    schema = pa.schema(source.projection.schema)
    for name, _, columns, node in source.projection.layout:
        if name == key:
            stored = ", ".join(str(schema.field(column).type) for column in columns if column in schema.names)
            return f"{stored} (delivered as {node[0]}{' ' + node[2] if node[2] else ''})"
    return "not there"
