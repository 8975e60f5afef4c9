"""Batches through worker processes: shardline's one block a batch, beside a plain torch DataLoader.

Both run an identity transform in the same number of workers over the same file; the plain one is the loop that one
would write, with pyarrow. Runs are interleaved, and medians reported, as the machine is not this program's alone.

    python benches/workers.py [--workers 2] [--rounds 5] [--rows 1000000]
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import shardline

COLUMNS, BATCH = 20, 1024


def write(folder: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"f{n}": random.random(rows, np.float32) for n in range(COLUMNS // 2)}
    columns |= {f"i{n}": random.integers(0, 1 << 40, rows) for n in range(COLUMNS // 2)}
    pq.write_table(
        pa.table(columns), folder / "data.parquet", row_group_size=65_536, use_dictionary=False, compression="NONE"
    )


def identity(batch: Any) -> Any:
    return batch


class Plain(torch.utils.data.IterableDataset[Any]):
    """Every W-th row group in every worker, as dicts of tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        file = pq.ParquetFile(self.folder / "data.parquet")
        mine = range(info.id, file.num_row_groups, info.num_workers) if info else range(file.num_row_groups)
        for batch in file.iter_batches(BATCH, row_groups=list(mine)):
            yield identity({name: torch.from_numpy(batch[name].to_numpy().copy()) for name in batch.schema.names})


def rate(loader: Iterable[Any], limit: int | None = None) -> float:
    """Rows a second, from the first batch on: starting processes is not what is compared."""
    batches = iter(loader)
    next(batches)
    rows, start = 0, time.perf_counter()
    for count, batch in enumerate(batches):
        rows += len(batch["f0"])
        if count == limit:
            break
    return rows / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--plain-batches", type=int, default=400, help="of the plain loader's, a round")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.rows)
        ours, plain, none = [], [], []
        for _ in range(options.rounds):
            loader = shardline.DataLoader(folder, BATCH, transform=identity, num_workers=options.workers)
            ours.append(rate(loader))
            peer = torch.utils.data.DataLoader(Plain(folder), batch_size=None, num_workers=options.workers)
            plain.append(rate(peer, options.plain_batches))
            none.append(rate(shardline.DataLoader(folder, BATCH)))
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"{COLUMNS} columns x {BATCH} rows, {options.workers} workers, identity; median of {options.rounds} rounds")
    for what, rates in (("shardline", ours), ("plain DataLoader", plain), ("shardline, no workers", none)):
        middle = statistics.median(rates)
        print(f"  {what:22} {middle / 1e6:8.3f} M rows/s   {BATCH / middle * 1e6:8.0f} us a batch")
    print(f"  ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
