"""A sharded training of several ranks that is killed, one rank or all, and what each of its lives did.

A life writes a line for every step of a rank, after one with the step that it began from.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from shardline import Checkpointer, DataLoader
from support.ranked import Net, numbers

EPOCHS, SAVE_EVERY = 2, 4


def train(rank: int, environ: dict[str, str], data: str, url: str, log: str, blocking: bool) -> Any:
    """One life, to the end if nobody kills it: the weights, and what its generator draws next."""
    os.environ.update(environ)
    torch.manual_seed(4)
    torch.set_num_threads(1)
    net, mesh = Net(), init_device_mesh("cpu", (dist.get_world_size(),))
    fully_shard(net.first, mesh=mesh)
    fully_shard(net, mesh=mesh)
    torch.manual_seed(100 + rank)  # dropout differs from rank to rank
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    loader = DataLoader(data, batch_size=4, shuffle=True, num_shards=8)
    parts = {"model": net, "optimizer": optimizer, "data": loader}
    ck = Checkpointer(url, **parts, every_steps=SAVE_EVERY, keep_last=2, blocking=blocking, timeout=20)
    restored = ck.restore()
    step = restored.step
    with Path(f"{log}-{rank}").open("w", buffering=1) as lines:
        lines.write(json.dumps([step, list(restored.skipped)]) + "\n")
        for epoch in range(loader.epoch, EPOCHS):
            loader.set_epoch(epoch)
            for index, batch in enumerate(loader, start=loader.batch_index):
                loss = (net(batch) - batch["x"] / 50).pow(2).mean()
                loss.backward()
                lines.write(json.dumps([epoch, index, batch["i"].tolist(), float(loss.item()).hex()]) + "\n")
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                ck.step(step)
    ck.save(step)
    ck.wait()
    return numbers(net), torch.rand(2).tolist()


def read(log: str, rank: int) -> tuple[list[Any], list[list[Any]]]:
    """(the first line, the others) of a life; a kill may have left half a line."""
    path = Path(f"{log}-{rank}")
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    first, *rest = [json.loads(line) for line in whole.splitlines()] or [[]]
    return first, rest


def killing(log: str, after: float, victims: Iterable[int]) -> Callable[[list[BaseProcess]], object]:
    """For `job`: SIGKILLs these ranks so many seconds after all have begun to train."""

    def started(processes: list[BaseProcess]) -> None:
        def kill() -> None:
            while not all(Path(f"{log}-{rank}").exists() for rank in range(len(processes))):
                if any(process.exitcode is not None for process in processes):
                    return
                time.sleep(0.005)
            time.sleep(after)
            for rank in victims:
                processes[rank].kill()

        threading.Thread(target=kill, daemon=True).start()

    return started
