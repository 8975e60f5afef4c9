"""A dataset's replicas in the worker processes of torch's own loaders: one epoch, shared among W workers.

Worker w of W takes every W-th batch of its rank, from the start place: where the epoch, or the rest of it that was
loaded, begins. A replica's state is absolute: the job's state at the start place, W, w, and how many batches this
worker made. So a worker whose part is done knows it after a resume too, and waits for the others.

torch gives a replica nothing but `iter()`. What else replicas must agree on is in a dict that their processes share:
the start place, and which workers are done. Only if all are does the next `iter()` begin the next epoch.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing.process import parent_process
from typing import Any, NamedTuple

from torch.utils.data import get_worker_info

from shardline.errors import ShardlineRuntimeError
from shardline.iteration.shared_dict import SharedDict
from shardline.reading.batch_source import BatchStride
from shardline.state.format import Difference, mismatch
from shardline.state.leg import Leg
from shardline.state.progress import Start
from shardline.state.torchdata import WORKER


class StartPlace(NamedTuple):
    """A place where iterations begin. `closed`: nothing more of the epoch is to be delivered."""

    epoch: int
    legs: Sequence[Leg]
    closed: bool
    num_shards: int
    digest: str

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.epoch, [leg.plain() for leg in self.legs], self.closed, self.num_shards, self.digest]

    @staticmethod
    def of(plain: Sequence[Any]) -> "StartPlace":
        """The inverse of `plain`."""
        epoch, legs, closed, num_shards, digest = plain
        return StartPlace(epoch, list(map(Leg.of, legs)), closed, num_shards, digest)


class Made(NamedTuple):
    """What a worker made of its share: so many batches; `ended`: and was then asked for one more."""

    batches: int
    ended: bool


def in_worker() -> bool:
    """Whether this process is a worker of a loader that has a dataset of its own in every worker."""
    info = get_worker_info()
    return info is not None and info.dataset is not None


class Replica:
    """Where one worker stands: `iter()` by `iter()`. Counts for a `BatchIterator` as a `Progress` does."""

    def __init__(self, shared: SharedDict) -> None:
        info = get_worker_info()
        assert info is not None
        parent = parent_process()
        self._shared = shared
        self._section = str(os.getppid() if parent is None else parent.pid)
        self._seed = info.seed - info.id  # the same in all workers of one torch iterator, and seldom in two
        self.worker, self.workers = info.id, info.num_workers
        self._iterations = 0
        self._key = ""
        self._given: tuple[StartPlace, Made] | None = None
        self.base: StartPlace | None = None
        self.made = Made(0, False)
        self.owner = self.mark = 0
        self.looked_ahead = False

    def give(self, base: StartPlace, made: Made) -> None:
        """The next iteration begins here: a state was loaded, or a position set, in this process."""
        self._given = base, made
        self.base, self.made = base, made

    def begin(self, here: StartPlace, fresh: Callable[[int], Sequence[Leg]]) -> StartPlace:
        """The base of a new iteration, as all workers have it.

        `here`: this replica's own, should its parent have set none; `fresh(num_shards)`: the legs of a whole epoch.
        """
        given, self._given = self._given, None
        self._iterations += 1
        self._key = f"{self._seed} {self._iterations} {self.workers}"
        with self._shared.edit() as shared:
            section = shared.setdefault(self._section, {"base": here.plain(), "iteration": None})
            last = section["iteration"]
            if last is None or last["key"] != self._key or self.worker in last["joined"]:
                if given is not None:
                    section["base"] = given[0].plain()
                elif last is not None and len(set(last["done"])) == last["workers"]:
                    over = StartPlace.of(section["base"])
                    following = over._replace(epoch=over.epoch + 1, legs=fresh(over.num_shards), closed=False)
                    section["base"] = following.plain()
                last = {"key": self._key, "workers": self.workers, "joined": [], "done": []}
                section["iteration"] = last
            base = StartPlace.of(section["base"])
            if given is not None and given[0].plain() != base.plain():
                raise ShardlineRuntimeError(
                    f"worker {self.worker} was given another place than the workers before it: {given[0]}, and {base}"
                )
            last["joined"].append(self.worker)
            self.base, self.made = base, Made(0, False) if given is None else given[1]
            if self.made.ended:
                last["done"].append(self.worker)
        self.owner += 1
        self.mark += 1
        return base

    def stride(self, start: Start, rank: int, num_ranks: int) -> BatchStride:
        """This worker's batches from here on, of those that its rank has from the base on."""
        mine = len(range(self.worker, start.steps, self.workers))
        first = start.cursor + rank + (self.worker + self.made.batches * self.workers) * num_ranks
        return BatchStride(first, self.workers * num_ranks, mine - self.made.batches)

    def deliver(self, mark: int) -> None:
        """One batch was made."""
        if mark == self.mark:
            self.made = Made(self.made.batches + 1, False)

    def finish(self, mark: int) -> None:
        """The share was made, and one more batch asked for."""
        if mark != self.mark or self.made.ended:
            return
        self.made = self.made._replace(ended=True)
        with self._shared.edit() as shared:
            last = shared[self._section]["iteration"]
            if last is not None and last["key"] == self._key:  # None: the parent has just set another place
                last["done"].append(self.worker)

    def entry(self, num_ranks: int) -> dict[str, Any]:
        """What a state has under WORKER."""
        return {
            "worker": self.worker,
            "workers": self.workers,
            "ranks": num_ranks,
            "batches": self.made.batches,
            "ended": self.made.ended,
        }


def read_entry(entry: Any, replica: Replica | None, num_ranks: int) -> Made:
    """What a worker's state says that it made; CheckpointMismatchError where this is not that worker."""
    cure = "give the dataset shardline.job_state of the loader's whole state, before its loader is made"
    try:
        there = [entry[name] for name in ("worker", "workers", "ranks")]
        made = Made(entry["batches"], entry["ended"])
    except (KeyError, TypeError) as error:
        raise mismatch([f"its part {WORKER!r} is damaged ({error!r}): start afresh"]) from error
    saved = f"worker {there[0]} of {there[1]}, with {there[2]} ranks"
    if replica is None:
        raise mismatch([Difference("whose state", saved, "the whole job", cure)])
    if there != [replica.worker, replica.workers, num_ranks]:
        here = f"worker {replica.worker} of {replica.workers}, with {num_ranks} ranks"
        raise mismatch([Difference("whose state", saved, here, cure)])
    return made


def check_unmoved(saved: Sequence[Leg], here: Sequence[Leg]) -> None:
    """A worker counts from its base on; CheckpointMismatchError where other settings cut the rest anew."""
    if list(saved) != list(here):
        cure = "give the dataset shardline.job_state of the loader's whole state, before its loader is made"
        raise mismatch([Difference("num_shards, batch_size, drop_last", saved[-1][:3], here[-1][:3], cure)])


def publish(shared: SharedDict, base: StartPlace) -> None:
    """This process, which makes loaders, set the place where their workers begin."""
    with shared.edit() as values:
        values[str(os.getpid())] = {"base": base.plain(), "iteration": None}


def workers_iterate(shared: SharedDict) -> bool:
    """Whether workers began to iterate since this process last set a place."""
    section = shared.read().get(str(os.getpid()))
    return section is not None and section["iteration"] is not None
