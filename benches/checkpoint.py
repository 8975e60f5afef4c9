"""How long a training loop stands still for a checkpoint: blocking, and in the background.

A model of --mebibytes with AdamW (so three times as much is saved) takes steps; every few of them one is followed by a
save. What is timed is `ck.save` alone, and, for the background, also the steps that run while the thread writes, beside
steps that run alone. The ways are interleaved, and medians reported, for the machine is not this program's alone.

    python benches/checkpoint.py [--mebibytes 200] [--rounds 7] [--dir DIR]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import shardline

WIDTH = 1024
WAYS = ("torch.save, by hand", "blocking", "in the background")


def build(mebibytes: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    layers = max(1, mebibytes * 2**20 // (4 * WIDTH * WIDTH))
    model = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers)))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=WIDTH**-0.5)  # so that numbers keep their size through all layers
    return model, torch.optim.AdamW(model.parameters(), lr=1e-4)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    began = time.perf_counter()
    model(torch.randn(64, WIDTH)).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=200, help="of the model's weights")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dir", type=Path, help="where the checkpoints are written; a temporary place by default")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.dir))
    try:
        measure(folder, options.mebibytes, options.rounds)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, mebibytes: int, rounds: int) -> None:
    model, optimizer = build(mebibytes)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer}
    savers = {
        "blocking": shardline.Checkpointer(folder / "blocking", **parts, keep_last=1),
        "in the background": shardline.Checkpointer(folder / "background", **parts, keep_last=1, blocking=False),
    }
    stopped: dict[str, list[float]] = {way: [] for way in WAYS}
    alone: list[float] = []
    beside: list[float] = []
    durable: list[float] = []
    for number in range(rounds + 1):  # the first warms up: the background's memory is made then
        for way in WAYS:
            alone += [step(model, optimizer) for _ in range(3)]
            began = time.perf_counter()
            if way in savers:
                savers[way].save(number)
            else:
                torch.save({name: part.state_dict() for name, part in parts.items()}, folder / "by-hand.pt")
            stopped[way].append(time.perf_counter() - began)
            if way == "in the background":
                while savers[way]._background.busy:
                    beside.append(step(model, optimizer))
                savers[way].wait()
                durable.append(time.perf_counter() - began)
        if number == 0:
            for times in (*stopped.values(), alone, beside, durable):
                times.clear()
    size = savers["blocking"].list()[-1].bytes
    print(f"{size / 2**20:,.0f} MiB a checkpoint, {rounds} rounds, torch {torch.__version__}, in {folder.parent}")
    print("seconds that the loop stands still, median (least - most):")
    for way, times in stopped.items():
        print(f"  {way:22}{statistics.median(times):8.3f}   ({min(times):.3f} - {max(times):.3f})")
    print(f"in the background it is durable after {statistics.median(durable):.2f} s;")
    one, other = (1e3 * statistics.median(times) for times in (alone, beside))
    print(f"a step takes {one:.0f} ms alone, {other:.0f} ms meanwhile")
    ratio = statistics.median(stopped["blocking"]) / statistics.median(stopped["in the background"])
    print(f"blocking / background: {ratio:.1f}")


if __name__ == "__main__":
    main()
