"""Train over several ranks with DistributedDataParallel, killed and restarted by torchrun, and lose nothing.

torchrun --standalone --nproc-per-node 2 --max-restarts 3 examples/ddp.py --data /tmp/points --out /tmp/ddp

The loader takes its ranks from the process group. Rank 0 lists the files for all, and writes one checkpoint for all.
`--kill-at-step` lets one rank die once: torchrun starts all again, and they go on from the last checkpoint. So they do
after a SIGTERM to torchrun, which a scheduler sends before it takes the machine: they save, and end with status 75.
Start it with another --nproc-per-node and it goes on as well.
"""

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import shardline


def make_data(folder: Path, files: int = 4, rows: int = 5_000) -> None:
    """Points in eight dimensions, and a sum of them with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        random = np.random.default_rng(number)
        features = random.standard_normal((rows, 8), dtype="f4")
        target = features @ np.arange(8, dtype="f4") + random.standard_normal(rows, dtype="f4")
        columns = {
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), 8),
            "target": pa.array(target),
        }
        pq.write_table(pa.table(columns), folder / f"points-{number}.parquet", row_group_size=1_000)


def train(data: Path, out: Path, epochs: int, save_every: int, kill_at_step: int | None) -> None:
    rank, first_life = dist.get_rank(), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    # 12 shards make the batches the same for 1, 2, 3, 4, 6 and 12 ranks
    loader = shardline.DataLoader(data, batch_size=64, shuffle=True, num_shards=12)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "data": loader}
    ck = shardline.Checkpointer(out / "checkpoints", **parts, every_steps=save_every, signals=[signal.SIGTERM])

    restored = ck.restore()
    step = restored.step
    if restored and rank == 0:
        print(f"step {step}: the data {loader.dataset.resumed}", flush=True)

    loss = torch.zeros(())
    for epoch in range(loader.epoch, epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            loss = torch.nn.functional.mse_loss(model(batch["features"]).squeeze(1), batch["target"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            ck.step(step)
            if step == kill_at_step and first_life and rank == dist.get_world_size() - 1:
                os.kill(os.getpid(), signal.SIGKILL)
        if rank == 0:
            print(f"epoch {epoch} ended at step {step}, loss {loss.item():.3f}", flush=True)
    ck.save(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data; made if it is not there")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the checkpoint")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=10, help="steps")
    parser.add_argument("--kill-at-step", type=int, help="the last rank ends itself there, once")
    given = parser.parse_args()
    dist.init_process_group("gloo")
    if dist.get_rank() == 0:
        given.out.mkdir(parents=True, exist_ok=True)
        if not given.data.exists():
            make_data(given.data)
    dist.barrier()
    train(given.data, given.out, given.epochs, given.save_every, given.kill_at_step)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
