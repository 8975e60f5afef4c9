"""What `verify()` returns."""

from dataclasses import dataclass
from typing import Any

from shardline import text
from shardline.verification.faults import ResumeFault
from shardline.verification.stops import Life


@dataclass(frozen=True)
class Resumed:
    """A run that was tried: its batches, over all ranks, and whether they were those of the run without a stop."""

    life: Life
    batches: int
    """Those that were the same."""
    result: str
    """In words: "the same", or what was not."""


@dataclass(frozen=True)
class VerifyReport:
    """What was tried, and whether every batch was the same. `print` shows it."""

    path: str
    rows: int
    epoch_batches: int
    """Batches of an epoch, over all ranks."""
    num_shards: int
    transform: str
    """Its name; nothing where there is none."""
    start: int
    """The first batch that was compared, counted over all ranks and through the epochs."""
    batches: int
    """Batches that were compared and the same."""
    runs: list[Resumed]
    stops_asked: int
    stops_drawn: int
    """As many as the batches allow."""
    processes: int
    """New processes that were started, one a rank; worker processes are not counted."""
    seed: int
    fault: ResumeFault | None

    @property
    def proven(self) -> bool:
        """Whether every batch of every run was the same, bit for bit."""
        return self.fault is None

    @property
    def stops_tried(self) -> int:
        """Stops after which a new process came at least to its first batch, or to an error."""
        return len(self.runs) - 1

    @property
    def sentence(self) -> str:
        """The result, and what it is based on."""
        of = f"{self.stops_tried} of {text.counted(self.stops_drawn, 'stop')} tried (seed {self.seed})"
        if self.stops_drawn < self.stops_asked:
            of += f"; {self.stops_asked} were asked for, and there are no more batches to stop at"
        if not self.proven:
            what = "a resumed run differs" if self.stops_tried else "a run differs even before its first stop"
            return f"Not proven: {what}. {of}."
        return (
            f"Proven for these stops: {text.counted(self.batches, 'batch')} bit for bit those of a run that was never "
            f"stopped, in {self.processes} new processes. {of}."
        )

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        end = self.runs[-1].life.stop if self.proven else self.start + self.batches
        head = (
            f"{self.path}: {text.counted(self.rows, 'row')}, {text.counted(self.epoch_batches, 'batch')} an epoch over "
            f"{text.counted(self.num_shards, 'shard')}; {self.transform or 'no transform'}"
        )
        rows = [
            [
                f"{number}",
                f"{run.life.start:,} to {run.life.stop:,}",
                f"{run.life.num_ranks}",
                f"{run.life.num_workers}",
                run.result,
            ]
            for number, run in enumerate(self.runs, 1)
        ]
        lines = text.paragraph(head, width, "", "  ")
        lines += text.table(["run", "batches", "ranks", "workers", "beside the run without a stop"], rows, width)
        if end > self.epoch_batches and self.start < self.epoch_batches:
            lines += text.paragraph(f"Batch {self.epoch_batches:,} is the first of the next epoch.", width)
        if self.fault is not None:
            lines += self.fault.lines(width)
        return "\n".join([*lines, *text.paragraph(self.sentence, width, "", "  ")])

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = (
            "path",
            "rows",
            "epoch_batches",
            "num_shards",
            "transform",
            "start",
            "batches",
            "stops_asked",
            "stops_drawn",
            "stops_tried",
            "processes",
            "seed",
            "proven",
        )
        found = {name: getattr(self, name) for name in names}
        found["runs"] = [{**run.life._asdict(), "same": run.batches, "result": run.result} for run in self.runs]
        found["fault"] = None if self.fault is None else self.fault.to_dict()
        return dict(text.plain(found))
