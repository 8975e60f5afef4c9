"""What the ranks of a job do with a Checkpointer: each function runs on every rank of `support.job.job`."""

import contextlib
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import shardline
from shardline import Checkpointer, DataLoader


def own(folder: Path, rank: int, private: bool) -> Path:
    return folder / f"rank-{rank}" if private else folder / "shared"


def in_store(rank: int, environ: dict[str, str], function: Any, *args: Any) -> Any:
    """A function of these, where the environment names a store."""
    os.environ.update(environ)
    return function(rank, *args)


def numbers(model: nn.Module) -> list[float]:
    return [
        value for p in model.parameters() for value in getattr(p, "full_tensor", lambda p=p: p)().flatten().tolist()
    ]


def save(rank: int, folder: Path, private: bool, blocking: bool, steps: int) -> Any:
    """The weights, the extras of the rank, and what its generator draws next, after the last save."""
    torch.manual_seed(rank)
    model, mine = nn.Linear(3, 2), {"rank": rank}
    nn.init.constant_(model.weight, 7.0)
    nn.init.constant_(model.bias, 8.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ck = Checkpointer(
        own(folder, rank, private),
        model=model,
        optimizer=optimizer,
        per_rank={"mine": mine},
        blocking=blocking,
        timeout=20,
    )
    assert not ck.restore()
    for step in range(1, steps + 1):
        torch.rand(rank + 1)
        mine["step"] = step
        ck.save(step, metrics={"val_loss": step}, values={"note": "x"})
    ck.wait()
    return numbers(model), dict(mine), torch.rand(2).tolist()


def restore(rank: int, folder: Path, private: bool, *which: Any) -> Any:
    torch.manual_seed(50 + rank)
    model, mine = nn.Linear(3, 2), {}
    per_rank = {} if dist.get_world_size() == 3 else {"mine": mine}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ck = Checkpointer(own(folder, rank, private), model=model, optimizer=optimizer, per_rank=per_rank, timeout=20)
    restored = ck.restore(*which)
    notes = restored.notes + restored.skipped
    return (numbers(model), mine, torch.rand(2).tolist()), restored.step, restored.values, notes


def restore_from(rank: int, folder: Path) -> Any:
    model = nn.Linear(3, 2)
    ck = Checkpointer(folder / "elsewhere", model=model, timeout=20)
    restored = ck.restore(own(folder, rank, True) / "step-1", only="model")
    return restored.step, numbers(model)


def only_on_rank_0(rank: int, folder: Path, call: str) -> Any:
    """How long it took, and what came."""
    ck = Checkpointer(folder, extra={"x": 1}, timeout=1)
    began = time.monotonic()
    try:
        if rank == 0:
            ck.save(1) if call == "save" else ck.restore()
        return "nothing"
    except shardline.ShardlineError as error:
        return type(error).__name__, str(error), time.monotonic() - began


def at_other_steps(rank: int, folder: Path) -> Any:
    Checkpointer(folder, extra={"x": 1}, timeout=20).save(5 + rank)


def cannot_write(rank: int, folder: Path, on_error: Any) -> Any:
    """Rank 0's place is taken by a file; the others' are not asked."""
    (folder / f"{rank}").mkdir()
    ck = Checkpointer(folder / f"{rank}", extra={"x": 1}, timeout=20, on_error=on_error)
    ck.save(1)
    if rank == 0:
        (folder / "0" / "step-1").rename(folder / "kept")
        (folder / "0").rmdir()
        (folder / "0").write_text("in the way")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ck.save(2)


def signalled(rank: int, folder: Path, who: int) -> Any:
    """The status, the steps done, and the steps saved, after a signal to one rank in its 30th step."""
    ck = Checkpointer(folder, extra={"x": 1}, timeout=20, signals=[signal.SIGUSR1], every_minutes=60)
    step = 0
    try:
        while step < 3000:
            dist.barrier()  # as a step of DDP is
            time.sleep(0.001 * (rank + 1))
            step += 1
            if rank == who and step == 30:
                os.kill(os.getpid(), signal.SIGUSR1)
            ck.step(step)
    except SystemExit as error:
        return error.code, step, [one.step for one in ck.list()]
    return "not ended", step, []


def by_the_minute(rank: int, folder: Path) -> Any:
    """The steps at which this rank saved, with ranks of unequal speed and nothing that holds them together."""
    ck = Checkpointer(folder, extra={"x": 1}, timeout=20, every_minutes=0.003, every_steps=150, keep_last=None)
    saved = []
    for step in range(1, 401):
        time.sleep(0.003 * (rank + 1))
        saved += [step] if ck.step(step) else []
    return saved, [one.step for one in ck.list()]


def torchdata(rank: int, folder: Path, stop: int) -> Any:
    """The batches that follow those before `stop` (0: restored); each rank has a loader of its own data."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    torch.manual_seed(rank if stop else 9)
    loader = StatefulDataLoader(list(range(100 * rank, 100 * rank + 20)), batch_size=2, shuffle=True)
    ck = Checkpointer(folder, data=loader, timeout=20)
    if not stop:
        ck.restore()
    after = []
    for count, batch in enumerate(loader, start=1):
        if count > stop:
            after.append((batch.tolist(), torch.rand(1).item()))
        if count == stop:
            ck.save(stop)
    return after


# Trainings


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(2, 8), nn.Dropout(0.2), nn.Linear(8, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        x = torch.stack([batch["i"].float() / 100, batch["x"] / 50], dim=1)
        result: torch.Tensor = self.last(self.drop(torch.relu(self.first(x))))
        return result.squeeze(1)


def train(
    rank: int,
    data: Path,
    folder: Path,
    kind: str,
    private: bool,
    stop: int | None,
    accumulate: int = 1,
    blocking: bool = True,
    dropout: bool = True,
) -> Any:
    """Two epochs; the last rank dies after `stop` steps. The job's batches and losses, and the final weights."""
    torch.manual_seed(4)
    torch.set_num_threads(1)
    net = Net()
    if not dropout:
        net.drop = nn.Identity()
    model: Any = DistributedDataParallel(net) if kind == "ddp" else net
    ranks = dist.get_world_size()
    if kind == "fsdp":
        mesh = init_device_mesh("cpu", (ranks,))
        fully_shard(net.first, mesh=mesh)
        fully_shard(net, mesh=mesh)
    torch.manual_seed(100 + rank)  # dropout differs from rank to rank
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    loader = DataLoader(data, batch_size=2, shuffle=True, num_shards=12)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "data": loader}
    ck = Checkpointer(own(folder, rank, private), **parts, every_steps=3, blocking=blocking, timeout=20)
    restored = ck.restore()
    step, trail, micro, began = restored.step, [], 0, restored.step
    for epoch in range(loader.epoch, 2):
        loader.set_epoch(epoch)
        for batch in loader:
            loss = (model(batch) - batch["x"] / 50).pow(2).mean()
            (loss / accumulate).backward()
            seen: list[Any] = [None] * ranks
            dist.all_gather_object(seen, (batch["i"].tolist(), loss.item()))
            trail += seen
            micro += 1
            if micro % accumulate == 0:
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                step += 1
                ck.step(step)
                if step == stop and rank == ranks - 1:
                    ck.wait()
                    os.kill(os.getpid(), signal.SIGKILL)
    ck.save(step)
    ck.wait()
    return began, trail, numbers(model), torch.rand(2).tolist()


def load_whole(rank: int, folder: Path) -> Any:
    """The weights of a checkpoint, sharded or not, in a model that is, or is not."""
    net = Net()
    Checkpointer(folder / "shared", model=net, timeout=20).restore(only="model")
    sharded = Net()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    ck = Checkpointer(folder / "shared", model=sharded, timeout=20)
    ck.restore(only="model")
    return numbers(net), numbers(sharded)


def private_pieces(rank: int, folder: Path) -> Any:
    net = Net()
    fully_shard(net, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    Checkpointer(own(folder, rank, True), model=net, timeout=20).save(1)


def run_block(rank: int, folder: str, start: str, code: str, stop: int | None) -> Any:
    """(the last step, the sums of the job's batches) of a page's code, stopped after `stop` micro-batches a rank."""
    os.chdir(folder)
    names: dict[str, Any] = {}
    exec(start, names)
    loss_of, sums = names["loss_of"], []

    def counting(batch: Any) -> Any:
        if stop is not None and len(sums) == stop:
            raise InterruptedError
        sums.append(int(batch["distance"].sum()))
        return loss_of(batch)

    names["loss_of"] = counting
    with contextlib.suppress(InterruptedError):
        exec(code, names)
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, sums)
    return names["step"], [one for several in gathered for one in several]
