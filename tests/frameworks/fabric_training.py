"""A training by Fabric: a loop of one's own, whose loader Fabric wraps and counts the passes of."""

from pathlib import Path

import lightning as L
import torch
from frameworks import small_training as small


class Training:
    """Model, optimizer and loader, set up."""

    def __init__(self, data: Path, ranks: int) -> None:
        self.fabric = L.Fabric(accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto")
        self.fabric.launch()
        layer = small.model()
        self.layer, self.optimizer = self.fabric.setup(layer, torch.optim.Adam(layer.parameters(), 0.01))
        self.loader = small.loader(data)
        self.batches = self.fabric.setup_dataloaders(self.loader)
        self.seen: list[list[int]] = []

    @property
    def state(self):
        return {"model": self.layer, "optimizer": self.optimizer, "loader": self.loader}

    def step(self, batch) -> None:
        self.seen.append(batch["i"].tolist())
        self.fabric.backward(small.loss_of(self.layer, batch))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run(self, named: bool, save) -> None:
        """`named`: whether the loop sets the epoch, as the README's does; Fabric counts from 0 in every process."""
        for epoch in range(self.loader.epoch, small.EPOCHS):
            if named:
                self.loader.set_epoch(epoch)
            for batch in self.batches:
                self.step(batch)
                save(self, "batch")
            save(self, "end")


def check(data: Path, folder: Path, ranks: int, named: bool) -> tuple[int, list[str]]:
    """The stops that were tried, and those of them whose resumed run differs."""
    whole, saved = Training(data, ranks), {}

    def save(training, where):
        taken, steps = len(training.seen), len(training.loader)
        if where == "end" or taken in (1, 4, 2 * steps + 4) or taken % steps in (0, 1, steps - 1):
            saved[f"{where}-{taken}"] = taken
            training.fabric.save(folder / f"{where}-{taken}", training.state)

    whole.run(named, save)
    assert len(whole.seen) == small.EPOCHS * len(whole.loader)
    wrong = []
    for name, taken in saved.items():
        resumed = Training(data, ranks)
        resumed.fabric.load(folder / name, resumed.state)
        resumed.run(named, lambda *_: None)
        if resumed.seen != whole.seen[taken:] or not small.same(resumed.layer.parameters(), whole.layer.parameters()):
            wrong.append(name)
    return len(saved), wrong
