"""torchdata's StatefulDataLoader over shardline, killed in mid-epoch and resumed.

    python examples/stateful.py DATA CHECKPOINT [--workers 2] [--epochs 2] [--kill-at STEP]

DATA is a folder of Parquet files. Run it again after it was killed: it goes on where it was saved. The number of
workers may be another then, and the loader too, by way of `shardline.job_state`.
"""

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torchdata.stateful_dataloader import StatefulDataLoader

import shardline


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True) if path.exists() else None


def save(path: Path, state: Any) -> None:
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--kill-at", type=int, help="a step after which this process is killed")
    options = parser.parse_args()

    saved = load(options.checkpoint)
    dataset = shardline.StructuredDataset(options.data, batch_size=8, shuffle=True)
    state = None
    if saved is not None and saved["workers"] == options.workers:
        state = saved["loader"]
    elif saved is not None:  # other workers: the job's state goes into the dataset, before its loader is made
        dataset.load_state_dict(shardline.job_state(saved["loader"]))
    loader = StatefulDataLoader(dataset, batch_size=None, num_workers=options.workers)
    if state is not None:
        loader.load_state_dict(state)

    step, first = (saved["step"], saved["epoch"]) if saved is not None else (0, 0)
    for epoch in range(first, options.epochs):
        for batch in loader:
            print(epoch, *batch["i"].tolist(), flush=True)  # the training step
            step += 1
            save(
                options.checkpoint,
                {"loader": loader.state_dict(), "workers": options.workers, "step": step, "epoch": epoch},
            )
            if step == options.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
