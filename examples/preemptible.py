"""A training that a scheduler may interrupt: after SIGTERM or SIGUSR1 it saves, and ends with status 75.

Started again with the same arguments, it continues with the next batch. slurm.sbatch and k8s-job.yaml run it; as one
process, or as one of several ranks.
"""

import argparse
import os
import signal
from typing import Any

import torch
import torch.distributed as dist

import shardline


def train(data: str, out: str, epochs: int) -> None:
    torch.manual_seed(0)
    loader = shardline.DataLoader(data, batch_size=64, shuffle=True, shuffle_seed=7)
    model: torch.nn.Module = torch.nn.Linear(8, 1)
    if dist.is_initialized():
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "data": loader}
    ck = shardline.Checkpointer(out, **parts, every_steps=1000, signals=[signal.SIGTERM, signal.SIGUSR1])
    step = ck.restore().step
    for epoch in range(loader.epoch, epochs):
        loader.set_epoch(epoch)
        for batch in loader:
            loss = torch.nn.functional.mse_loss(model(batch["features"]).squeeze(1), batch["target"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if loader.dataset.rank == 0:
                print(f"step {step} loss {loss.item()!r}", flush=True)
            ck.step(step)  # after a signal: saves, and raises SystemExit(75)
    ck.save(step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="a folder of Parquet files with the columns features and target")
    parser.add_argument("--out", required=True, help="the folder of the checkpoints, which all lives of the job see")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    train(given.data, given.out, given.epochs)
