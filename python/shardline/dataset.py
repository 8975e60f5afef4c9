"""`StructuredDataset`: Parquet files as batches, in an order that a seed fixes, resumable at any batch."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset

from shardline._core import Legs, Plan
from shardline.distributed.plan_broadcast import broadcast_plan, open_channels
from shardline.distributed.ranks import find_ranks
from shardline.distributed.state_check import Agreement
from shardline.filters.compile import check_filters
from shardline.filters.hive import check_partitioning
from shardline.filters.row_filter import RowFilter, none_left
from shardline.filters.sample import check_sample
from shardline.iterating import Iterating
from shardline.iteration.iterator import BatchIterator
from shardline.iteration.replica import check_unmoved, read_entry, workers_iterate
from shardline.iteration.shared_dict import SharedDict, being_sent
from shardline.options import validate
from shardline.options.columns import ColumnOptions, check_column_defaults, check_column_options, check_groups
from shardline.options.cpu import usable_cores
from shardline.options.storage import check_storage
from shardline.planning.build import build_plan
from shardline.planning.epoch_order import EpochOrder
from shardline.reading.column_specs import project
from shardline.reading.convert import converter
from shardline.reading.vocabulary import restore, snapshot
from shardline.settings import Settings
from shardline.standing import Source, Standing
from shardline.state import format as states
from shardline.state.progress import Progress
from shardline.state.resume import resume
from shardline.state.torchdata import WORKER

if TYPE_CHECKING:
    from shardline.loader import DataLoader

log = logging.getLogger("shardline")


class StructuredDataset(Standing, Iterating, IterableDataset[Any]):
    """The batches of one rank, in order, and the state of the whole job.

    `path`: a file, a directory, a glob, or a list of these, here or in a store (s3://, gs://, az://, abfss://, https://),
    which `storage_options` say how to read (docs/stores.md). `batch_size`: rows. `columns`: names, or dotted paths of
    fields, all by default. `shuffle`: mixes rows; `shuffle_seed`: 0 to 2**64 - 1, None to draw one;
    `shuffle_buffer_size`: rows mixed at a time (0: whole splits only). `split_bytes`, `split_rows`: the limits of a
    split. `output_format`: "torch", "numpy", "arrow" or "dict". `column_options`: by column, or dotted path of a field;
    `column_defaults`: of all others. `groups`: columns as one matrix (n, k): `{"x": ["f0", "f1"], "y": "label"}`.
    `schema`: the columns of the "first" file, or the "union" of all, null where a file lacks one; `widen`: whether a
    column is of the widest type that it has in any file. `filters`: only rows that pass: conditions (column, op, value)
    in a list, or a pyarrow.compute expression. `sample`: a fraction of the rows, or `split=(low, high)`: an interval of
    fractions, chosen by `sample_seed`; filters apply after. `partitioning`: "hive", or a schema: `key=value` folders as
    columns. `show_progress`: a bar while rows that pass are counted.
    `rank` of `num_ranks`; without these, those of `mesh` (one dimension of a DeviceMesh), of `process_group`, or of the
    default group, whose first rank lists for all; the others wait `plan_timeout` seconds for it. `num_shards`: a
    multiple of the ranks; fixes the batches for every number of ranks that divides it. `num_threads`, `prefetch_bytes`:
    what reading may use. `plan`: a listing made before, instead of a new one. `files`: what a resumed run does with
    files added since: "keep" its own, or "refresh" from the next epoch on. `transform`: a function of one batch, whose
    randomness is seeded by (seed, epoch, batch).

    Raises ShardlineFileNotFoundError, ShardlineValueError, ShardlineTypeError or ColumnNotFoundError, each naming what
    is wrong.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": pa.array(range(10), pa.int64())}), path)
    >>> dataset = StructuredDataset(path, batch_size=4)
    >>> [batch["x"].tolist() for batch in dataset]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    _agreement: Agreement | None = None  # none where ranks are given, nor in a copy

    def __init__(
        self,
        path: validate.Paths | None = None,
        *,
        format: str = "parquet",
        batch_size: int = 1024,
        columns: Sequence[str] | None = None,
        filters: Any = None,
        sample: float | None = None,
        split: Sequence[float] | None = None,
        sample_seed: int = 0,
        shuffle: bool = False,
        shuffle_seed: int | None = 42,
        shuffle_buffer_size: int | None = None,
        shuffle_strands: int = 8,
        split_bytes: int | str = "128MiB",
        split_rows: int | None = None,
        drop_last: bool = False,
        output_format: validate.OutputFormat = "torch",
        column_options: Mapping[str, ColumnOptions] | None = None,
        column_defaults: ColumnOptions | None = None,
        groups: Mapping[str, str | Sequence[str]] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        partitioning: Any = None,
        transform: Callable[[Any], Any] | None = None,
        schema: str = "first",
        widen: bool = False,
        files: str = "keep",
        plan: Plan | None = None,
        num_ranks: int | None = None,
        rank: int | None = None,
        mesh: Any = None,
        process_group: Any = None,
        plan_timeout: float = 300,
        num_shards: int | None = None,
        num_threads: int | None = None,
        prefetch_bytes: int | str = validate.DEFAULT_PREFETCH_BYTES,
        show_progress: bool = False,
    ) -> None:
        validate.check_format(format)
        paths = validate.check_paths(path) if validate.check_plan(plan) is None else None
        storage = check_storage(storage_options, paths, plan)
        ranks = find_ranks(rank, num_ranks, mesh, process_group)
        settings = Settings(
            batch_size=validate.check_int("batch_size", batch_size, 1, validate.MAX_ROWS),
            drop_last=validate.check_bool("drop_last", drop_last),
            columns=validate.check_columns(columns),
            shuffle=validate.check_bool("shuffle", shuffle),
            shuffle_seed=None
            if shuffle_seed is None
            else validate.check_int("shuffle_seed", shuffle_seed, 0, 2**64 - 1),
            shuffle_buffer_size=None
            if shuffle_buffer_size is None
            else validate.check_int("shuffle_buffer_size", shuffle_buffer_size, 0, validate.MAX_ROWS),
            shuffle_strands=validate.check_int("shuffle_strands", shuffle_strands, 1, 2**16),
            split_bytes=validate.parse_bytes("split_bytes", split_bytes),
            split_rows=None
            if split_rows is None
            else validate.check_int("split_rows", split_rows, 1, validate.MAX_ROWS),
            num_shards=validate.check_num_shards(num_shards, ranks.num_ranks),
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            num_threads=usable_cores()
            if num_threads is None
            else validate.check_int("num_threads", num_threads, 1, 1024),
            prefetch_bytes=validate.parse_bytes("prefetch_bytes", prefetch_bytes),
            output_format=validate.check_output_format(output_format),
            column_options=check_column_options(column_options),
            column_defaults=check_column_defaults(column_defaults),
            groups=check_groups(groups),
            schema=validate.check_choice("schema", schema, ("first", "union")),
            widen=validate.check_bool("widen", widen),
            files=validate.check_choice("files", files, ("keep", "refresh")),
            plan_timeout=validate.check_seconds("plan_timeout", plan_timeout),
            transform=validate.check_function("transform", transform),
            storage=storage,
            row_filter=RowFilter(
                check_filters(filters),
                check_sample(sample, split, validate.check_int("sample_seed", sample_seed, 0, 2**64 - 1)),
                check_partitioning(partitioning),
                storage,
            ),
        )
        self._where = "a plan" if path is None else str(path)
        self._settings = settings
        channels = open_channels(ranks, paths, plan, settings)
        progress = validate.check_bool("show_progress", show_progress) and settings.rank == 0
        if channels is None:
            plan, seed = build_plan(paths, plan, settings, show_progress=progress)
        else:
            plan, seed = broadcast_plan(paths, plan, settings, channels.listing, show_progress=progress)
        self._set_up(plan, seed, settings.num_shards or ranks.num_ranks)
        self._agreement = channels and Agreement(channels.states)

    def _set_up(self, plan: Plan, seed: int, num_shards: int) -> None:
        """Everything that follows from the settings and a plan."""
        settings = self._settings
        self._listed = plan
        self._fresh = self._source(EpochOrder(plan, settings, seed))
        self._line, self._projection, self._convert = self._fresh
        self._num_shards = num_shards
        if self._line.order.num_rows == 0 and settings.row_filter.rule:
            raise none_left(settings.row_filter, f"none of the {plan.num_rows:,} in {plan.num_files:,} files does")
        first = Legs.start(self._line.order.num_rows, num_shards, settings.batch_size, settings.drop_last)
        self._progress = Progress(first, settings.num_ranks)
        self._iterator: Callable[[], BatchIterator | None] = _no_iterator
        self._metrics: dict[str, float] = {}
        self._cost_logged = False
        self._board, self._copied = SharedDict(), None
        self._tell()
        self.resumed = "begins afresh: no state was loaded"

    def _source(self, line: EpochOrder) -> Source:
        projection = project(line.plan, self._settings)
        return Source(line, projection, converter(self._settings.output_format, projection))

    @classmethod
    def create_dataloader(
        cls, path: "validate.Paths | StructuredDataset", **arguments: Any
    ) -> "tuple[DataLoader, StructuredDataset]":
        """(loader, its dataset), from the arguments of `DataLoader`: the interface of torch-dataloader-utils."""
        from shardline.loader import DataLoader

        loader = DataLoader(path, **arguments)
        return loader, loader.dataset

    # The place, and its state

    def set_epoch(self, epoch: int) -> None:
        """Begins `epoch` (≥ 0) at its start, at the next iter().

        The first call after loading a state of that epoch, or after a seek in it, keeps the position.
        """
        epoch = validate.check_int("epoch", epoch, 0, 2**62)
        if workers_iterate(self._board):
            self._progress.leave_place()
        if not self._progress.set_epoch(epoch):
            self._line, self._projection, self._convert = self._fresh
        self._tell()

    def seek(self, step: int) -> None:
        """Moves forward to `step` of this epoch, at the next iter(); the state knows what lies between as skipped."""
        before = self._progress.iterated_epoch
        self._progress.seek(validate.check_int("step", step, 0, 2**62))
        if self._progress.iterated_epoch != before:
            self._line, self._projection, self._convert = self._fresh
        self._tell()

    def state_dict(self) -> dict[str, Any]:
        """The job's state as of the last batch that was delivered: plain dicts, lists, ints and strings."""
        position = self._progress
        return self._worker_state(self._state(position.iterated_epoch, position.ended, position.leg_list()))

    def state_at(self, step: int, epoch: int | None = None) -> dict[str, Any]:
        """The state as of `step` batches of this rank in the epoch of the newest iterator, or in `epoch`.

        For wrappers that look ahead. Once the end of an epoch was seen, that epoch is still the one meant until the
        next iter(). ShardlineValueError where the epoch has no such step.
        """
        step = validate.check_int("step", step, 0, 2**62)
        at, legs = self._progress.legs_at(step, None if epoch is None else validate.check_int("epoch", epoch, 0, 2**62))
        return self._state(at, False, legs.legs)

    def _state(self, epoch: int, ended: bool, legs: Sequence[Any]) -> dict[str, Any]:
        line = self._line_of(epoch)
        return states.build(
            seed=line.seed,
            epoch=epoch,
            ended=ended,
            num_shards=self._num_shards,
            legs=legs,
            shuffle=line.shuffle,
            files=line.files,
            filter=line.filter,
            sample=line.sample,
        )

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = False) -> None:
        """Takes a state's place, at the next iter(); CheckpointMismatchError, and nothing changed, if it does not fit.

        `strict`: another batch_size, drop_last or num_shards, or ranks that would cut the rest of the epoch anew, do
        not fit either. What the dataset then does is logged, and said by `resumed`.
        """
        saved, copy, made = states.read(state), self._copy(), None
        if WORKER in state:
            made = read_entry(state[WORKER], copy, self._settings.num_ranks)
        found = resume(saved, self._line, self._listed, self._settings, strict=strict)
        if WORKER in state:
            check_unmoved(saved.legs, found.legs.legs)
        source = self._source(found.line)
        self._fresh = source if found.fresh is found.line else self._source(found.fresh)
        self._line, self._projection, self._convert = source
        self._num_shards, self.resumed = found.num_shards, found.sentence
        self._progress.load(found.first, found.epoch, found.legs, ended=found.ended, over=found.over)
        if self._agreement is not None:
            self._agreement.loaded()
        self._tell(made)
        if found.added:
            until = "of this epoch" if self._settings.files == "refresh" else "(files='keep')"
            log.info(
                "%d files came since the state was saved and are left out %s: %s",
                len(found.added),
                until,
                found.added[:5],
            )
        log.info("the loaded state %s", found.sentence)
        if found.over:
            warnings.warn(
                f"the loaded state {found.sentence}; the positions {self.left_out()} of its line are left out",
                RuntimeWarning,
                stacklevel=2,
            )

    # Pickling: the settings, the plan and the place; readers stay behind

    def __getstate__(self) -> dict[str, Any]:
        return {
            "where": self._where,
            "settings": self._settings,
            "listed": self._listed,
            "fresh": self._fresh.line.plan,
            "plan": self._line.plan,
            "seed": self._line.seed,
            "num_shards": self._num_shards,
            "resumed": self.resumed,
            "vocabularies": snapshot(self._fresh.line.plan, self._line.plan),
            "position": self._progress.kept_place(),
            "board": self._board if being_sent() else None,
        }

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self._where, self._settings = kept["where"], kept["settings"]
        restore(kept["vocabularies"])
        self._set_up(kept["fresh"], kept["seed"], kept["num_shards"])
        if kept["plan"] is not kept["fresh"]:
            line = EpochOrder(kept["plan"], self._settings, kept["seed"])
            self._line, self._projection, self._convert = self._source(line)
        self._listed, self.resumed = kept["listed"], kept["resumed"]
        epoch, legs, ended, closed = kept["position"]
        self._progress.restore(epoch, Legs(self._line.order.num_rows, legs), ended=ended, closed=closed)
        if kept["board"] is not None:
            self._board = kept["board"]
        else:
            self._tell()


def _no_iterator() -> BatchIterator | None:
    """Stands for the weak reference to the newest iterator before there is one."""
    return None
