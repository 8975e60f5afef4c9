"""What takes turns: shardline as it was asked for, what differs from that in one thing, the loop, and the limit."""

from dataclasses import dataclass, replace
from typing import Any

from shardline._core import Plan
from shardline.benchmark.turn import Turn
from shardline.options.storage import is_remote

LOOP, LIMIT, ASKED, STEP = "loop", "pages", "asked", "step"
_ROWS = ("filters", "sample", "subset")


@dataclass(frozen=True)
class Reader:
    """What takes a turn in every round."""

    key: str
    label: str
    turn: Turn | None
    reason: str = ""
    """Why there is no turn, where there is none."""


def readers(
    plan: Plan,
    arguments: dict[str, Any],
    threads: int,
    batch_size: int,
    transform: Any,
    num_workers: int,
    model_ms: float | None,
) -> list[Reader]:
    """All of them, in the order of the report."""
    asked = Turn("loader", plan, arguments, threads, batch_size, transform, num_workers)
    found = [
        Reader(ASKED, "shardline, as asked", asked),
        *_threads(asked),
        *(Reader(f"batch {size}", f"batches of {size:,}", replace(asked, batch_size=size)) for size in _sizes(asked)),
        *_shuffles(asked),
    ]
    if model_ms is not None:
        found.append(Reader(STEP, f"with a step of {model_ms:g} ms", replace(asked, step_seconds=model_ms / 1000)))
    rows = [f"{name}=" for name in _ROWS if arguments.get(name) is not None]
    reason = f"it reads all rows, without {' and '.join(rows)}" if rows else ""
    found.append(_beside(LOOP, "hand-written loop", replace(asked, kind="loop"), reason))
    remote = "not of a store, where the connections are the limit" if is_remote(plan.root) else ""
    found.append(_beside(LIMIT, "pages only, the limit", replace(asked, kind="pages", transform=None), remote))
    return found


def _beside(key: str, label: str, turn: Turn, reason: str) -> Reader:
    return Reader(key, label, None if reason else turn, reason)


def _threads(asked: Turn) -> list[Reader]:
    numbers = sorted({1, asked.threads // 2, asked.threads * 2 if asked.threads == 1 else 1} - {0, asked.threads})
    return [Reader(f"threads {n}", f"{n} thread{'s' if n > 1 else ''}", replace(asked, threads=n)) for n in numbers]


def _sizes(asked: Turn) -> list[int]:
    return [size for size in (asked.batch_size // 4, asked.batch_size * 4) if 0 < size <= max(1, asked.plan.num_rows)]


def _shuffles(asked: Turn) -> list[Reader]:
    """The two of three ways to shuffle that were not asked for."""
    plain = {name: value for name, value in asked.arguments.items() if not name.startswith("shuffle")}
    seed = {name: value for name, value in asked.arguments.items() if name == "shuffle_seed"}
    ways = {
        "order": ("in file order", plain),
        "splits": ("splits shuffled", {**plain, **seed, "shuffle": True, "shuffle_buffer_size": 0}),
        "rows": ("rows shuffled", {**plain, **seed, "shuffle": True}),
    }
    buffer = asked.arguments.get("shuffle_buffer_size")
    is_asked = "order" if not asked.arguments.get("shuffle") else "splits" if buffer == 0 else "rows"
    return [
        Reader(key, label, replace(asked, arguments=arguments))
        for key, (label, arguments) in ways.items()
        if key != is_asked
    ]
