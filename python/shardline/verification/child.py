"""A process of a verification: `python -m shardline.verification.child JOB OUTCOME`, two files' names.

It ends when its standard input does: with the process that started it, however that ended.
"""

import os
import pickle
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import torch

from shardline.errors import ShardlineError
from shardline.loader import DataLoader
from shardline.options.function import load_function
from shardline.verification.digest import digests
from shardline.verification.job import Job, Outcome, Record, Wrong
from shardline.verification.recorder import Recorder, TransformError
from shardline.verification.suspects import Suspects


def main(job: str, outcome: str) -> None:
    """Does the job in one file, and writes what came of it to the other."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The folders first: what was pickled may be found in them only.
    with Path(job).open("rb") as file:
        sys.path[:] = pickle.load(file)
        found = _attempt(file)
    Path(outcome).write_bytes(pickle.dumps(found))


def _end_with_parent() -> None:
    """Not by sys.stdin, whose lock would be held at the end of the interpreter."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _attempt(file: Any) -> Outcome:
    found = Outcome()
    try:
        job = pickle.load(file)
        _run(job, found)
    except TransformError as error:
        found.wrong = Wrong("transform", *error.parts())
    except ShardlineError as error:
        found.wrong = Wrong("data", str(error), traceback.format_exc())
    except Exception as error:
        found.wrong = Wrong("process", f"{type(error).__name__}: {error}", traceback.format_exc())
    return found


def _run(job: Job, found: Outcome) -> None:
    transform = load_function(job.transform) if isinstance(job.transform, str) else job.transform
    suspects = Suspects(transform) if job.replay and transform is not None else None
    recorder = Recorder(transform, job.replay)
    loader = DataLoader(
        job.path,
        **job.arguments,
        rank=job.rank,
        num_ranks=job.num_ranks,
        num_workers=job.num_workers,
        transform=recorder,
    )
    if job.torch_threads is not None:
        torch.set_num_threads(job.torch_threads)
    if job.state is not None:
        loader.load_state_dict(job.state)
    elif job.start:
        loader.set_epoch(job.start // job.epoch_batches)
        if step := job.start % job.epoch_batches // job.num_ranks:
            loader.seek(step)
    _deliver(loader, (job.stop - job.start) // job.num_ranks, found.records)
    found.state = loader.state_dict()
    if suspects is not None:
        recorder.give_all_again()
        found.replayed, found.suspects = recorder.replayed, suspects.changed()


def _deliver(loader: DataLoader, count: int, records: list[Record]) -> None:
    """So many batches, through the ends of epochs, as a loop without a stop gets them."""
    empty = 0
    while count and empty < 3:
        empty += 1
        for read, made in loader:
            records.append(Record(read, digests(made)))
            count, empty = count - 1, 0
            if not count:
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
