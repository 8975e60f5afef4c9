"""A training by Accelerate, and what its tests do on each rank: torchrun runs this file, `test_accelerate.py` reads it.

Each check says in how many stops of how many the resumed run was that without a stop.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState, GradientState
from frameworks import small_training as small

from shardline import DataLoader, ShardlineRuntimeError, StructuredDataset


class Training:
    """Model, optimizer and loader, prepared."""

    def __init__(self, data: Path, *, prepared=True, registered=False, accumulate=1, **options) -> None:
        AcceleratorState._reset_state()
        GradientState._reset_state()
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
        layer = small.model()
        given = small.loader(data, **options)
        things = [layer, torch.optim.Adam(layer.parameters(), 0.01), *([given] if prepared else [])]
        self.layer, self.optimizer, *adopted = self.accelerator.prepare(*things)
        assert not adopted or adopted[0] is given
        self.loader = given
        if registered:
            self.accelerator.register_for_checkpointing(given)
        self.seen: list[list[int]] = []

    def step(self, batch) -> None:
        assert batch["x"].device.type == "cpu"
        self.seen.append(batch["i"].tolist())
        with self.accelerator.accumulate(self.layer):
            self.accelerator.backward(small.loss_of(self.layer, batch))
            self.optimizer.step()
            self.optimizer.zero_grad()

    @property
    def may_save(self) -> bool:
        """Whether no gradients are held, which a checkpoint of Accelerate does not have."""
        return self.accelerator.sync_gradients

    # The loops that people write. `save(n)` is called after each batch, and (n, True) after an epoch.

    def by_epoch(self, save) -> None:
        """The README's."""
        for epoch in range(self.loader.epoch, small.EPOCHS):
            self.loader.set_epoch(epoch)
            for batch in self.loader:
                self.step(batch)
                save(self)
            save(self, "end")

    def by_steps(self, save, step=0) -> None:
        """With the step count of the caller's."""
        while step < small.EPOCHS * len(self.loader):
            self.loader.set_epoch(step // len(self.loader))
            for batch in self.loader:
                self.step(batch)
                step += 1
                save(self)
            save(self, "end")


LOOPS = {"by epoch": Training.by_epoch, "by steps": Training.by_steps}


def nothing(training, where="batch") -> None:
    pass


class Failure(Exception):
    pass


def check(data: Path, folder: Path, loop: str, **options) -> list[str]:
    """Stops, and the ones of them whose resumed run differs."""
    whole, run = Training(data, **options), LOOPS[loop]
    saved: dict[str, int] = {}

    def save(training, where="batch"):
        taken = len(training.seen)
        name = f"{where}-{taken}"
        if training.may_save and wanted(taken, len(training.loader)):
            training.accelerator.save_state(folder / name, safe_serialization=False)
            saved[name] = taken

    run(whole, save)
    wrong, steps = [], len(whole.loader)
    assert len(whole.seen) == small.EPOCHS * steps
    for name, taken in saved.items():
        resumed = Training(data, **options)
        resumed.accelerator.load_state(folder / name)
        run(resumed, nothing, *([taken] if loop == "by steps" else []))
        if resumed.seen != whole.seen[taken:] or not small.same(resumed.layer.parameters(), whole.layer.parameters()):
            wrong.append(name)
    assert saved
    # a step that fails: the last checkpoint is what there is
    failing, count = Training(data, **options), 0

    def fail(training, where="batch"):
        nonlocal count
        if training.may_save and where == "batch" and len(training.seen) <= steps + 5:
            training.accelerator.save_state(folder / "failed", safe_serialization=False)
            count = len(training.seen)
        if len(training.seen) == steps + 8:
            raise Failure

    try:
        run(failing, fail)
    except Failure:
        resumed = Training(data, **options)
        resumed.accelerator.load_state(folder / "failed")
        run(resumed, nothing, *([count] if loop == "by steps" else []))
        if resumed.seen != whole.seen[count:] or not small.same(resumed.layer.parameters(), whole.layer.parameters()):
            wrong.append("an exception")
    rows = whole.accelerator.gather_for_metrics(sum(whole.seen, []), use_gather_object=True)
    assert sorted(rows) == sorted([*range(small.ROWS)] * small.EPOCHS)
    return [f"{len(saved) + 1 - len(wrong)} of {len(saved) + 1}", *wrong]


def wanted(taken: int, steps: int) -> bool:
    """In mid-epoch, at each epoch's last batch, and around that of the first."""
    return taken in (1, steps // 2, steps - 1, steps + 1, 2 * steps + 4) or taken % steps == 0


def refused(data: Path, folder: Path) -> list[str]:
    """What would lose rows raises, and names the cure."""
    ranks, found = Accelerator(cpu=True).num_processes, []
    for config in ({}, {"dispatch_batches": True}, {"use_stateful_dataloader": True}):
        AcceleratorState._reset_state()
        accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**config))
        dataset = StructuredDataset(data, batch_size=small.BATCH)
        try:
            prepared = accelerator.prepare(torch.utils.data.DataLoader(dataset, batch_size=None))
            rows = sum((batch["i"].tolist() for batch in prepared), [])
        except ShardlineRuntimeError as error:
            found.append("Give prepare() a shardline.DataLoader" in str(error) and ranks > 1)
        else:
            found.append(ranks == 1 and rows == list(range(small.ROWS)))
        adopted = accelerator.prepare(small.loader(data))
        rows = sum((batch["i"].tolist() for batch in adopted), [])
        rows = accelerator.gather_for_metrics(rows, use_gather_object=True)
        found.append(sorted(rows) == list(range(small.ROWS)))
        try:
            next(iter(accelerator.skip_first_batches(adopted, 3)))
        except ShardlineRuntimeError as error:
            found.append("seek(step)" in str(error))
    return ["all" if all(found) and len(found) == 9 else str(found)]


def metrics(data: Path, folder: Path) -> list[str]:
    """790 rows in batches of 40 and a rest of 30; `gather_for_metrics` takes tensors of one size."""
    accelerator = Accelerator(cpu=True)
    filters = [("i", "<", 790)]
    equal = accelerator.prepare(DataLoader(data, small.BATCH, drop_last=True, filters=filters))
    rows = sum((accelerator.gather_for_metrics(batch["i"]).tolist() for batch in equal), [])
    length = small.BATCH * accelerator.num_processes
    assert len(rows) == len(set(rows)) == 790 // length * length
    every = accelerator.prepare(DataLoader(data, small.BATCH, filters=filters))
    parts = [accelerator.gather_for_metrics(batch["i"].tolist(), use_gather_object=True) for batch in every]
    assert sorted(sum(parts, [])) == list(range(790))
    return ["all"]


def early(data: Path, folder: Path) -> list[str]:
    """Two stops in one run, in one epoch; and a third run by another loop."""
    whole = Training(data)
    whole.by_epoch(nothing)
    parts, last = [], None
    for stop in (3, 4, 6):
        training = Training(data)
        if last is not None:
            training.accelerator.load_state(last)
        training.loader.set_epoch(training.loader.epoch)
        for batch in islice(training.loader, stop):
            training.step(batch)
        last = folder / f"early-{stop}"
        training.accelerator.save_state(last)
        parts += training.seen
    training = Training(data)
    training.accelerator.load_state(last)
    training.by_epoch(nothing)
    equal = parts + training.seen == whole.seen and small.same(training.layer.parameters(), whole.layer.parameters())
    return ["3 of 3" if equal else "different"]


CHECKS = {
    "prepared": lambda *at: check(*at, "by epoch"),
    "prepared, by steps": lambda *at: check(*at, "by steps"),
    "registered": lambda *at: check(*at, "by epoch", prepared=False, registered=True),
    "prepared and registered": lambda *at: check(*at, "by steps", registered=True),
    "gradients of 3 batches": lambda *at: check(*at, "by epoch", accumulate=3),
    "gradients of 2 batches, by steps": lambda *at: check(*at, "by steps", accumulate=2),
    "several stops": early,
    "what would lose rows": refused,
    "metrics": metrics,
}


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:])
    accelerator = Accelerator(cpu=True)
    results = {}
    for name, run in CHECKS.items():
        folder = out / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        results[name] = run(data, folder)
        accelerator.wait_for_everyone()
    (out / f"rank-{accelerator.process_index}.json").write_text(json.dumps(results))
    accelerator.end_training()
