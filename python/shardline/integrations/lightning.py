"""Lightning's Trainer: a resume is exact from each of its checkpoints, and nothing is to be written for that.

Lightning finds `callbacks` by an entry point (pyproject.toml), and adds what it returns to every Trainer. Where no
loader of shardline is trained on, the callback does nothing. Fabric has no callbacks, and needs none.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from torch.utils._pytree import tree_leaves

from shardline.errors import ShardlineValueError
from shardline.loader import DataLoader


class LoaderState:
    """Saves and loads the places of a Trainer's loaders; a callback once it is joined to Lightning's base class.

    Lightning saves the state of each loader too. But it does not load it from a checkpoint of an epoch's end, nor where
    `trainer.estimated_stepping_batches` was read (its issue 20550). The state counts a batch as soon as it is
    delivered, though an exception may end the step that it was delivered for. And an epoch that `max_steps` or
    `should_stop` cuts short counts as done.
    """

    state_key = "shardline.LoaderState"

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package
        self._trainer: Any = None
        self._to_load: list[dict[str, Any]] = []
        self._just_loaded = False
        self._lengths: list[int] = []  # of the loaders before they were loaded here
        self._saved: list[dict[str, Any]] = []
        self._trained = -1  # the batches trained on when `_saved` was taken

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The Trainer that `state_dict` speaks of."""
        self._trainer = trainer

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Loads the places that a checkpoint has: the iterators that Lightning has made begin there."""
        states, self._to_load = self._to_load, []
        if states:
            loaders = _loaders(trainer)
            self._lengths = [len(loader) for loader in loaders]
            self._load(trainer, loaders, states)
            self._just_loaded = True
        self._keep(trainer)

    def _load(self, trainer: Any, loaders: list[DataLoader], states: list[dict[str, Any]]) -> None:
        if len(states) != len(loaders):
            raise ShardlineValueError(
                f"the checkpoint has the places of {len(states)} shardline loaders, and this training has "
                f"{len(loaders)}: give fit() the loaders that it was saved with"
            )
        for loader, state in zip(loaders, states, strict=True):
            loader.load_state_dict(state)
            loader.set_epoch(state["epoch"])  # what is left of it, or nothing: Lightning's own count goes on
            if len(loaders) > 1 and len(loader.state_dict()["legs"]) > len(state["legs"]):
                raise ShardlineValueError(
                    "Lightning cannot take an epoch of several loaders whose batches were cut anew: resume with the "
                    "batch_size and the ranks that the checkpoint was saved with"
                )
        # Lightning counts batches of one rank, of which other ranks take another number.
        count = _progress(trainer).current
        more = max(loader.batch_index for loader in loaders) - count.processed
        for name in ("ready", "started", "processed", "completed"):
            setattr(count, name, getattr(count, name) + more)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning counts an epoch's batches once, when fit() begins; they may be more or fewer in this one."""
        if loaders := _loaders(trainer):
            _progress(trainer).reset_on_run()  # Lightning does not, where a checkpoint was saved in this hook
            batches = _batches(trainer, loaders)
            if batches != trainer.num_training_batches:
                trainer.fit_loop.max_batches = batches
                if isinstance(trainer.val_check_interval, float):
                    trainer.val_check_batch = max(1, int(batches * trainer.val_check_interval))
        self._keep(trainer)

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Before the first batch after a load is trained on."""
        if not self._just_loaded:
            return
        self._just_loaded = False
        loaders, done = _loaders(trainer), _progress(trainer).current.ready
        lengths, counted = [len(loader) for loader in loaders], trainer.num_training_batches
        here = max(loader.batch_index for loader in loaders)
        if _batches(trainer, loaders) != counted or done != here or (len(loaders) > 1 and lengths != self._lengths):
            raise ShardlineValueError(
                f"Lightning counts this batch as number {done} of {counted}, and it is number {here} of {lengths}: it "
                "counts an epoch's batches before it loads the state. Resume from this checkpoint with the batch_size "
                "and the ranks that it was saved with, or from a checkpoint of an epoch's end"
            )

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """A batch was trained on."""
        self._keep(trainer)

    def _keep(self, trainer: Any) -> None:
        self._saved = [loader.state_dict() for loader in _loaders(trainer)]
        self._trained = _progress(trainer).total.processed

    def state_dict(self) -> dict[str, Any]:
        """The places as of the last batch that was trained on; after an exception that may be the last but one."""
        trainer = self._trainer
        if trainer is None or not (loaders := _loaders(trainer)):
            return {}
        batches, epochs = _progress(trainer), trainer.fit_loop.epoch_progress.current
        here = batches.total.processed == self._trained
        left = batches.current.processed < trainer.num_training_batches and not batches.is_last_batch
        return {
            "loaders": self._saved if here else [loader.state_dict() for loader in loaders],
            "cut_short": epochs.processed == epochs.started == epochs.ready > 0 and left,
        }

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """An epoch that was cut short is still to be finished."""
        if checkpoint["callbacks"].get(self.state_key, {}).get("cut_short"):
            for count in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                count["processed"] = count["completed"] = count["started"] - 1

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keeps them until there are loaders."""
        self._to_load = state["loaders"]

    def __reduce__(self) -> Any:
        """A copy in another process has nothing saved yet."""
        return make, (self._package,)


def make(package: str) -> Any:
    """The callback for a Trainer of `package`: "lightning.pytorch", or its older name "pytorch_lightning"."""
    return _joined(package)(package)


callbacks: Callable[[], Any] = functools.partial(make, "lightning.pytorch")
callbacks_of_pytorch_lightning: Callable[[], Any] = functools.partial(make, "pytorch_lightning")


@functools.cache
def _joined(package: str) -> Callable[[str], Any]:
    return type("LoaderState", (LoaderState, importlib.import_module(package).Callback), {})


def _loaders(trainer: Any) -> list[DataLoader]:
    """The loaders of shardline that it trains on, in Lightning's order."""
    return [loader for loader in tree_leaves(trainer.train_dataloader) if isinstance(loader, DataLoader)]


def _progress(trainer: Any) -> Any:
    """Lightning's count of batches."""
    return trainer.fit_loop.epoch_loop.batch_progress


def _batches(trainer: Any, loaders: list[DataLoader]) -> int:
    """The batches of the epoch that is about to begin; Lightning's own count where there are several loaders."""
    if len(tree_leaves(trainer.train_dataloader)) > 1:
        return int(trainer.num_training_batches)
    [loader], limit = loaders, trainer.limit_train_batches
    return min(len(loader), limit) if isinstance(limit, int) else int(len(loader) * limit)
