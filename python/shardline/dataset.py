"""`StructuredDataset`: Parquet files as batches, in an order that a seed fixes, resumable at any batch."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from torch.utils.data import IterableDataset

from shardline._core import Plan
from shardline.arguments import DatasetArguments
from shardline.compat import tdu
from shardline.distributed.plan_broadcast import broadcast_plan, open_channels
from shardline.distributed.ranks import find_ranks
from shardline.distributed.state_check import StateCheck
from shardline.errors import ShardlineOSError, ShardlineValueError
from shardline.footers.opening import opener
from shardline.footers.stats import Stats
from shardline.footers.survey import survey
from shardline.iteration.context import EpochContext
from shardline.iteration.epoch import MakeBar, start_epoch
from shardline.iteration.guard import check_not_dispatched, check_ranks_known
from shardline.iteration.iterator import BatchIterator, Finish
from shardline.iteration.one_column import value_counts
from shardline.iteration.pipeline import MakePool
from shardline.iteration.report import EpochReport
from shardline.iteration.row_places import rows_of_batch
from shardline.iteration.shared_dict import being_sent
from shardline.iteration.torch_workers import check_unmoved, read_entry
from shardline.options import validate
from shardline.options.storage import check_storage, is_remote
from shardline.options.validate import Paths
from shardline.planning.build import build_plan
from shardline.planning.catalog import ask_catalog
from shardline.planning.epoch_order import EpochOrder
from shardline.planning.leave_out import file_names, warn_of
from shardline.planning.start_summary import log_start
from shardline.reading import vocabulary
from shardline.reading.column_specs import options_of
from shardline.reading.epoch_source import EpochSource
from shardline.schema import Schema, describe_columns
from shardline.settings import Settings
from shardline.signature import check_arguments, documented
from shardline.sources.iceberg.catalog import IcebergTable
from shardline.state import format as state_format
from shardline.state.announce import announce
from shardline.state.leg import legs_of
from shardline.state.progress import merge_intervals
from shardline.state.resume import resume
from shardline.state.saved_version import saved_version
from shardline.state.torchdata import WORKER

if TYPE_CHECKING:
    from shardline.loader import DataLoader


@documented(DatasetArguments)
class StructuredDataset(IterableDataset[Any]):
    """The batches of one rank, in order, and the state of the whole job.

    Args:
        path: A file, a directory, a glob, or a list of these, on disk or in a store (`s3://`, `gs://`, `az://`,
            `abfss://`, `https://`).
    {arguments}

    Raises:
        ShardlineFileNotFoundError: There is no such path, or no Parquet file in it.
        ShardlineValueError: An argument is out of its range, or a file is damaged or does not fit the others.
        ShardlineTypeError: An argument is of the wrong type, or its name is not known.
        ColumnNotFoundError: A column does not exist.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": pa.array(range(10), pa.int64())}), path)
    >>> dataset = StructuredDataset(path, batch_size=4)
    >>> [batch["x"].tolist() for batch in dataset]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    _state_check: StateCheck | None = None  # None where ranks are given, and in a replica
    resumed: str
    """In a sentence, what loading the last state did."""

    def __init__(self, path: Paths | IcebergTable | None = None, **arguments: Unpack[DatasetArguments]) -> None:
        given: dict[str, Any] = dict(arguments)
        if path is None and isinstance(given.get("files"), (list, tuple)):
            path, given = tdu.dataset_arguments(given)
        values = check_arguments("StructuredDataset", given, DatasetArguments)
        plan = values["plan"]
        where = path if not isinstance(path, IcebergTable) else str(path)
        paths = validate.check_paths(where) if plan is None else None
        if isinstance(path, IcebergTable) and plan is None:
            location = ask_catalog(path, values)
            storage = check_storage(values["storage_options"], [location], None)
        else:
            storage = check_storage(values["storage_options"], paths, plan)
        ranks = find_ranks(values["rank"], values["num_ranks"], values["mesh"], values["process_group"])
        settings = Settings.of(values, rank=ranks.rank, num_ranks=ranks.num_ranks, storage=storage)
        channels = open_channels(ranks, paths, plan, settings)
        progress = values["show_progress"] and ranks.rank == 0
        if channels is None:
            plan, seed = build_plan(paths, plan, settings, show_progress=progress)
        else:
            plan, seed = broadcast_plan(paths, plan, settings, channels.listing, show_progress=progress)
        self._where = "a plan" if path is None else str(path)
        self._paths = paths
        self._listed = plan
        self._context = EpochContext(settings, plan, seed, settings.num_shards or ranks.num_ranks)
        self._state_check = channels and StateCheck(channels.states)
        self._ranks_by_default = ranks.by_default
        self.resumed = "begins afresh: no state was loaded"
        log_start(self._where, self._order, settings, self._context.num_shards, len(self))

    @classmethod
    def create_dataloader(
        cls, path: "Paths | StructuredDataset", format: str | None = None, **arguments: Any
    ) -> "tuple[DataLoader, StructuredDataset]":
        """(loader, its dataset): the interface of torch-dataloader-utils.

        Args:
            path: A path, or a list of paths.
            format: As `DataLoader`'s.
            arguments: Those of `DataLoader`, and of torch-dataloader-utils: `num_workers=None` is one less than the
                cores, `progress_interval_sec` the seconds between two updates of a progress bar; `split_strategy` must
                be None.

        Returns:
            The loader, and its dataset.

        Raises:
            ShardlineError: As `DataLoader` does.
        """
        from shardline.loader import DataLoader

        given, seconds = tdu.loader_arguments(format, arguments)
        loader = DataLoader(path, **given)
        loader.progress_seconds = seconds
        return loader, loader.dataset

    # The place, and its state

    def set_epoch(self, epoch: int) -> None:
        """Begins `epoch` (≥ 0) at its start.

        The position is kept in the epoch that is being iterated, and in an epoch where a state or a seek has set it
        (`seek(0)` repeats such an epoch). An iterator that has delivered no batch yet begins where this says; one that
        has ends, and the next iter() begins there. Warns if it leaves a place that was just loaded.
        """
        epoch = validate.check_int("epoch", epoch, 0, 2**62)
        if self._context.leaves(epoch):
            warnings.warn(
                f"set_epoch({epoch}) leaves the loaded place, epoch {self.epoch}, step {self.batch_index} of "
                f"{len(self)}: rows are left out or delivered again. Name loader.epoch instead. step // len(loader) is "
                "the epoch only if every epoch had as many steps: not with another number of ranks or another batch "
                "size than before",
                RuntimeWarning,
                stacklevel=3,
            )
        self._context.set_epoch(epoch)

    def follow_epoch(self, epoch: int) -> None:
        """For a framework's own epoch counter: its epoch `epoch` is about to begin.

        Unlike `set_epoch`, it accepts a count that starts at 0 again after a load, and a pass that was left early: each
        of the framework's epochs begins an epoch here, and a loaded place is kept. Frameworks that set the epoch of a
        loader's sampler call it through `DataLoader.sampler`.
        """
        self._context.follow(validate.check_int("epoch", epoch, 0, 2**62))

    def seek(self, step: int) -> None:
        """Moves forward to `step` of this epoch, at the next iter(); the state knows what lies between as skipped.

        `seek(0)` begins the epoch again.
        """
        self._context.seek(validate.check_int("step", step, 0, 2**62))

    def state_dict(self) -> dict[str, Any]:
        """The job's state as of the last batch that was delivered: plain dicts, lists, ints and strings."""
        return self._context.state_dict()

    def state_at(self, step: int, epoch: int | None = None) -> dict[str, Any]:
        """The state as of `step` batches of this rank in the epoch of the newest iterator, or in `epoch`.

        For wrappers that look ahead. Once the end of an epoch was seen, that epoch is still the one meant until the
        next iter(). ShardlineValueError where the epoch has no such step.
        """
        step = validate.check_int("step", step, 0, 2**62)
        epoch = None if epoch is None else validate.check_int("epoch", epoch, 0, 2**62)
        at, legs = self._context.progress.legs_at(step, epoch)
        return self._context.state(at, False, legs_of(legs))

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = False, *, leave_out: Sequence[str] = ()) -> None:
        """Takes a state's place, at the next iter(). What the dataset then does is logged, and said by `resumed`.

        Args:
            state: What `state_dict()` returned.
            strict: Whether another batch_size, drop_last or num_shards, or ranks that would cut the rest of the epoch
                anew, raise too.
            leave_out: Files, damaged or gone, that the run continues without; see `leave_out`.

        Raises:
            CheckpointMismatchError: The state does not fit; nothing was changed. The message lists every difference.
            ShardlineFileNotFoundError: A file in `leave_out` is not one of the run.
        """
        context = self._context
        settings, replica = context.settings, context.replica
        saved, made = state_format.read(state), None
        without: frozenset[str] = frozenset()
        if leave_out:
            known = {name for name, _, _ in saved.files.table or self._listed.files()}
            without = file_names(leave_out, self._listed, known)
        if WORKER in state:
            made = read_entry(state[WORKER], replica, settings.num_ranks)
        order = context.current.order
        version = saved_version(saved, (order.plan, self._listed), self._paths, settings)
        found = resume(saved, order, self._listed, settings, strict=strict, leave_out=without, version=version)
        if WORKER in state:
            check_unmoved(saved.legs, legs_of(found.legs))
        context.resume(found, made)
        self.resumed = found.sentence
        if self._state_check is not None:
            self._state_check.loaded()
        announce(found, settings, self.left_out)

    def leave_out(self, files: Sequence[str]) -> None:
        """Continues without some files, which are damaged or gone: their rows are left out of their batches.

        The batches get shorter, also under `drop_last`; one that is left with no row is delivered with 0 rows.
        Positions, steps and ranks do not change. It holds for the run (states record it), or until the file list is
        refreshed (`on_new_files="refresh"`). A warning says how many rows and batches are affected.

        Args:
            files: Names as `plan.files()` has them, or paths.

        Raises:
            ShardlineFileNotFoundError: A file is not one of the run.
            ShardlineRuntimeError: The epoch's first batch was delivered; see `load_state_dict`.
        """
        order = self._order
        self._context.leave_out(file_names(files, order.plan, frozenset(order.names)))
        start = self._context.progress.upcoming()
        if self._order.left_out:
            warn_of(self._order, start.epoch, start.legs.at(start.cursor), stacklevel=2)

    # Iterating

    def __iter__(self) -> Iterator[Any]:
        return self.iterate()

    def iterate(
        self,
        collate_fn: Callable[[Any], Any] | None = None,
        finish: Finish | None = None,
        bar: MakeBar | None = None,
        workers: MakePool | None = None,
    ) -> BatchIterator:
        """`iter()`, for a loader: see `shardline.iteration.epoch.start_epoch`."""
        check_ranks_known(self._ranks_by_default)
        check_not_dispatched(self.num_ranks)
        return start_epoch(self._context, self._state_check, collate_fn, finish, bar, workers)

    def get_metrics(self) -> dict[str, float]:
        """The counters of the newest iterator's reader; before there was one, only those of planning from a store."""
        return self._context.get_metrics()

    def report(self) -> EpochReport:
        """Where the time of the newest iterator's loop went, and what its bottleneck is."""
        return self._context.report()

    # Where it stands, and what it holds. Steps are batches of this rank; positions are places on the line.

    @property
    def _order(self) -> EpochOrder:
        return self._context.current.order

    @property
    def epoch(self) -> int:
        """The epoch in hand; once its end was seen, the next."""
        return self._context.progress.epoch

    @property
    def batch_index(self) -> int:
        """The index of this rank's next batch in `epoch`."""
        return self._context.progress.batch_index

    @property
    def remaining(self) -> int:
        """This rank's batches to the end of `epoch`."""
        return self._context.progress.remaining

    def __len__(self) -> int:
        """This rank's batches in the whole epoch: batch_index + remaining."""
        return self._context.progress.batch_index + self._context.progress.remaining

    @property
    def batch_size(self) -> int:
        """Rows, as asked."""
        return self._context.settings.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether every batch has exactly batch_size rows."""
        return self._context.settings.drop_last

    @property
    def num_shards(self) -> int:
        """The run's V: the pieces that the line of a fresh epoch is cut into."""
        return self._context.num_shards

    @property
    def rank(self) -> int:
        """Of `num_ranks`."""
        return self._context.settings.rank

    @property
    def num_ranks(self) -> int:
        """The processes that share the batches."""
        return self._context.settings.num_ranks

    @property
    def seed(self) -> int:
        """The shuffle's, given or drawn; it also seeds transforms."""
        return self._order.seed

    @property
    def num_threads(self) -> int:
        """The threads that decode."""
        return self._context.settings.num_threads

    @property
    def is_remote(self) -> bool:
        """Whether the files are in a store."""
        return is_remote(self._order.plan.root)

    @property
    def has_transform(self) -> bool:
        """Whether a `transform` was given."""
        return self._context.settings.transform is not None

    @property
    def num_rows(self) -> int:
        """Rows of the line, over all ranks."""
        return self._order.num_rows

    @property
    def plan(self) -> Plan:
        """The file table, to be saved by `Plan.save` or given to other datasets as `plan=`."""
        return self._order.plan

    @property
    def schema(self) -> Schema:
        """What each key of a batch holds, in the order of delivery; `schema.arrow`: the columns as the files have them.

        Reads the columns whose vocabulary is asked for, when it is asked for.
        """
        return describe_columns(self._context.current.projection, self._context.settings, self.vocabulary)

    def vocabulary(self, column: str) -> list[Any]:
        """The values that a column's codes stand for, or else its distinct values over all files: all of it is read.

        In the order in which they first come, without null. `column` may be the dotted path of a field, and lists give
        their items.
        """
        given = options_of(self._context.settings, column).vocabulary
        if given is not None:
            return list(given)
        words: list[Any] = vocabulary.of_column(self._order.plan, column, self._context.settings).to_pylist()
        return words

    def left_out(self) -> list[tuple[int, int]]:
        """The (start, stop) positions that the newest iterator's epoch never delivers.

        They were skipped, are left over, or belong to files that are left out.
        """
        progress = self._context.progress
        return merge_intervals(progress.left_out() + self._order.left_out_positions(progress.iterated_epoch))

    def rows_at(
        self, step: int, rank: int | None = None, epoch: int | None = None, *, resolve: bool = False
    ) -> list[Any]:
        """The rows of a batch, by arithmetic: (file name, row group, first row, end row), in the batch's order.

        `rank`: this one by default. `epoch`: that of the newest iterator by default. ShardlineValueError where there is
        no such step or rank. Under a filter or a sample rows are numbered among those of the row group that pass;
        with `resolve`, among all of its rows, for which the filter's columns of these row groups are read.

        Of packed sequences, the pieces of documents that they are made of, one sequence after the other: (file name,
        row group, row, first token, end token), the row numbered among all of its row group, and tokens among those
        of its document, `bos` counted in. The lists of these row groups are read.
        """
        ranks = self._context.settings.num_ranks
        rank = self._context.settings.rank if rank is None else validate.check_int("rank", rank, 0, ranks - 1)
        return rows_of_batch(
            self._context,
            validate.check_int("step", step, 0, 2**62),
            rank,
            None if epoch is None else validate.check_int("epoch", epoch, 0, 2**62),
            validate.check_bool("resolve", resolve),
        )

    def head(self, n: int = 5) -> Any:
        """The first `n` rows of the epoch in hand, over all ranks, as one batch; the place stays where it is.

        >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
        >>> pq.write_table(pa.table({"x": range(10)}), path)
        >>> StructuredDataset(path).head(3)
        {'x': tensor([0, 1, 2])}
        """
        order = self._order
        n = validate.check_int("n", n, 1, 2**40)
        settings = replace(self._context.settings, batch_size=n, drop_last=False, rank=0, num_ranks=1, num_shards=1)
        context = EpochContext(settings, order.plan, order.seed, 1, order.shuffle)
        if order.left_out:
            context.sources = context.sources.leaving_out(order.left_out, order.left_out)
        context.set_epoch(self.epoch)
        batches = start_epoch(context, None)
        try:
            return next(batches)
        finally:
            batches.close()

    def stats(self) -> Stats:
        """Rows, nulls, least and greatest value of every column as stored, from footers: no data is read.

        All rows of the files count, whatever filter or sample is set.

        Returns:
            `ColumnStats` by column: `rows`, `nulls`, `min`, `max`, and `exact`, with a note where they are not. `print`
            shows a table.

        Raises:
            ShardlineOSError: A file cannot be read any more.
            ShardlineValueError: pyarrow cannot read this kind of store.

        >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
        >>> pq.write_table(pa.table({"x": [3, None, 1]}), path)
        >>> x = StructuredDataset(path, output_format="arrow").stats()["x"]
        >>> x.rows, x.nulls, x.min, x.max, x.exact
        (3, 1, 1, 3, True)
        """
        order, settings = self._order, self._context.settings
        names = (name for name in order.names if name not in order.left_out)
        found = survey(names, opener(order.plan.root, settings.storage), settings.num_threads)
        for name, wrong in found.damaged.items():
            raise ShardlineOSError(f"{order.plan.root}/{name}: {wrong}")
        rule = settings.row_filter
        without = [f"that pass {rule}"] if rule.rule else []
        if order.plan.deleted is not None:
            without.append("that are not deleted")
        return Stats(
            found, f"All rows of the files are meant, not only those {' and '.join(without)}." if without else ""
        )

    def value_counts(self, column: str) -> dict[Any, int]:
        """How many rows have each value of a column, the most frequent first: reads that column, once.

        Rows are those that pass the filter and the sample, over all ranks. None stands for null.

        Raises:
            ColumnNotFoundError: There is no such column.
            ShardlineTypeError: The column holds lists or structs.
            ShardlineValueError: It has more than 1,048,576 values.

        >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
        >>> pq.write_table(pa.table({"label": ["a", "b", "a"]}), path)
        >>> StructuredDataset(path).value_counts("label")
        {'a': 2, 'b': 1}
        """
        if self._order.pack is not None:
            raise ShardlineValueError("value_counts counts rows, not packed sequences: ask a dataset without pack=")
        return value_counts(self._order, self._context.settings, column)

    def measured(self) -> tuple[EpochOrder, Settings]:
        """For `shardline.shuffle_quality`: the order of the epoch in hand, and the settings to read a column with."""
        return self._order, self._context.settings

    def __repr__(self) -> str:
        settings, plan = self._context.settings, self._order.plan
        num_columns, order = len(self._context.current.projection.names), self._order.describe()
        that_pass = f" that pass {settings.row_filter}" if settings.row_filter.rule else ""
        lines = (
            f"{self._where!r}",
            f"{plan.num_files:,} files, {plan.num_row_groups:,} row groups, {self.num_rows:,} rows{that_pass}",
            (
                f"{num_columns} columns as {settings.output_format}, "
                f"batch_size={settings.batch_size:,}{', drop_last' if settings.drop_last else ''}"
            ),
            order,
            f"rank {settings.rank} of {settings.num_ranks}, {self._context.num_shards} shards",
            f"epoch {self.epoch}, batch {self.batch_index:,} of {len(self):,}",
        )
        return "StructuredDataset(\n" + "".join(f"  {line}\n" for line in lines) + ")"

    # Pickling: the settings, the plans and the place; readers stay behind

    def __getstate__(self) -> dict[str, Any]:
        context = self._context
        if being_sent():
            check_not_dispatched(self.num_ranks)
        current, fresh = context.current.order, context.sources.fresh.order
        return {
            "where": self._where,
            "paths": self._paths,
            "settings": context.settings,
            "ranks_by_default": self._ranks_by_default,
            "listed": self._listed,
            "fresh": fresh.plan,
            "plan": current.plan,
            "seed": current.seed,
            "fresh_shuffle": fresh.shuffle,
            "shuffle": current.shuffle,
            "num_shards": context.num_shards,
            "left_out": (current.left_out, fresh.left_out),
            "resumed": self.resumed,
            "vocabularies": vocabulary.snapshot(fresh.plan, current.plan),
            "progress": context.progress.kept_place(),
            "shared": context.shared if being_sent() else None,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._where, self._paths, self._listed = kept["where"], kept["paths"], kept["listed"]
        self.resumed = kept["resumed"]
        self._ranks_by_default = kept["ranks_by_default"]
        vocabulary.restore(kept["vocabularies"])
        settings, plan, seed = kept["settings"], kept["plan"], kept["seed"]
        context = EpochContext(settings, kept["fresh"], seed, kept["num_shards"], kept["fresh_shuffle"])
        self._context = context
        if plan is not kept["fresh"]:
            source = EpochSource.of(EpochOrder(plan, settings.row_filter, kept["shuffle"], seed), settings)
            context.sources = context.sources._replace(current=source)
        if any(kept["left_out"]):
            context.sources = context.sources.leaving_out(*kept["left_out"])
        context.progress.restore(kept["progress"], context.make_legs(kept["progress"].legs))
        if kept["shared"] is not None:
            context.shared = kept["shared"]
        else:
            context.publish_place()
