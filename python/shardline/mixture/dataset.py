"""`MixtureDataset`: a mixture's batches, as `StructuredDataset` has those of one data set."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Unpack, cast

from shardline._core import Mixture as CoreMixture
from shardline._core import Plan
from shardline.arguments import DatasetArguments
from shardline.dataset import StructuredDataset
from shardline.distributed.ranks import find_ranks
from shardline.distributed.state_check import StateCheck
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.iteration.epoch import start_epoch
from shardline.iteration.guard import check_not_dispatched
from shardline.iteration.shared_dict import being_sent
from shardline.iteration.torch_workers import check_unmoved, read_entry
from shardline.mixture.context import MixtureContext
from shardline.mixture.mixture import Mixture
from shardline.mixture.opening import OpenedSource, open_sources
from shardline.mixture.order import MixedOrder, MixedSource
from shardline.mixture.resume import resume_mixture
from shardline.mixture.run import MixtureRun
from shardline.mixture.schedule import check_weights
from shardline.mixture.transform import SourceTransforms
from shardline.mixture.view import MixtureView
from shardline.options import validate
from shardline.planning.shuffle import Shuffle
from shardline.planning.start_summary import log_start
from shardline.reading import vocabulary
from shardline.schema import Schema, with_source
from shardline.settings import Settings
from shardline.signature import check_arguments
from shardline.state import format as state_format
from shardline.state.announce import announce
from shardline.state.leg import legs_of
from shardline.state.torchdata import WORKER

_OWN = ("plan", "columns_from", "missing_columns", "version", "timestamp", "snapshot", "ref", "as_of")
"""Arguments that say what one data set is, which a mixture's sources have."""


class MixtureDataset(StructuredDataset):
    """The batches of a mixture: what a loader of a `Mixture` has as its `dataset`.

    Args:
        mixture: What is mixed.
        arguments: As `StructuredDataset` has them, for all sources that do not have their own.

    Raises:
        ShardlineTypeError: The sources' columns differ in name or type.
        ShardlineValueError: A source has no row, or ends before every shard has one.
        ShardlineError: As `StructuredDataset` does.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> from shardline import Mixture, Source
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("a", "b"):
    ...     pq.write_table(pa.table({"x": range(100)}), os.path.join(folder, f"{name}.parquet"))
    >>> sources = {
    ...     name: Source(os.path.join(folder, f"{name}.parquet"), weight) for name, weight in (("a", 3), ("b", 1))
    ... }
    >>> dataset = MixtureDataset(Mixture(sources, batches=2), batch_size=8)
    >>> [batch["source"].bincount().tolist() for batch in dataset]
    [[6, 2], [6, 2]]
    """

    _context: MixtureContext

    def __init__(self, mixture: Mixture, **arguments: Unpack[DatasetArguments]) -> None:
        given: dict[str, Any] = dict(arguments)
        for name in _OWN:
            if given.get(name) is not None:
                raise ShardlineValueError(f"{name}= is of one data set: give it to a Source of the mixture")
        values = check_arguments("MixtureDataset", given, DatasetArguments)
        ranks = find_ranks(values["rank"], values["num_ranks"], values["mesh"], values["process_group"])
        opened, settings, seed, channels = open_sources(mixture, given, ranks)
        of_sources = {i: (each.name, each.transform) for i, each in enumerate(opened) if each.transform is not None}
        if of_sources:
            settings = replace(settings, transform=SourceTransforms(of_sources, settings.transform))
        num_shards = settings.num_shards or ranks.num_ranks
        shuffles = [each.shuffle(num_shards) for each in opened]
        run = MixtureRun.begin(mixture, opened, shuffles, settings)
        for each in run.saved.sources:
            if each.rows == 0:
                raise ShardlineValueError(
                    f"source {each.name!r} has no row to deliver: its files are empty, or none of their rows pass. "
                    "Leave it out, or give other files or filters"
                )
        self._mixture = mixture
        self._where = f"mixture of {', '.join(mixture.names[:5])}{', …' if len(mixture.names) > 5 else ''}"
        self._paths = None
        self._opened = opened
        self._listed = opened[0].plan
        self._context = MixtureContext(settings, run, opened, seed, num_shards, shuffles)
        self._state_check = channels and StateCheck(channels.states)
        self._ranks_by_default = ranks.by_default
        self.resumed = "begins afresh: no state was loaded"
        steps = None if self._context.legs.is_endless else len(self)
        log_start(self._where, self._order, settings, num_shards, steps)

    @property
    def schema(self) -> Schema:
        """As `StructuredDataset.schema`, and `source`, the number of each row's source."""
        return with_source(super().schema, self._context.settings)

    # What is its own

    @property
    def mixture(self) -> MixtureView:
        """The sources, and what was taken of them."""
        return MixtureView(self._context)

    @property
    def weights_digest(self) -> str:
        """Equal where the weights of all batches are: compared over the ranks when a state is saved."""
        return hashlib.sha256(self._context.run.schedule.encode()).hexdigest()[:16]

    def set_weights(
        self, weights: Mapping[str, float] | None = None, /, *, at: int | None = None, **named: float
    ) -> None:
        """Sets weights from a batch of the job on. See `DataLoader.set_weights`."""
        given = check_weights("set_weights", weights, named)
        self._context.set_weights(given, None if at is None else validate.check_int("at", at, 0, 2**50))

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = False, *, leave_out: Sequence[str] = ()) -> None:
        """Takes a state's place, its weights among it, at the next iter().

        Args:
            state: What `state_dict()` returned.
            strict: Whether another batch_size, drop_last, num_shards or number of ranks raises too.
            leave_out: Of a mixture no file can be left out.

        Raises:
            CheckpointMismatchError: The state does not fit; nothing was changed. The message lists every difference.
        """
        context = self._context
        settings, replica = context.settings, context.replica
        saved, made = state_format.read(state), None
        self._mixed_order.leaving_out(leave_out)
        if WORKER in state:
            made = read_entry(state[WORKER], replica, settings.num_ranks)
        here = cast(MixedSource, context.current)
        found = resume_mixture(saved, self._mixture, self._opened, here, settings, strict=strict)
        if WORKER in state:
            check_unmoved(saved.legs, legs_of(found.legs))
        context.resume(found, made)
        self.resumed = found.sentence
        if self._state_check is not None:
            self._state_check.loaded()
        if found.over:
            warnings.warn(f"the loaded state {found.sentence}", RuntimeWarning, stacklevel=2)
        announce(replace(found, what="ended" if found.over else found.what), settings, list)

    def rows_at(
        self, step: int, rank: int | None = None, epoch: int | None = None, *, resolve: bool = False
    ) -> list[Any]:
        """The rows of a batch, by arithmetic, source by source: (source, file name, row group, first row, end row).

        In the order in which each source's line has them; the batch has them in the order of a key. Otherwise as
        `StructuredDataset.rows_at`.
        """
        context = self._context
        ranks = context.settings.num_ranks
        rank = context.settings.rank if rank is None else validate.check_int("rank", rank, 0, ranks - 1)
        step = validate.check_int("step", step, 0, 2**62)
        if self._order.pack is not None:
            raise ShardlineValueError(
                "rows_at has no answer for a mixture of packed sequences: ask a dataset of a source"
            )
        at, legs = context.progress.legs_at(
            step, None if epoch is None else validate.check_int("epoch", epoch, 0, 2**62)
        )
        if legs.is_complete:
            raise ShardlineValueError(f"step {step} is not in epoch {at}")
        found: list[Any] = []
        batch = cast(Any, legs).batch(legs.delivered + rank)
        for name, order, intervals in zip(context.run.names, self._mixed_order.orders, batch, strict=True):
            seed = CoreMixture.source_seed(self._order.seed, at, name)
            core = order.shuffle.order(order.plan, seed)
            for start, stop in intervals:
                line, rows = start // order.num_rows, order.num_rows
                parts = core.rows(line, [(start - line * rows, stop - line * rows)])
                if validate.check_bool("resolve", resolve) and order.selector is not None:
                    parts = order.selector.resolve(order.plan, parts)
                found += [(name, order.names[file], group, first, end) for file, group, first, end in parts]
        return found

    def head(self, n: int = 5) -> Any:
        """The first `n` rows of the epoch in hand, over all ranks, as one batch; the place stays where it is."""
        n = validate.check_int("n", n, 1, 2**40)
        context = self._context
        settings = replace(context.settings, batch_size=n, drop_last=False, rank=0, num_ranks=1, num_shards=1)
        end = ["rows", n, n]
        run = MixtureRun(context.run.saved._replace(end=end, stop=None))
        first = MixtureContext(settings, run, context.opened, self._order.seed, 1, context.shuffles)
        first.set_epoch(self.epoch)
        batches = start_epoch(first, None)
        try:
            return next(batches)
        finally:
            batches.close()

    def __len__(self) -> int:
        """This rank's batches in the whole epoch.

        Raises:
            ShardlineTypeError: The mixture has no end.
        """
        if self._context.legs.is_endless:
            raise ShardlineTypeError(
                "a mixture without an end has no length: give batches=, rows=, tokens= or stop= to Mixture()"
            )
        return super().__len__()

    @property
    def _mixed_order(self) -> MixedOrder:
        return cast(MixedOrder, self._context.current.order)

    @property
    def is_remote(self) -> bool:
        """Whether files of a source are in a store."""
        return any(each.settings.storage is not None for each in self._opened)

    @property
    def plan(self) -> Plan:
        """A mixture has a plan a source: see `plans`."""
        self._refuse("plan")

    @property
    def plans(self) -> dict[str, Plan]:
        """The file table of each source, to be given to it as `plan=`."""
        return {each.name: each.plan for each in self._opened}

    def vocabulary(self, column: str) -> list[Any]:
        """Of one source only."""
        self._refuse("vocabulary()")

    def left_out(self) -> list[tuple[int, int]]:
        """A mixture has no line of its own: `mixture.at()` says what was taken of each source."""
        self._refuse("left_out()")

    def stats(self) -> NoReturn:
        """Of one source only."""
        self._refuse("stats()")

    def value_counts(self, column: str) -> NoReturn:
        """Of one source only."""
        self._refuse("value_counts()")

    def measured(self) -> NoReturn:
        """Of one source only."""
        self._refuse("shuffle_quality()")

    def leave_out(self, files: Sequence[str]) -> None:
        """Of a mixture no file can be left out."""
        self._mixed_order.leaving_out(files)

    def _refuse(self, what: str) -> NoReturn:
        raise ShardlineTypeError(
            f"{what} is of one data set, and this is a mixture of {len(self._opened):,}: ask a "
            "shardline.StructuredDataset of a source's path"
        )

    def __repr__(self) -> str:
        settings, context = self._context.settings, self._context
        length = "without an end" if context.legs.is_endless else f"of {len(self):,}"
        counts = self.mixture.at()
        sources = [
            f"{name}: weight {count.weight:g}, {count.rows:,} rows ({count.epochs:.2f} epochs) taken"
            for name, count in counts.items()
        ]
        lines = (
            self._where,
            *sources,
            f"batch_size={settings.batch_size:,}{', drop_last' if settings.drop_last else ''}",
            f"rank {settings.rank} of {settings.num_ranks}, {context.num_shards} shards",
            f"epoch {self.epoch}, batch {self.batch_index:,} {length}",
        )
        return "MixtureDataset(\n" + "".join(f"  {line}\n" for line in lines) + ")"

    def __getstate__(self) -> dict[str, Any]:
        context = self._context
        if being_sent():
            check_not_dispatched(self.num_ranks)
        return {
            "where": self._where,
            "mixture": self._mixture,
            "settings": context.settings,
            "ranks_by_default": self._ranks_by_default,
            "given": self._opened,
            "opened": context.opened,
            "shuffles": context.shuffles,
            "run": context.run,
            "seed": self._order.seed,
            "num_shards": context.num_shards,
            "resumed": self.resumed,
            "vocabularies": vocabulary.snapshot(*(each.plan for each in self._opened)),
            "progress": context.progress.kept_place(),
            "shared": context.shared if being_sent() else None,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._where, self._mixture, self._opened = kept["where"], kept["mixture"], kept["given"]
        self._paths, self._listed = None, self._opened[0].plan
        self.resumed, self._ranks_by_default = kept["resumed"], kept["ranks_by_default"]
        vocabulary.restore(kept["vocabularies"])
        settings: Settings = kept["settings"]
        opened: list[OpenedSource] = kept["opened"]
        shuffles: list[Shuffle] = kept["shuffles"]
        context = MixtureContext(settings, kept["run"], opened, kept["seed"], kept["num_shards"], shuffles)
        self._context = context
        context.progress.restore(kept["progress"], context.make_legs(kept["progress"].legs))
        if kept["shared"] is not None:
            context.shared = kept["shared"]
        else:
            context.publish_place()
