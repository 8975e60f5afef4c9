"""What a dataset says of itself: where it stands, what it holds, which rows a batch has."""

from collections.abc import Callable
from typing import Any, NamedTuple

from shardline._core import Plan, Projection
from shardline.iteration.iterator import BatchIterator
from shardline.options import validate
from shardline.options.storage import is_remote
from shardline.planning.epoch_order import EpochOrder
from shardline.reading.column_specs import options_of
from shardline.reading.convert import Convert
from shardline.reading.vocabulary import get_or_build
from shardline.schema import Schema, describe_columns
from shardline.settings import Settings
from shardline.state.progress import Progress


class Source(NamedTuple):
    """What an epoch is read from."""

    line: EpochOrder
    projection: Projection
    convert: Convert


class Standing:
    """The read-only half of `StructuredDataset`. Steps are batches of this rank; positions are places on the line."""

    _where: str
    _settings: Settings
    _line: EpochOrder
    _fresh: Source
    _projection: Projection
    _progress: Progress
    _num_shards: int
    _iterator: Callable[[], BatchIterator | None]
    _metrics: dict[str, float]
    resumed: str
    """In a sentence, what loading the last state did."""

    @property
    def epoch(self) -> int:
        """The epoch in hand; once its end was seen, the next."""
        return self._progress.epoch

    @property
    def batch_index(self) -> int:
        """The index of this rank's next batch in `epoch`."""
        return self._progress.batch_index

    @property
    def remaining(self) -> int:
        """This rank's batches to the end of `epoch`."""
        return self._progress.remaining

    def __len__(self) -> int:
        """This rank's batches in the whole epoch: batch_index + remaining."""
        return self._progress.batch_index + self._progress.remaining

    @property
    def batch_size(self) -> int:
        """Rows, as asked."""
        return self._settings.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether every batch has exactly batch_size rows."""
        return self._settings.drop_last

    @property
    def num_shards(self) -> int:
        """The run's V: the pieces that the line of a fresh epoch is cut into."""
        return self._num_shards

    @property
    def rank(self) -> int:
        """Of `num_ranks`."""
        return self._settings.rank

    @property
    def num_ranks(self) -> int:
        """The processes that share the batches."""
        return self._settings.num_ranks

    @property
    def seed(self) -> int:
        """The shuffle's, given or drawn; it also seeds transforms."""
        return self._line.seed

    @property
    def num_threads(self) -> int:
        """The threads that decode."""
        return self._settings.num_threads

    @property
    def is_remote(self) -> bool:
        """Whether the files are in a store."""
        return is_remote(self._line.plan.root)

    @property
    def has_transform(self) -> bool:
        """Whether a `transform` was given."""
        return self._settings.transform is not None

    @property
    def num_rows(self) -> int:
        """Rows of the line, over all ranks."""
        return self._line.order.num_rows

    @property
    def plan(self) -> Plan:
        """The file table, to be saved by `Plan.save` or given to other datasets as `plan=`."""
        return self._line.plan

    @property
    def schema(self) -> Schema:
        """What each key of a batch holds, in the order of delivery; `schema.arrow`: the columns as the files have them.

        Reads the columns whose vocabulary is asked for, when it is asked for.
        """
        return describe_columns(self._projection, self._settings, self.vocabulary)

    def vocabulary(self, column: str) -> list[Any]:
        """The values that a column's codes stand for, or else its distinct values over all files: all of it is read.

        In the order in which they first come, without null. `column` may be the dotted path of a field, and lists give
        their items.
        """
        given = options_of(self._settings, column).vocabulary
        if given is not None:
            return list(given)
        words: list[Any] = get_or_build(
            self._line.plan, column, self._settings.num_threads, self._settings.storage
        ).to_pylist()
        return words

    def left_out(self) -> list[tuple[int, int]]:
        """The (start, stop) positions that the newest iterator's epoch never delivers: skipped, or left over."""
        return self._progress.left_out()

    def rows_at(
        self, step: int, rank: int | None = None, epoch: int | None = None, *, resolve: bool = False
    ) -> list[tuple[str, int, int, int]]:
        """The rows of a batch, by arithmetic: (file name, row group, first row, end row), in the batch's order.

        `rank`: this one by default. `epoch`: that of the newest iterator by default. ShardlineValueError where there is
        no such step or rank. Under a filter or a sample rows are numbered among those of the row group that pass;
        with `resolve`, among all of its rows, for which the filter's columns of these row groups are read.
        """
        ranks = self._settings.num_ranks
        rank = self._settings.rank if rank is None else validate.check_int("rank", rank, 0, ranks - 1)
        at, intervals = self._progress.batch_at(
            self.num_rows,
            validate.check_int("step", step, 0, 2**62),
            rank,
            None if epoch is None else validate.check_int("epoch", epoch, 0, 2**62),
        )
        line = self._line_of(at)
        rows = line.order.rows(at, intervals)
        if validate.check_bool("resolve", resolve) and line.selector is not None:
            rows = line.selector.resolve(line.plan, rows)
        return [(line.names[file], group, first, end) for file, group, first, end in rows]

    def _line_of(self, epoch: int) -> EpochOrder:
        """The line that an epoch lies on: a resumed epoch may keep to fewer files than fresh ones have."""
        return self._line if epoch == self._progress.iterated_epoch else self._fresh.line

    def get_metrics(self) -> dict[str, float]:
        """The counters of the newest iterator's reader; before there was one, only those of planning from a store."""
        iterator = self._iterator()
        if iterator is not None:
            iterator.refresh_metrics()
        storage = self._settings.storage
        return {**(storage.planning() if storage else {}), **self._metrics}

    def __repr__(self) -> str:
        settings, shuffle, plan = self._settings, self._line.shuffle, self._line.plan
        order = "not shuffled"
        if shuffle["on"]:
            order = (
                f"shuffled with seed {self._line.seed} (buffer {shuffle['buffer']:,} rows, "
                f"{shuffle['strands']} strands, windows of {shuffle['window']:,} rows each; "
                f"splits of at most {shuffle['split_bytes']:,} bytes"
                + (f" or {shuffle['split_rows']:,} rows)" if shuffle["split_rows"] is not None else ")")
            )
        that_pass = f" that pass {settings.row_filter}" if settings.row_filter.rule else ""
        return (
            f"StructuredDataset({self._where!r}: {plan.num_files:,} files, {plan.num_row_groups:,} row groups, "
            f"{self.num_rows:,} rows{that_pass}; {len(self._projection.names)} columns as {settings.output_format}; "
            f"batch_size={settings.batch_size:,}{', drop_last' if settings.drop_last else ''}; {order}; "
            f"rank {settings.rank} of {settings.num_ranks}, {self._num_shards} shards; "
            f"epoch {self.epoch}, batch {self.batch_index:,} of {len(self):,})"
        )
