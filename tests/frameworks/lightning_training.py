"""A training under Lightning, in the forms that the tests try."""

import logging
from pathlib import Path

import lightning as L
import torch
from frameworks import small_training as small
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities import CombinedLoader
from support.functions import identity

for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.ERROR)

QUIET = [  # Lightning's own, about what these tests do on purpose
    "ignore:.*does not have many workers.*",
    "ignore:.*`__len__` defined.*",
    "ignore:.*LeafSpec.*",
    "ignore:Be aware that when using `ckpt_path`, callbacks used to create the checkpoint.*",
    "ignore:.*fit.ckpt_path=None.* was called without a model.*",
    "ignore:.*there is no last checkpoint available.*",
    "ignore:.*Checkpoint directory .* exists.*",
    "ignore:.*litlogger.*",
    "ignore:.*isn't a good idea to use.*fork.*:DeprecationWarning",
    "error:.*delivers nothing:RuntimeWarning",
]


class Module(L.LightningModule):
    """Takes the batches of one loader."""

    def __init__(self, data: Path, **options) -> None:
        super().__init__()
        self.data, self.options = data, options
        self.layer = small.model()
        self.seen: list[list[int]] = []
        self.trained = 0  # batches whose gradients were taken

    def train_dataloader(self):
        self.loader = small.loader(self.data, **self.options)
        return self.loader

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["i"].tolist())
        loss = small.loss_of(self.layer, batch)
        self.log("loss", loss)
        return loss

    def on_after_backward(self):
        self.trained += 1

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["trained"] = self.trained

    def on_load_checkpoint(self, checkpoint):
        self.trained = checkpoint["trained"]


class Validated(Module):
    """Every validation takes all rows of this rank, in their order."""

    def __init__(self, data, **options):
        super().__init__(data, **options)
        self.rows, self.validations = [], 0

    def val_dataloader(self):
        return small.loader(self.data, shuffle=False)

    def on_validation_epoch_start(self):
        self.rows = []

    def validation_step(self, batch, batch_idx):
        self.rows += batch["i"].tolist()

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            assert len(self.rows) == small.ROWS // self.trainer.world_size
            assert self.rows == sorted(self.rows)
            self.validations += 1


class SetsEpoch(Module):
    """A line that many write, which comes after Lightning's iter()."""

    def on_train_epoch_start(self):
        self.loader.set_epoch(self.current_epoch)


class Scheduled(Module):
    """Reads the number of steps before Lightning loads a checkpoint, as OneCycleLR needs it."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10 * steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Worked(Module):
    """Its batches come from two processes."""

    def train_dataloader(self):
        self.loader = small.loader(self.data, transform=identity, num_workers=2, **self.options)
        return self.loader


class Paired(Module):
    """Two loaders, the second of 7 batches."""

    mode = "max_size_cycle"

    def __init__(self, data, **options):
        super().__init__(data, **options)
        self.beside: list[list[int] | None] = []

    def train_dataloader(self):
        short = small.loader(self.data, batch_size=37, filters=[("i", "<", 250)], shuffle_seed=7)
        assert len(short) == 7
        return CombinedLoader({"long": super().train_dataloader(), "short": short}, self.mode)

    def training_step(self, batch, batch_idx):
        self.beside.append(batch["short"] and batch["short"]["i"].tolist())
        return super().training_step(batch["long"], batch_idx)


class PairedToTheLongest(Paired):
    mode = "max_size"


class PairedToTheShortest(Paired):
    mode = "min_size"


class Data(L.LightningDataModule):
    """The loader in a DataModule."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self.data = data

    def train_dataloader(self):
        return small.loader(self.data)


class WithData(Module):
    """Its loader is that of a DataModule."""

    train_dataloader = L.LightningModule.train_dataloader


def trainer(folder: Path, callbacks=(), **options) -> L.Trainer:
    return L.Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": small.EPOCHS,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": any(isinstance(each, Checkpoint) for each in callbacks),
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            **options,
        }
    )


def fit(module: Module, folder: Path, *, ckpt=None, callbacks=(), **options) -> L.Trainer:
    """Trains it to the end, from a checkpoint if one is given."""
    run = trainer(folder, callbacks, **options)
    run.fit(module, datamodule=Data(module.data) if isinstance(module, WithData) else None, ckpt_path=ckpt)
    return run


def savers(folder: Path) -> list[ModelCheckpoint]:
    """A checkpoint of every step, and one of every epoch's end."""
    each = {"save_top_k": -1, "auto_insert_metric_name": False}
    return [
        ModelCheckpoint(folder, "step-{step:03}", every_n_train_steps=1, **each),
        ModelCheckpoint(folder, "epoch-{epoch:03}", save_on_train_epoch_end=True, **each),
    ]


def wanted(folder: Path) -> list[Path]:
    """Of these: in mid-epoch, at and around each epoch's last batch, at the run's, and all of an epoch's end."""
    steps = sorted(folder.glob("step-*.ckpt"))
    an_epoch = len(steps) // small.EPOCHS
    numbers = {1, an_epoch // 2, *(n for e in (1, 2) for n in (e * an_epoch - 1, e * an_epoch, e * an_epoch + 1))}
    numbers |= {2 * an_epoch + an_epoch // 2, 3 * an_epoch}
    return [steps[n - 1] for n in sorted(numbers - {0})] + sorted(folder.glob("epoch-*.ckpt"))


def trained(ckpt: Path) -> int:
    """The batches that its weights were trained on."""
    return torch.load(ckpt, weights_only=False)["trained"]


def differs(module: Module, whole: Module, start: int) -> list[str]:
    """What of a resumed run is not as in the run without a stop, from batch `start` on."""
    found = []
    if module.seen != whole.seen[start:]:
        again = len({tuple(batch) for batch in module.seen} & {tuple(batch) for batch in whole.seen[:start]})
        found.append(f"{len(module.seen)} batches of {len(whole.seen) - start}, {again} again")
    if isinstance(module, Paired) and module.beside != whole.beside[start:]:
        found.append("the second loader's batches")
    if not small.same(module.parameters(), whole.parameters()):
        found.append("weights")
    return found
