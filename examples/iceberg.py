"""Training on an Iceberg table at a tag, while others write to it and old snapshots expire; killed and resumed.

    python examples/iceberg.py FOLDER CHECKPOINT [--write-every STEPS] [--kill-at STEP]

A tag keeps the run's snapshot, its files and its deletes: whatever is committed, and whatever expires, the run goes on
in what it began with. FOLDER has the table and a catalog in SQLite, both made where they are missing, with a column `x`
(numbers) and a column `i` (integers). `--write-every` stands for the other jobs: every so many steps rows are added,
changed and deleted, and all snapshots that have no tag expire.
"""

import argparse
import logging
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

import shardline

NAME, TAG = "train.events", "run-1"


def rows(start: int, stop: int) -> pa.Table:
    """Some rows of the table."""
    numbers = range(start, stop)
    return pa.table({"i": pa.array(numbers, pa.int64()), "x": pa.array([i / 2 for i in numbers], pa.float64())})


def make(catalog: Any) -> None:
    """The table, of three files; its snapshot gets a tag."""
    catalog.create_namespace("train")
    table = catalog.create_table(NAME, rows(0, 0).schema)
    for start, stop in ((0, 200), (200, 300), (300, 600)):
        table.append(rows(start, stop))
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, TAG).commit()


def write(table: Table, start: int) -> None:
    """What other jobs do."""
    table.append(rows(start, start + 50))
    table.delete("i < 100")
    table.overwrite(rows(100, 150), "i >= 100 and i < 150")
    table.maintenance.expire_snapshots().older_than(datetime.now(UTC)).commit()


def main() -> None:
    """Trains, from the checkpoint on if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--write-every", type=int, help="steps after each of which others write to the table")
    parser.add_argument("--kill-at", type=int, help="a step after which this process is killed")
    options = parser.parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("shardline").setLevel(logging.INFO)
    options.folder.mkdir(parents=True, exist_ok=True)
    place = options.folder.resolve()
    settings = {"type": "sql", "uri": f"sqlite:///{place}/catalog.db", "warehouse": f"file://{place}"}
    catalog = load_catalog(**settings)
    if not catalog.table_exists(NAME):
        make(catalog)
    loader, _ = shardline.IcebergDataset.create_dataloader(
        table=NAME, catalog_config=settings, ref=TAG, batch_size=options.batch_size, shuffle=True, columns=["i", "x"]
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
                write(catalog.load_table(NAME), 1000 * step)
            if step == options.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
