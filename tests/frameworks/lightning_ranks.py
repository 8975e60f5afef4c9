"""What the tests of Lightning do on each rank: torchrun runs this file, `test_lightning_ranks.py` reads its words."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from frameworks import fabric_training as fabric
from frameworks import lightning_training as t
from frameworks import small_training as small

CASES = {
    "plain": (t.Module, {}),
    "a validation loader": (t.Validated, {}),
    "gradients of 3 batches": (t.Module, {"accumulate_grad_batches": 3}),
    "limit_train_batches": (t.Module, {"limit_train_batches": 7}),
    "a DataModule": (t.WithData, {}),
    "estimated_stepping_batches": (t.Scheduled, {}),
}


def check(case: str, data: Path, folder: Path) -> tuple[int, list[str]]:
    """The stops that were tried, and those of them whose resumed run differs."""
    made, options = CASES[case]
    options = {**options, "strategy": "ddp", "devices": 2}
    whole, wrong = made(data), []
    t.fit(whole, folder, callbacks=t.savers(folder), **options)
    steps = len(whole.seen) // small.EPOCHS
    if "limit_train_batches" not in options:
        parts = [None] * 2
        dist.all_gather_object(parts, whole.seen)
        for epoch in range(small.EPOCHS):
            rows = sum((sum(part[epoch * steps : (epoch + 1) * steps], []) for part in parts), [])
            assert sorted(rows) == list(range(small.ROWS))
    checkpoints = stops(folder)[: 6 if case == "plain" else 3]
    for ckpt in checkpoints:
        resumed = made(data)
        t.fit(resumed, folder, ckpt=ckpt, **options)
        if t.differs(resumed, whole, t.trained(ckpt)):
            wrong.append(ckpt.stem)
    return len(checkpoints), wrong


def stops(folder: Path) -> list[Path]:
    """In mid-epoch, at an epoch's last batch, at its end; and in later epochs."""
    steps = sorted(folder.glob("step-*.ckpt"))
    an_epoch = len(steps) // small.EPOCHS
    ends = sorted(folder.glob("epoch-*.ckpt"))
    return [
        steps[an_epoch // 2],
        steps[an_epoch - 1],
        ends[0],
        steps[2 * an_epoch + 1],
        steps[2 * an_epoch - 1],
        ends[1],
    ]


def on_another_number(data: Path, folder: Path) -> tuple[int, list[str]]:
    """Checkpoints of one rank, on two: each takes every second batch of what is left."""
    wrong, checkpoints = [], sorted(folder.glob("one-*.ckpt"))
    batches = json.loads((folder / "one.json").read_text())
    for ckpt in checkpoints:
        resumed = t.Module(data, num_shards=2)
        t.fit(resumed, folder, ckpt=ckpt, strategy="ddp", devices=2)
        if resumed.seen != batches[t.trained(ckpt) + dist.get_rank() :: 2]:
            wrong.append(ckpt.stem)
    return len(checkpoints), wrong


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:])
    results = {}
    for case in CASES:
        folder = out / case.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        results[case] = check(case, data, folder)
    results["checkpoints of one rank"] = on_another_number(data, out)
    for named in (True, False):
        folder = out / f"fabric-{named}"
        folder.mkdir(exist_ok=True)
        results[f"fabric, {'with' if named else 'without'} set_epoch"] = fabric.check(data, folder, 2, named)
    (out / f"rank-{dist.get_rank()}.json").write_text(json.dumps(results))
    torch.distributed.barrier()
