"""Hugging Face's Trainer over a shardline loader: a checkpoint of the Trainer holds the place in the data.

```python
class ParquetTrainer(LoaderMixin, Trainer):
    pass


args = TrainingArguments("run", num_train_epochs=3, save_steps=100)
loader = shardline.DataLoader("flights/", batch_size=256, shuffle=True)  # after TrainingArguments: it makes the ranks
ParquetTrainer(model, args, train_loader=loader).train(resume_from_checkpoint=True)
```
"""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import torch.utils.data
from transformers.trainer_callback import ExportableState, TrainerCallback

from shardline.errors import CheckpointMismatchError, ShardlineTypeError
from shardline.loader import DataLoader

_KEY = "loader_state"


class LoaderCallback(TrainerCallback, ExportableState):
    """Saves the place of the training loader in `trainer_state.json`, and takes it when the Trainer resumes.

    `LoaderMixin` adds it. Give it yourself where your Trainer has its own `get_train_dataloader`, which may then
    return `TrainLoader(loader)`.

    Raises:
        CheckpointMismatchError: At a resume, before the first batch: the checkpoint holds no place in the data, or
            the Trainer would continue at another place than the loader.
    """

    def __init__(self) -> None:
        self._loader: DataLoader | None = None
        self._trained: tuple[int, int] | None = None  # (step, epoch) after the last optimizer step

    def state(self) -> dict[str, Any]:
        """What the Trainer writes into its checkpoint. Batches that it took for a step to come are not counted."""
        if self._loader is None:
            return {"args": {}, "attributes": {}}
        state = self._loader.state_dict() if self._trained is None else self._loader.state_at(*self._trained)
        return {"args": {}, "attributes": {_KEY: state}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Loads the place that the checkpoint holds, and compares it with the Trainer's own count."""
        given = kwargs["train_dataloader"]
        self._loader = loader = given.loader if isinstance(given, TrainLoader) else given
        if not isinstance(loader, DataLoader):
            raise ShardlineTypeError(
                f"LoaderCallback needs a shardline.DataLoader to train on, not {type(loader).__name__}: give it as "
                "train_loader= to a Trainer with LoaderMixin, or return TrainLoader(loader) from get_train_dataloader()"
            )
        self._trained = None
        saved = state.stateful_callbacks.setdefault(type(self).__name__, {})
        if state.global_step:
            saved = saved[-1] if isinstance(saved, list) else saved
            self._resume(loader, saved.get("attributes", {}).get(_KEY), state.global_step, args)
            if (
                loader.remaining
                and loader.batch_index
                and (args.ignore_data_skip or not isinstance(given, TrainLoader))
            ):
                _check_unskipped(loader, args)

    def _resume(self, loader: DataLoader, saved: Mapping[str, Any] | None, done: int, args: Any) -> None:
        if saved is None:
            raise CheckpointMismatchError(
                f"the checkpoint of step {done} holds no place in the data: it was saved by a Trainer without "
                "LoaderCallback, and to resume it would repeat or leave out rows. To train on from its weights, load "
                "them into the model and call train() without resume_from_checkpoint"
            )
        length, every = len(loader), args.gradient_accumulation_steps
        epoch, updates = divmod(done, max(-(-length // every), 1))
        loader.load_state_dict(saved)
        here = (loader.epoch, loader.batch_index) if loader.remaining else (loader.epoch + 1, 0)
        if here != (epoch, updates * every) or len(loader) != length:
            raise CheckpointMismatchError(
                f"the checkpoint of step {done} stands at batch {here[1]:,} of epoch {here[0]} of the data, but the "
                f"Trainer, which counts {length:,} batches an epoch and {every} a step, would continue at batch "
                f"{updates * every:,} of epoch {epoch}. Resume with the ranks, batch size and "
                "gradient_accumulation_steps of the run that saved it (half the ranks with twice the accumulation "
                "also fit), and stop no epoch early by should_epoch_stop"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All batches that were delivered so far have been trained on."""
        if self._loader is not None:
            self._trained = self._loader.batch_index, self._loader.epoch


class TrainLoader:
    """What a Trainer may iterate over and resume: the loader's batches.

    At a resume the Trainer skips the batches of the epoch that it has trained on, by reading `dataset` from its start.
    Here the loader stands behind them already, so that `dataset` has empty ones in their place.
    """

    # Of the loader that the Trainer makes of `dataset`: batches come ready, and workers are the inner loader's own.
    batch_size = None
    num_workers = 0
    prefetch_factor = None
    drop_last = False

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader
        self.dataset = _WithoutSkipped(loader)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """As the loader's."""
        self.loader.set_epoch(epoch)

    @staticmethod
    def collate_fn(batch: Any) -> Any:
        """The batch as it is."""
        return batch


class _WithoutSkipped(torch.utils.data.IterableDataset[Any]):
    """None for each batch before the loader's place, and then the loader's batches."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        yield from repeat(None, self._loader.batch_index)
        yield from self._loader

    def __len__(self) -> int:
        """Rows, from which the Trainer makes its samples per second."""
        return self._loader.dataset.num_rows


class LoaderMixin:
    """Put before a Trainer: `class ParquetTrainer(LoaderMixin, Trainer): pass`. It trains on `train_loader`.

    Args:
        train_loader: A `shardline.DataLoader`, made after the TrainingArguments, which start the process group.
        args, kwargs: The Trainer's own; `train_dataset` stays unset.

    Raises:
        ShardlineTypeError: `train_loader` is none.
    """

    def __init__(self, *args: Any, train_loader: DataLoader, **kwargs: Any) -> None:
        if not isinstance(train_loader, DataLoader):
            raise ShardlineTypeError(f"train_loader must be a shardline.DataLoader, not {train_loader!r}")
        self._train_loader = TrainLoader(train_loader)
        super().__init__(*args, **kwargs)
        callbacks = self.callback_handler.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(one, LoaderCallback) for one in callbacks):
            self.add_callback(LoaderCallback())  # type: ignore[attr-defined]

    def get_train_dataloader(self) -> TrainLoader:
        """What the Trainer iterates over."""
        return self._train_loader


def _check_unskipped(loader: DataLoader, args: Any) -> None:
    """A Trainer that counts the rest of an epoch as if it were the whole must still end it at an optimizer step."""
    if not args.ignore_data_skip:
        raise CheckpointMismatchError(
            f"the Trainer would skip {loader.batch_index:,} batches that the loader stands behind already: return "
            "shardline.integrations.transformers.TrainLoader(loader) from get_train_dataloader(), or give "
            "TrainingArguments(ignore_data_skip=True)"
        )
    if len(loader) % args.gradient_accumulation_steps:
        raise CheckpointMismatchError(
            f"ignore_data_skip=True: the Trainer would not take the last step of the epoch that it resumes, as "
            f"{len(loader):,} batches are not a multiple of gradient_accumulation_steps="
            f"{args.gradient_accumulation_steps}. Leave ignore_data_skip at False and return "
            "shardline.integrations.transformers.TrainLoader(loader) from get_train_dataloader(): nothing is read again"
        )
