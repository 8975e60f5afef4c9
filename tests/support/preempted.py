"""A training with workers that saves and ends when a signal asks for it; alone, or as a rank under torchrun.

`python preempted.py DATA FOLDER METHOD LOG`. It never comes to an end by itself. It says "ready" as soon as it watches
for signals, the first steps, and its exit status; LOG gets a line for each batch.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

import shardline
from support import functions as f
from support.worked import make, plain

SAID = 30  # steps
SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


def slowly(batch: Any) -> Any:
    time.sleep(0.005)
    return f.augment(batch)


def digest(batch: Any) -> str:
    return hashlib.sha256(json.dumps(plain(batch), default=str).encode()).hexdigest()[:16]


def expected(data: Path, steps: int, rank: int = 0, ranks: int = 1) -> list[str]:
    """The first batches of a run that is never stopped, and has no workers."""
    loader, found = make(data, rank=rank, num_ranks=ranks), list[str]()
    while len(found) < steps:
        found += map(digest, loader)
    return found[:steps]


def train(data: str, folder: str, method: str, log: str) -> None:
    rank = 0
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
        rank = dist.get_rank()
    if method == "forkserver":
        multiprocessing.get_context(method).set_forkserver_preload(["torch", "pyarrow", "shardline"])
    loader = make(Path(data), transform=slowly)
    # torchrun kills after 30 seconds, which new fork servers may need on a busy machine
    keep = method == "forkserver" and "RANK" in os.environ
    loader = shardline.DataLoader(
        loader.dataset, num_workers=2, multiprocessing_context=method, persistent_workers=keep
    )
    ck = shardline.Checkpointer(folder, extra={"x": 1}, data=loader, timeout=60, signals=SIGNALS)
    _say("ready")
    first = step = ck.restore().step
    with Path(f"{log}-{rank}").open("w", buffering=1) as lines:
        while True:
            for batch in loader:
                step += 1
                lines.write(f"{step} {digest(batch)}\n")
                if dist.is_initialized():
                    dist.barrier()
                if step - first <= SAID:
                    _say(f"step {step - first}")
                ck.step(step)


def _say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def main(arguments: list[str]) -> None:
    try:
        train(*arguments)
    except SystemExit as end:
        _say(f"status {end.code}")
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
