"""`verify()`: a run without a stop, runs that are stopped and resumed, and what differs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from math import lcm
from typing import Any

from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError
from shardline.options import validate
from shardline.options.function import check_place, name_of
from shardline.options.validate import Paths
from shardline.verification.diagnose import Diagnosis
from shardline.verification.faults import ResumeFault
from shardline.verification.job import Job, Outcome, Record, Wrong
from shardline.verification.processes import Processes
from shardline.verification.report import Resumed, VerifyReport
from shardline.verification.stops import Course, Life, draw_course

_OF_VERIFY = ("rank", "num_ranks", "num_workers", "plan", "mesh", "process_group", "show_progress")
"""Arguments of a loader that are verify's own matter."""


def verify(
    path: Paths,
    *,
    transform: Callable[[Any], Any] | str | None = None,
    stops: int = 5,
    batches: int = 2000,
    ranks: Sequence[int] = (1, 2),
    workers: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    timeout: float = 600,
    progress: Callable[[int, int], None] | None = None,
    **arguments: Any,
) -> VerifyReport:
    """Tries whether stopping at random batches and resuming in new processes gives the same batches, bit for bit.

    A run without a stop gives the batches that are wanted. Then a run is stopped at random batches; after each stop new
    processes, with other numbers of ranks and workers, load its state and go on. The rows that come to the transform
    and what it returns are compared by digests. Where a batch differs, further trials find out why.

    Args:
        path: The data, as a loader takes them.
        transform: The function, or its place: "file.py:function" or "package.module:function".
        stops: How many stops.
        batches: The most batches that are compared, over all ranks: of two epochs from their start on if these have no
            more, else from a random one on.
        ranks: The numbers of ranks; each rank is a process. `num_shards` is the least that all divide, unless given.
        workers: The numbers of worker processes of each rank.
        seed: Which batches are stops, and where each number of ranks and workers comes.
        timeout: Seconds that a process may take.
        progress: Called with the runs that are done, and all there are.
        arguments: Of the loader: `batch_size`, `shuffle`, `columns`, `filters` and so on.

    Returns:
        What was tried, whether it is `proven`, and the `fault` where it is not; `print` shows it.

    Raises:
        ShardlineError: The data cannot be read, the transform fails, or an argument is wrong: nothing was found out.

    Example (docs/verify.md shows what it prints; it starts processes, and takes seconds)::

        print(shardline.verify("flights/", stops=5, shuffle=True, batch_size=256))
    """
    check_place("transform", transform)
    for name in _OF_VERIFY:
        if name in arguments:
            raise ShardlineTypeError(f"{name}= is not taken: verify tries numbers of ranks and workers itself")
    stops = validate.check_int("stops", stops, 1, 10_000)
    batches = validate.check_int("batches", batches, 2, 10**9)
    seed = validate.check_int("seed", seed, 0, 2**64 - 1)
    tried_ranks = _numbers("ranks", ranks, 1, 64)
    tried_workers = _numbers("workers", workers, 0, 64)
    shards = arguments.get("num_shards") or lcm(*tried_ranks)
    for each in tried_ranks:
        if shards % each:
            raise ShardlineValueError(
                f"ranks={tried_ranks}: {each} does not divide num_shards={shards}, and such ranks cut the rest of an "
                "epoch anew (docs/ranks.md): give others, or another num_shards"
            )
    arguments = {**arguments, "num_shards": shards}
    # The transform is only ever called in the processes.
    dataset = StructuredDataset(path, **arguments, rank=0, num_ranks=1)
    arguments["shuffle_seed"] = dataset.seed  # it may have been drawn
    course = draw_course(len(dataset), batches, stops, tried_ranks, tried_workers, seed)
    plain = Job(path, arguments, transform, len(dataset), course.start, course.stop)
    with Processes(validate.check_seconds("timeout", timeout)) as processes:
        trial = _Trial(processes, plain, course, dataset, progress)
        fault = trial.run()
        return VerifyReport(
            path=str(path),
            rows=dataset.num_rows,
            epoch_batches=len(dataset),
            num_shards=dataset.num_shards,
            transform="" if transform is None else f"transform {name_of(transform)}",
            start=course.start,
            batches=sum(run.batches for run in trial.runs),
            runs=trial.runs,
            stops_asked=stops,
            stops_drawn=course.stops,
            processes=processes.started,
            seed=seed,
            fault=fault,
        )


def _nobody(done: int, of: int) -> None:
    """Is told of progress, and does nothing."""


def _numbers(name: str, given: Any, low: int, high: int) -> list[int]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ShardlineTypeError(f"{name} must be a list of numbers, not {given!r}")
    return [validate.check_int(name, each, low, high) for each in dict.fromkeys(given)]


class _Trial:
    def __init__(
        self,
        processes: Processes,
        plain: Job,
        course: Course,
        dataset: StructuredDataset,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._processes, self._plain, self._course, self._dataset = processes, plain, course, dataset
        self._progress = _nobody if progress is None else progress
        self.runs: list[Resumed] = []

    def run(self) -> ResumeFault | None:
        """All lives, up to the first that differs."""
        total = len(self._course.lives) + 1
        [reference] = self._processes.run([self._plain])
        if reference.wrong is not None:
            raise _failed(reference.wrong)
        wanted = reference.records
        if len(wanted) != self._course.stop - self._course.start:
            raise ShardlineRuntimeError(
                f"a run without a stop delivered {len(wanted):,} batches, and "
                f"{self._course.stop - self._course.start:,} were expected: please report this"
            )
        self._progress(1, total)
        state = None
        for number, life in enumerate(self._course.lives):
            first = life.start - self._course.start
            outcomes = self._processes.run(self._jobs(life, state))
            fault = self._compare(life, outcomes, wanted[first : first + life.stop - life.start])
            if fault is not None:
                return fault
            state = outcomes[0].state
            self._progress(number + 2, total)
        return None

    def _jobs(self, life: Life, state: dict[str, Any] | None) -> list[Job]:
        job = replace(
            self._plain,
            start=life.start,
            stop=life.stop,
            num_ranks=life.num_ranks,
            num_workers=life.num_workers,
            state=state,
        )
        return [replace(job, rank=rank) for rank in range(life.num_ranks)]

    def _compare(self, life: Life, outcomes: list[Outcome], wanted: list[Record]) -> ResumeFault | None:
        """What is wrong with a life; it is noted among `runs`."""
        steps = zip_longest(*(outcome.records for outcome in outcomes))
        got = [record for step in steps for record in step]
        wrong = next((outcome.wrong for outcome in outcomes if outcome.wrong is not None), None)
        same = next((n for n, pair in enumerate(zip_longest(got, wanted)) if pair[0] != pair[1]), len(wanted))
        batch = life.start + same
        if same < len(wanted) and same < len(got) and got[same] is not None:
            fault = self._differs(life, batch, wanted[same], got[same])
            result = f"{self._course.place(batch)} differs"
        elif wrong is not None:
            fault, result = self._raised(wrong, batch), f"an error at {self._course.place(batch)}"
        elif same < len(wanted):
            fault = ResumeFault("loader", self._course.place(batch), ["it did not come: the run was over before"])
            result = f"ended at {self._course.place(batch)}"
        elif any(outcome.state != outcomes[0].state for outcome in outcomes):
            fault = ResumeFault("loader", self._course.place(batch), ["the ranks' states differ"])
            result = "states differ"
        else:
            fault, result = None, "the same"
        self.runs.append(Resumed(life, same, result))
        return fault

    def _differs(self, life: Life, batch: int, wanted: Record, got: Record) -> ResumeFault:
        diagnosis = Diagnosis(self._processes, self._plain, self._course, life, batch, wanted, got)
        if wanted.read != got.read:
            epoch, step = divmod(batch, self._course.epoch_batches)
            rows = self._dataset.rows_at(step, epoch=epoch)
            return diagnosis.read(list(dict.fromkeys(name for name, *_ in rows)))
        return diagnosis.transformed()

    def _raised(self, wrong: Wrong, batch: int) -> ResumeFault:
        if wrong.where == "process":
            raise _failed(wrong)
        return ResumeFault("data" if wrong.where == "data" else "fails", self._course.place(batch), [wrong.text])


def _failed(wrong: Wrong) -> ShardlineRuntimeError:
    what = "the transform raised in a run without a stop" if wrong.where == "transform" else "a run failed"
    trace = f"\n{wrong.trace.strip()}" if wrong.where != "data" and wrong.trace else ""
    return ShardlineRuntimeError(f"{what}: {wrong.text}{trace}")
