"""Why a batch of a resumed run is another one: trials in new processes, each of which tells causes apart."""

from dataclasses import replace

from shardline import text
from shardline.errors import ShardlineRuntimeError
from shardline.verification.digest import Digests
from shardline.verification.faults import ResumeFault
from shardline.verification.job import Job, Outcome, Record
from shardline.verification.processes import Processes
from shardline.verification.stops import Course, Life

_REPLAYED = 8
"""Batches that the transform is given again and again."""


class Diagnosis:
    """Of one batch: as the run without a stop had it, and as a resumed run did.

    Args:
        processes: Run the trials.
        plain: A job over the data: one rank, no workers.
        course: The runs.
        life: The resumed run.
        batch: The number of the batch.
        wanted: What the run without a stop got.
        got: What the resumed run got.
    """

    def __init__(
        self, processes: Processes, plain: Job, course: Course, life: Life, batch: int, wanted: Record, got: Record
    ) -> None:
        self._processes, self._plain, self._course = processes, plain, course
        self._life, self._batch, self._wanted, self._got = life, batch, wanted, got

    def read(self, files: list[str]) -> ResumeFault:
        """The rows were other ones: of `files`."""
        [again] = self._run(self._at(stop=self._batch + 1))
        keys = differing(self._wanted.read, self._got.read)
        if again.records and again.records[0].read == self._wanted.read:
            return self._fault("loader", f"other values of {keys} were read, and a new process reads the first ones")
        return self._fault(
            "data", f"other values of {keys} were read, in a new process too; the footers are the same", _of(files)
        )

    def transformed(self) -> ResumeFault:
        """The transform was given the same rows and returned others."""
        job = self._at(stop=min(self._batch + _REPLAYED, self._course.stop))
        one, other = self._run(replace(job, replay=True), replace(job, replay=True))
        keys = f"it got the same rows, and returned other values of {differing(self._wanted.made, self._got.made)}"
        again, twice = _ways(one), one.replayed == other.replayed
        if again > 1:
            times = f"given the same batch {len(one.replayed[0])} times in one process, it came to {again} results"
            if twice:
                return self._fault("state", keys, f"{times}, and in another process to the same ones", *one.suspects)
            return self._fault("generator", keys, f"{times}, and in another process to others", *one.suspects)
        if not twice:
            return self._fault(
                "process", keys, "within a process it always comes to one result, and to another in the next process"
            )
        return self._of_surroundings(job, one.records[0].made, keys) or self._of_history(one.records[0].made, keys)

    def _of_surroundings(self, job: Job, alone: Digests, keys: str) -> ResumeFault | None:
        """Where it runs: threads, worker, rank."""
        life = self._life
        rank = (self._batch - life.start) % life.num_ranks
        trials = {"threads": replace(job, torch_threads=1)}
        for number in {1, life.num_workers} - {0} if life.num_workers else ():
            trials[f"worker {number}"] = replace(job, num_workers=number, start=self._first(number))
        if life.num_ranks > 1:
            other = replace(job, num_ranks=life.num_ranks, start=self._batch - rank)
            stop = other.start + life.num_ranks
            trials["rank"] = replace(other, rank=rank, stop=stop)
        found = dict(zip(trials, self._run(*trials.values()), strict=True))
        made = {
            name: outcome.records[(self._batch - trials[name].start) // trials[name].num_ranks].made
            for name, outcome in found.items()
        }
        if made["threads"] != alone:
            return self._fault("threads", keys, "with one thread of torch's it comes to another result")
        for name in sorted(made):
            if name.startswith("worker") and made[name] != alone:
                count = int(name.split()[1])
                place = "the only worker process" if count == 1 else f"one of {count} worker processes"
                return self._fault(
                    "worker", keys, f"in {place} it comes to another result than in the training process"
                )
        if "rank" in made and made["rank"] != alone:
            return self._fault("rank", keys, f"on rank {rank} of {life.num_ranks} it comes to another result")
        return None

    def _of_history(self, alone: Digests, keys: str) -> ResumeFault:
        """What it was given before."""
        if self._wanted.made == alone:
            return self._fault("unknown", keys, "in new processes it comes to what it did in the run without a stop")
        [again] = self._run(replace(self._plain, start=self._course.start, stop=self._batch + 1))
        if again.records[-1].made == self._wanted.made:
            return self._fault(
                "state",
                keys,
                "after the batches before this one it comes to another result than when this one is first",
            )
        return self._fault("generator", keys, "a second run without a stop comes to other results than the first")

    def _first(self, workers: int) -> int:
        """Where a run begins that gives this batch to the worker that had it, as far as that is possible."""
        life = self._life
        number = (self._batch - life.start) // life.num_ranks % workers
        return max(self._course.start, self._batch - number)

    def _at(self, stop: int) -> Job:
        return replace(self._plain, start=self._batch, stop=stop)

    def _run(self, *jobs: Job) -> list[Outcome]:
        found = self._processes.run(jobs)
        for outcome in found:
            if outcome.wrong is not None:
                raise ShardlineRuntimeError(
                    f"{self._course.place(self._batch)} differs, and a process that was to find out why failed: "
                    f"{outcome.wrong.text}"
                )
        return found

    def _fault(self, kind: str, *seen: str) -> ResumeFault:
        return ResumeFault(kind, self._course.place(self._batch), [each for each in seen if each])


def differing(one: Digests, other: Digests) -> str:
    """The keys that differ, in words."""
    names = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    if not names or names == [""]:
        return "the batch"
    return text.listed(map(text.printable, names), 4)


def _ways(outcome: Outcome) -> int:
    """The most results that one batch came to."""
    return max((len({tuple(sorted(each.items())) for each in results}) for results in outcome.replayed), default=1)


def _of(files: list[str]) -> str:
    return f"the rows are of {text.listed(files, 3)}" if files else ""
