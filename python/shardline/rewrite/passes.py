"""One run: its stages, what the journal knows of them, and the check at the end."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from shardline._core import __version__
from shardline.errors import ShardlineRuntimeError
from shardline.rewrite import survey
from shardline.rewrite.copy import copy_files
from shardline.rewrite.dictionary import dictionary_columns
from shardline.rewrite.digest import Digest
from shardline.rewrite.gather import Budget, gather_file
from shardline.rewrite.job import Job, Piece, Rows
from shardline.rewrite.journal import Journal
from shardline.rewrite.layout import Layout
from shardline.rewrite.order import ROW, Order, Shuffled, Sorted
from shardline.rewrite.parallel import Task, Tell, run_tasks
from shardline.rewrite.place import Place
from shardline.rewrite.report import RewriteProgress, RewriteReport
from shardline.rewrite.scatter import contents, scatter_chunks
from shardline.rewrite.sizes import SHARE, Sizes
from shardline.rewrite.source import Source
from shardline.rewrite.types import changed_schema
from shardline.rewrite.verify import check_same
from shardline.rewrite.write import WrittenFile, writer_options

log = logging.getLogger("shardline")
_RUNS = 4  # runs of consecutive pieces for each worker, so that all end together; a run shares a reader


class Passes:
    """The stages of a call within its place."""

    def __init__(
        self,
        source: Source,
        layout: Layout,
        sizes: Sizes,
        place: Place,
        memory: int,
        progress: Callable[[RewriteProgress], None] | None,
    ) -> None:
        self._source, self._layout, self._sizes, self._place, self._memory = source, layout, sizes, place, memory
        self._progress, self._stage, self._rows = progress, "", 0
        pieces = (sizes.row_group, sizes.groups_per_file, sizes.chunk, sizes.buckets)
        self._chunk_folder = place.work / "pass-1"
        self._journal = Journal(place, [__version__, pa.__version__, str(layout), str(pieces), *source.described])
        self._forget_what_is_gone()
        self._resumed = len(self._journal.done)

    def run(self, began: float) -> RewriteReport:
        """Every stage. What is done stays for the next run, if this one fails."""
        if self._resumed:
            log.info("%s: continues, %d pieces are done", self._place.out, self._resumed)
        try:
            facts = self._survey()
            job = self._job(facts)
            if self._layout.two_passes:
                order = self._order(facts)
                self._scatter(job, order)
                self._gather(job, order)
            else:
                self._copy(job)
            return self._finish(began)
        except BaseException:
            if not self._journal.done:
                self._place.abandon()
            raise
        finally:
            self._journal.close()

    def _survey(self) -> survey.Facts:
        source, layout, sizes = self._source, self._layout, self._sizes
        facts, columns = survey.Facts(), survey.surveyed_columns(source, layout)
        if not columns:
            return facts
        rate = survey.sample_rate(sizes, source.num_rows)
        found: dict[int, survey.Facts] = {}

        def look(run: Sequence[int], tell: Tell) -> None:
            batches = source.batches(run[0], len(run), sizes.chunk, columns=columns)
            for chunk, batch in zip(run, batches, strict=True):
                tell((chunk, survey.look(batch, chunk * sizes.chunk, layout, rate)))
                tell(Rows(batch.num_rows))

        def heard(message: Any) -> None:
            if isinstance(message, Rows):
                self._heard(message)
            else:
                found[message[0]] = message[1]

        self._begin("survey", 0)
        self._run((partial(look, run) for run in _runs(range(sizes.chunks), sizes.workers)), heard)
        for chunk in sorted(found):  # in the order of the rows, so that samples do not depend on threads
            facts.add(found[chunk])
        return facts

    def _job(self, facts: survey.Facts) -> Job:
        source, layout = self._source, self._layout
        schema = changed_schema(source.schema, survey.changes_of(facts, source.schema, layout))
        output = pa.schema([f for f in schema if f.name not in layout.partition_by], schema.metadata)
        options = writer_options(layout, dictionary_columns(source, output, layout))
        return Job(source, layout, self._sizes, self._place.files, self._chunk_folder, output, options)

    def _order(self, facts: survey.Facts) -> Order:
        layout, buckets = self._layout, self._sizes.buckets
        if layout.seed is not None and not layout.partition_by:
            return Shuffled(layout.seed, buckets)
        keys = [*((name, "ascending") for name in layout.partition_by), *layout.sort_by]
        cuts = survey.splitters(facts, [*keys, (ROW, "ascending")], buckets)
        return Sorted(keys, cuts, self._source.schema, layout.seed)

    def _scatter(self, job: Job, order: Order) -> None:
        self._chunk_folder.mkdir(exist_ok=True)
        missing = [chunk for chunk in range(self._sizes.chunks) if f"chunk {chunk}" not in self._journal.done]
        self._begin("scatter", self._sum("chunk ").rows)
        runs = _runs(missing, self._sizes.workers)
        self._run(partial(scatter_chunks, job, run, order) for run in runs)

    def _gather(self, job: Job, order: Order) -> None:
        held = contents([job.chunk_path(chunk) for chunk in range(self._sizes.chunks)], self._sizes.buckets)
        budget = Budget(int(self._memory * SHARE))
        self._begin("write", self._sum("file ").rows)
        self._run(partial(gather_file, job, file, held, order, budget) for file in self._missing_files())

    def _copy(self, job: Job) -> None:
        self._begin("write", self._sum("file ").rows)
        runs = _runs(self._missing_files(), self._sizes.workers)
        self._run(partial(copy_files, job, run) for run in runs)

    def _finish(self, began: float) -> RewriteReport:
        done, written = self._journal.done, self._sum("file ")
        files = [WrittenFile(*file) for piece, of in done.items() if piece.startswith("file ") for file in of["files"]]
        try:
            if self._layout.two_passes:
                check_same(self._sum("chunk "), written, str(self._place.out))
            if written.rows != self._source.num_rows:
                raise ShardlineRuntimeError(
                    f"{self._place.out}: {written.rows:,} rows are written, and the input has {self._source.num_rows:,}"
                )
        except ShardlineRuntimeError:
            self._journal.done.clear()
            raise
        before = self._source.num_bytes
        self._place.publish()
        return RewriteReport(
            path=self._place.given,
            rows=written.rows,
            digest=str(written),
            files=len(files),
            row_groups=sum(file.row_groups for file in files),
            bytes=sum(file.bytes for file in files),
            files_before=self._source.plan.num_files,
            row_groups_before=self._source.plan.num_row_groups,
            bytes_before=before,
            seconds=time.perf_counter() - began,
            resumed=self._resumed > 0,
        )

    # What is done, and what is heard of it

    def _missing_files(self) -> list[int]:
        return [file for file in range(self._sizes.files) if f"file {file}" not in self._journal.done]

    def _forget_what_is_gone(self) -> None:
        """Pieces whose files are not there, or not of the size that was noted."""
        for piece, of in list(self._journal.done.items()):
            folder = self._chunk_folder if piece.startswith("chunk ") else self._place.files
            for file in (WrittenFile(*file) for file in of["files"]):
                path = folder / file.name
                if not path.is_file() or path.stat().st_size != file.bytes:
                    self._journal.forget(piece)
                    break

    def _sum(self, kind: str) -> Digest:
        done = self._journal.done.items()
        return sum((Digest(*of["digest"]) for piece, of in done if piece.startswith(kind)), Digest())

    def _begin(self, stage: str, rows: int) -> None:
        self._stage, self._rows = stage, rows
        self._heard(Rows(0))

    def _run(self, tasks: Iterable[Task], heard: Callable[[Any], None] | None = None) -> None:
        run_tasks(tasks, self._sizes.workers, heard or self._heard)

    def _heard(self, message: Any) -> None:
        if isinstance(message, Piece):
            self._journal.note(message.name, {"digest": message.digest, "files": message.files})
        else:
            self._rows += message.rows
            if self._progress is not None:
                self._progress(RewriteProgress(self._stage, self._rows, self._source.num_rows))


def _runs(pieces: Sequence[int], workers: int) -> Iterator[list[int]]:
    """Consecutive pieces together, but not so many that workers would end at different times."""
    most = max(1, -(-len(pieces) // (_RUNS * workers)))
    run: list[int] = []
    for piece in pieces:
        if run and (piece != run[-1] + 1 or len(run) == most):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run
