"""Turns and reports of `shardline bench`, for tests."""

from shardline import StructuredDataset
from shardline.benchmark.report import BenchReport
from shardline.benchmark.result import Measured
from shardline.benchmark.turn import Result, Turn

FUNCTIONS = """
import os, time

def slow(batch):
    time.sleep(0.02)
    return batch

def raises(batch):
    return batch["label"]

def dies(batch):
    os._exit(3)

def hangs(batch):
    time.sleep(100)

def prints(batch):
    print("no result")
    return batch
"""


def turn(path, kind="loader", threads=1, batch_size=10, seconds=0.0, **more):
    """A turn over a path; with no seconds it ends at its first batch or row group."""
    arguments = more.pop("arguments", {})
    plan = StructuredDataset(path, **{"output_format": "arrow", **arguments}).plan
    return Turn(kind, plan, arguments, threads, batch_size, seconds=seconds, **more)


def measured(key, label, rates, waited=0.0, verdict="", page=0.0):
    found = Measured(key, label, 2, 10)
    for number, rate in enumerate(rates):
        found.add(number, Result(rate, 100, 1.0, 0.02, 5 << 20, 12.0, waited, verdict, page))
    return found


def report(asked=(4000, 4200, 4400), step=None, page=1 << 20, **more):
    given = {
        "asked": measured("asked", "shardline, as asked", asked),
        "batch 40": measured("batch 40", "batches of 40", [5000, 5500, 9000]),
        "threads 1": measured("threads 1", "1 thread", [3000, 6000, 6000]),
        "loop": measured("loop", "hand-written loop", [1000, 1050, 1000]),
        "pages": measured("pages", "pages only, the limit", [8000, 8000, 8000], page=page),
        **({} if step is None else {"step": measured("step", "with a step", [900, 900, 900], *step)}),
        **more,
    }
    return BenchReport("data", 1, 2, 100, 2, 10, "in file order", 0.5, 3, 1.2, 5.0 if step else None, 12.0, given)
