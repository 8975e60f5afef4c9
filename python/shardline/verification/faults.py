"""What breaks a resume, in plain words, and what to do about it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shardline import text


class _Words(NamedTuple):
    what: str
    cure: str


_OWN = "np.random.default_rng(torch.initial_seed())"

WORDS = {
    "generator": _Words(
        "the transform draws from a generator of its own, which nothing seeds (or from the clock)",
        "draw from random, np.random or torch, which shardline seeds for every batch; or make the generator anew in "
        f"every call: {_OWN}",
    ),
    "state": _Words(
        "the transform carries a state from call to call: a global that it changes, or a generator seeded once",
        "let the result depend on the batch alone: compute what is global beforehand and save it, count by a column of "
        f"the batch, and make a generator anew in every call: {_OWN}",
    ),
    "worker": _Words(
        "the transform depends on the worker process that it runs in",
        "leave the worker's number, get_worker_info(), process ids and what worker_init_fn sets out of it; to draw "
        "random numbers, torch.initial_seed() is the batch's own seed",
    ),
    "rank": _Words(
        "the transform depends on the rank that it runs on",
        "leave RANK, LOCAL_RANK and torch.distributed.get_rank() out of it: the same batch comes on another rank when "
        "the ranks change",
    ),
    "process": _Words(
        "the transform gives one result within a process, and another one in the next process",
        "hash() of text and the order of sets differ from process to process: use hashlib or ColumnOptions("
        'encode="hash"), and sorted(); leave out process ids, host names and times',
    ),
    "threads": _Words(
        "the transform depends on the number of torch's threads: sums of floats are added in another order",
        "call torch.set_num_threads(1) where the transform is defined, as worker processes do",
    ),
    "unknown": _Words(
        "the transform made something else of the same batch, and none of the trials shows why",
        "give it one batch after the other in a process of its own, and compare what it returns",
    ),
    "fails": _Words(
        "the transform raised in a resumed run, and did not in the run without a stop",
        "see what it needs that a new process, or a worker process, does not have",
    ),
    "data": _Words(
        "the data changed between two runs",
        "write no file that a run reads: give new files new names, or train on a copy; where a file is gone for good, "
        "load_state_dict(state, leave_out=[…]) continues without it",
    ),
    "loader": _Words(
        "the loader gave other rows, or another state, though nothing had changed: this is a fault of shardline",
        "please report it, with this output and the files' footers (shardline info PATH --json)",
    ),
}
"""By the kind of fault."""


@dataclass(frozen=True)
class ResumeFault:
    """What broke a resume."""

    kind: str
    """"generator", "state", "worker", "rank", "process", "threads", "unknown", "fails", "data" or "loader"."""
    where: str
    """The batch, in words."""
    seen: list[str] = field(default_factory=list)
    """What was observed, a sentence each."""

    @property
    def what(self) -> str:
        """The fault, in a sentence."""
        return WORDS[self.kind].what

    @property
    def cure(self) -> str:
        """What to do, in a sentence."""
        return WORDS[self.kind].cure

    def lines(self, width: int) -> list[str]:
        """For people."""
        head = text.paragraph(f"Broken at {self.where}: {self.what}.", width, "", "  ")
        seen = [line for each in self.seen for line in text.paragraph(f"- {each}", width, "  ", "    ")]
        return [*head, *seen, *text.paragraph(f"→ {self.cure}", width, "  ", "    ")]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"kind": self.kind, "where": self.where, "what": self.what, "seen": self.seen, "cure": self.cure}
