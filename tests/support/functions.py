"""Functions that worker processes run: at the top level of a module, so that spawn can send them."""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


def identity(batch: Any) -> Any:
    return batch


def augment(batch: Any) -> Any:
    """Draws from every generator that is seeded."""
    noise = torch.rand(len(batch["i"])) + random.random() + np.random.rand()
    return {"i": batch["i"], "noise": noise, "x": batch["x"] * noise}


def collate(batch: Any) -> Any:
    return batch["i"], {"noise": batch["noise"], "drawn": random.random()}


@dataclass
class Thing:
    value: Any
    name: str


def zoo(batch: Any) -> Any:
    """Everything that a transform may return."""
    i = batch["i"]
    return {
        "thing": Thing(i * 2, "a name"),
        "nested": [(i, {"deep": i.float()}), None, 3, "text"],
        "scalar": i.sum(),
        "empty": i[:0],
        "bool": i > 3,
        "bfloat16": i.to(torch.bfloat16),
        "complex": torch.complex(i.double(), i.double()).conj(),
        "strided": i.expand(3, -1).t()[:, :2],
        "transposed": torch.arange(6.0).view(2, 3).t(),
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "grad": torch.ones(2, requires_grad=True),
        "sparse": torch.eye(3).to_sparse(),
        "array": i.numpy()[::2],
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "objects": np.array(["a", None, 3], dtype=object),
        5: i[1:],
        "jagged": torch.nested.nested_tensor_from_jagged(i.float(), torch.tensor([0, 1, len(i)])),
        "bytes": b"x" * 100_000,
    }


class Keep:
    """Keeps what it was given, and mixes the batch before into this one."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def __call__(self, batch: Any) -> Any:
        self.kept.append(batch)
        for old in self.kept[:-1]:
            old["x"] += 1  # its own to write to
        return batch


class Locked:
    """Holds a lock of multiprocessing's, which goes only to a process that is being started."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def __call__(self, batch: Any) -> Any:
        with self.lock:
            return batch


class At:
    """Does something when the batch with row `row` comes."""

    def __init__(self, row: int, what: str) -> None:
        self.row, self.what = row, what

    def __call__(self, batch: Any) -> Any:
        if self.row in batch["i"].tolist():
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.what == "raise":
                raise ValueError("row refused")
            elif self.what == "memory":
                raise MemoryError("no more")
            elif self.what == "timeout":
                raise TimeoutError("the server is slow")
            elif self.what == "eof":
                raise EOFError("the image is truncated")
            elif self.what == "stop":
                raise StopIteration
            elif self.what == "local":

                class Local(KeyError):
                    def __init__(self, one: Any, two: Any) -> None:
                        super().__init__(one, two)

                raise Local(1, 2)
            elif self.what == "exit":
                sys.exit(3)
        return batch


class Held:
    """Holds a batch back until a file is there: that with row `row`, or all but the one with row 0."""

    def __init__(self, path: Any, row: int | None = None) -> None:
        self.path, self.row = Path(path), row

    def __call__(self, batch: Any) -> Any:
        rows = batch["i"].tolist()
        while (self.row in rows or (self.row is None and 0 not in rows)) and not self.path.exists():
            time.sleep(0.005)
        return batch


class Grow:
    """A result much larger than the batch, of another size each time."""

    def __call__(self, batch: Any) -> Any:
        n = int(batch["i"][0]) % 5 + 1
        return {"i": batch["i"], "big": batch["i"].repeat(1000 * n)}


def name_pid(batch: Any) -> Any:
    info = torch.utils.data.get_worker_info()
    assert info is not None
    return {**batch, "pid": os.getpid(), "worker": info.id, "mark": os.environ.get("MARK")}


def init(worker: int) -> None:
    os.environ["MARK"] = f"worker {worker}"


def bad_init(worker: int) -> None:
    raise OSError(f"no luck for {worker}")


def slow(batch: Any) -> Any:
    time.sleep(0.3)
    return batch


DATASET: list[Any] = []


def read_so_far(batch: Any) -> Any:
    """What this worker's reader has decoded."""
    info = torch.utils.data.get_worker_info()
    assert info is not None
    return {"worker": info.id, "rows": DATASET[0].get_metrics()["rows_decoded"]}


def read_all(dataset: Any, queue: Any) -> None:
    """A process that reads a dataset it was given."""
    signal.alarm(60)
    queue.put([batch["i"].tolist() for batch in dataset])
