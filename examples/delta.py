"""Training on a Delta table that others write to meanwhile, killed in mid-epoch and resumed.

    python examples/delta.py TABLE CHECKPOINT [--write-every STEPS] [--kill-at STEP]

A run reads the version of the table that was the newest when it began, in every epoch and after every restart, whatever
is committed meanwhile; give `on_new_files="refresh"` to take the newest version from the next epoch on. Run it again
after it was killed: it goes on where it was saved, and a log line says how many versions are newer.

`--write-every` stands for the other jobs: every so many steps rows are added, changed and deleted, files are compacted,
and those that are no longer needed are vacuumed. The table keeps files and log for longer than the run takes; a file of
the run's version that is gone would be an error that names it. A table that does not exist is made, with a column `x`
(numbers) and a column `i` (integers).
"""

import argparse
import logging
import os
import signal
from pathlib import Path

import pyarrow as pa
import torch
from deltalake import DeltaTable, write_deltalake

import shardline

KEEP = {"delta.deletedFileRetentionDuration": "interval 30 days", "delta.logRetentionDuration": "interval 60 days"}


def rows(start: int, stop: int) -> pa.Table:
    """Some rows of the table."""
    return pa.table({"i": pa.array(range(start, stop), pa.int64()), "x": [i / 2 for i in range(start, stop)]})


def make(path: str) -> None:
    """The table, of three files."""
    for start, stop in ((0, 200), (200, 300), (300, 600)):
        write_deltalake(path, rows(start, stop), mode="append", configuration=KEEP)


def write(path: str) -> None:
    """What other jobs do."""
    write_deltalake(path, rows(1000, 1050), mode="append")
    table = DeltaTable(path)
    table.update(predicate="i % 7 = 2", updates={"x": "0.0"})
    table.delete("i % 10 = 3")
    table.optimize.compact()
    table.vacuum(dry_run=False)


def main() -> None:
    """Trains, from the checkpoint on if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="a directory, s3://, gs:// or az://")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--write-every", type=int, help="steps after each of which others write to the table")
    parser.add_argument("--kill-at", type=int, help="a step after which this process is killed")
    options = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not DeltaTable.is_deltatable(options.table):
        make(options.table)
    loader = shardline.DataLoader(
        options.table, format="delta", batch_size=options.batch_size, shuffle=True, columns=["i", "x"]
    )

    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = first = 0
    if options.checkpoint.exists():
        saved = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        loader.load_state_dict(saved["loader"])
        step, first = saved["step"], saved["epoch"]

    for epoch in range(first, options.epochs):
        for batch in loader:
            x = batch["x"].float().unsqueeze(1) / 1000
            y = batch["i"].float().unsqueeze(1) / 1000
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            print(f"epoch {epoch} step {step} loss {loss.item():.9f} rows {batch['i'].tolist()}", flush=True)
            checkpoint = {"model": model.state_dict(), "loader": loader.state_dict(), "step": step, "epoch": epoch}
            torch.save(checkpoint, options.checkpoint.with_suffix(".new"))
            options.checkpoint.with_suffix(".new").replace(options.checkpoint)
            if options.write_every and step % options.write_every == 0:
                write(options.table)
            if step == options.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
