"""`Checkpointer`: the whole state of a training, saved at once and restored in one line."""

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from shardline.checkpoint import rng_state
from shardline.checkpoint.accumulation import AccumulationCheck
from shardline.checkpoint.async_save import AsyncSave
from shardline.checkpoint.capture import StateCapture
from shardline.checkpoint.coordinator import Coordinator, check_group
from shardline.checkpoint.directory import Best, Found, SavedCheckpoint, contents
from shardline.checkpoint.discovery import CheckpointFinder, Restored, Which
from shardline.checkpoint.opening import open_directory
from shardline.checkpoint.parts import RNG, make_parts
from shardline.checkpoint.restore import load
from shardline.checkpoint.save import Saver
from shardline.checkpoint.schedule import SaveClock, Schedule
from shardline.checkpoint.signals import EXIT_CODE, SignalWatcher
from shardline.errors import CheckpointError, ShardlineError, ShardlineTypeError, ShardlineValueError
from shardline.options import validate
from shardline.options.storage import is_remote

log = logging.getLogger("shardline")


class Checkpointer:
    """Saves model, optimizer, scheduler, scaler, random generators and the place in the data, and restores all of it.

    `directory`: one a run, a path or the URL of a store (with `storage_options`, as for reading); each checkpoint is a
    folder in it. `model`, `optimizer`, `scheduler`, `scaler`, `data`, and
    any other name (`ema=…`, `critic=…`): an object with state_dict and load_state_dict, or a dict of plain values,
    which `restore` changes in place; `extra` is the usual name for one. `keep_last`: checkpoints kept (None: all),
    beside the `keep_best` with the least (`mode="min"`) or greatest metric `monitor`. `every_steps`, `every_minutes`,
    `every_epochs`: when `step` saves. `generators`: random generators of your own, by name; python's, numpy's and
    torch's are always saved. `per_rank`: parts of which every rank has its own. `blocking=False`: written by a thread,
    from a copy. `on_error="warn"`: a save that fails does not end the training. `signals`: after one of these, `step`
    saves and raises SystemExit(`exit_code`); `grace`: seconds from it to the end of the process. In a process group,
    every rank makes it and calls its methods; `timeout`: seconds that one waits for another.

    Raises ShardlineTypeError or ShardlineValueError, naming the argument.

    >>> import tempfile, torch
    >>> model = torch.nn.Linear(1, 1)
    >>> ck = Checkpointer(tempfile.mkdtemp(), model=model, every_steps=10)
    >>> r = ck.restore()
    >>> bool(r), r.step, r.epoch
    (False, 0, 0)
    >>> [step for step in range(1, 31) if ck.step(step)]
    [10, 20, 30]
    >>> ck.restore(20).step
    20
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        storage_options: Mapping[str, Any] | None = None,
        model: Any = None,
        optimizer: Any = None,
        scheduler: Any = None,
        scaler: Any = None,
        data: Any = None,
        extra: Any = None,
        keep_last: int | None = 3,
        keep_best: int = 1,
        monitor: str | None = "val_loss",
        mode: Literal["min", "max"] = "min",
        every_steps: int | None = None,
        every_minutes: float | None = None,
        every_epochs: int | None = None,
        generators: Mapping[str, rng_state.Given] | None = None,
        per_rank: Mapping[str, Any] | None = None,
        blocking: bool = True,
        on_error: Literal["raise", "warn"] = "raise",
        signals: Iterable[int] = (),
        grace: float | None = None,
        exit_code: int = EXIT_CODE,
        process_group: Any = None,
        timeout: float = 300,
        **parts: Any,
    ) -> None:
        backend = open_directory(directory, storage_options)
        usual = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler, "data": data}
        own = make_parts(dict(per_rank or {}), own=True)
        known = inspect.signature(Checkpointer).parameters
        self._parts = {**make_parts({**usual, "extra": extra, **parts}, known=known), **own}
        self._data = next((part for part in self._parts.values() if part.is_loader), None)
        self._blocking = validate.check_bool("blocking", blocking)
        self._on_error = validate.check_choice("on_error", on_error, ("raise", "warn"))
        self._exit_code = validate.check_int("exit_code", exit_code, 0, 255)
        keep = (
            None if keep_last is None else validate.check_int("keep_last", keep_last, 1, 2**31),
            validate.check_int("keep_best", keep_best, 0, 2**31),
        )
        best = Best(monitor, "min" if validate.check_choice("mode", mode, ("min", "max")) == "min" else "max")
        schedule = Schedule(every_steps, every_minutes, every_epochs)
        if every_epochs is not None and self._completed() is None:
            raise ShardlineValueError(
                "every_epochs needs a shardline loader as data=, which knows where an epoch ends: call save() there"
            )
        check_group()
        self._coordinator = Coordinator(process_group, sorted(self._parts), validate.check_seconds("timeout", timeout))
        self._backend = backend
        self._saver = Saver(backend, self._coordinator, keep, best)
        self._chooser = CheckpointFinder(backend, self._coordinator, best)
        self._generators = rng_state.check(generators)
        self._taker = StateCapture(self._parts, self._generators, self._coordinator, self._data)
        self._background = AsyncSave()
        grace = None if grace is None else validate.check_seconds("grace", grace)
        self._preemption = SignalWatcher(signals, grace, backend.stop_after)
        self._clock = SaveClock(schedule, self._coordinator, signals=self._preemption.watches)
        self._clock.begin(self._completed())
        self._windows = AccumulationCheck(self._parts, self._data)

    # Saving

    def step(
        self,
        step: int,
        *,
        metrics: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        epoch: int | None = None,
    ) -> bool:
        """To be called after each optimizer step: saves if a checkpoint is due. Returns whether it did.

        `step`: how many optimizer steps were done. The other arguments and the errors are those of `save`. After a
        signal (`signals=`) it saves and raises SystemExit.
        """
        save, end = self._clock.due(step, self._completed(), self._preemption.came is not None)
        if not save:
            return False
        saved = False
        try:
            saved = self.save(step, metrics=metrics, values=values, epoch=epoch)
            if end:
                self.wait()
        except CheckpointError as error:
            if not (end and self._preemption.is_over):
                raise
            # the job is to be run again all the same: the checkpoint before is there
            log.error("%s (grace=%g seconds after %s)", error, self._preemption.grace, self._preemption.came)
        if end:
            self._preemption.ignore()  # a second one would change the exit status
            self.close()
            sys.exit(self._exit_code)
        return saved

    def save(
        self,
        step: int,
        *,
        metrics: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        epoch: int | None = None,
    ) -> bool:
        """Saves now. Returns whether it did: False where it failed and `on_error="warn"`.

        `metrics`: numbers, by name. `values`: plain values (what JSON takes), given back by `restore`. `epoch`: where
        no loader says it. A checkpoint of this step is replaced.

        CheckpointError where it could not be written: the earlier ones are as they were. ShardlineRuntimeError between
        two micro-batches, whose gradients would be lost, and where the ranks do not save the same step;
        RankTimeoutError where one does not come. With `blocking=False`, the error of the save before.
        """
        self.wait()
        self._windows.check()
        self._clock.saved()  # where it fails, it is tried again when the next is due
        try:
            taken = self._taker.take(step, epoch, metrics or {}, values or {}, copied=not self._blocking)
            if self._blocking:
                self._saver.save(taken)
            else:
                self._background.start(self._taker.writing(self._saver, taken))
        except CheckpointError as error:
            self._complain(error)
            return False
        return True

    def wait(self) -> None:
        """Until a save in the background is durable; its CheckpointError, if it failed."""
        try:
            self._background.wait()
        except CheckpointError as error:
            self._complain(error)

    def _complain(self, error: CheckpointError) -> None:
        if self._on_error == "raise":
            raise error
        warnings.warn(f"{error}. The training goes on (on_error='warn')", RuntimeWarning, stacklevel=3)

    # Restoring

    def restore(
        self,
        which: Which = "latest",
        *,
        only: Iterable[str] | None = None,
        map_location: Any = None,
        strict: bool = True,
    ) -> Restored:
        """Puts everything back, from "latest" (what was saved last), "best", a step, or a path.

        Always returns an object, false where there was no checkpoint yet. A checkpoint that is not whole is passed
        over, with a warning in the log, for the one before. `only`: names of parts, of which "rng" are the generators;
        without it, all. `map_location`: torch.load's; tensors then go where the parts are, so that it is seldom needed.
        `strict=False`: model keys that differ are left out, and named in `notes`.

        CheckpointError where checkpoints are there but none is whole, or where one does not fit;
        CheckpointMismatchError where the data does not.
        """
        self.wait()
        if isinstance(which, bool) or not isinstance(which, str | int | os.PathLike):
            raise ShardlineTypeError(f'which must be "latest", "best", a step or a path, not {which!r}')
        if isinstance(which, os.PathLike):
            which = os.fspath(which) if is_remote(os.fspath(which)) else Path(which)
        wanted = None if only is None else [only] if isinstance(only, str) else list(only)
        for name in wanted or ():
            if name not in self._parts and name != RNG:
                raise ShardlineValueError(f"only= names {name!r}: the parts are {', '.join([*self._parts, RNG])}")
        with self._backend.session():
            return self._restore(which, wanted, map_location, strict=strict)

    def _restore(self, which: Which, wanted: "list[str] | None", map_location: Any, *, strict: bool) -> Restored:
        chosen = self._chooser.choose(which, wanted, self._parts)
        self._saver.corrupt |= self._chooser.corrupt
        if chosen is None:
            return Restored()
        self._saver.latest = chosen.manifest.step
        names = [*self._parts, RNG] if wanted is None else wanted
        failed: ShardlineError | None = None
        notes: tuple[str, ...] = ()
        try:
            notes = load(chosen, names, self._parts, self._generators, self._coordinator, map_location, strict=strict)
        except ShardlineError as error:
            failed = error
        try:
            self._chooser.agree(which, "" if failed is None else str(failed))
        except CheckpointError:
            if failed is None:
                raise
        if failed is not None:
            raise failed
        self._windows.stepped()
        self._clock.begin(self._completed())
        known, position = chosen.manifest, None
        if self._data is not None and self._data.name in names:
            position = self._data.position
        return Restored(
            step=known.step,
            saved_epoch=known.epoch if position is None else position[0],
            path=chosen.path,
            time=Found(chosen.backend, chosen.folder, known).public().time,
            metrics=dict(known.metrics),
            values=dict(known.values),
            skipped=chosen.skipped,
            notes=notes,
        )

    def list(self) -> "list[SavedCheckpoint]":
        """The checkpoints that this process sees, in the order in which they were saved."""
        with self._backend.session():
            return [one.public() for one in contents(self._backend).found]

    def close(self) -> None:
        """Waits for a save in the background; signals do again what they did before."""
        self.wait()
        self._preemption.close()
        self._windows.close()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        ranks = f"rank {self._coordinator.rank} of {self._coordinator.ranks}"
        return f"Checkpointer({str(self._backend)!r}: {', '.join(self._parts)}; {ranks})"

    def _completed(self) -> int | None:
        """How many epochs are complete, where the data knows."""
        position = self._data.position if self._data is not None else None
        if position is None:
            return None
        epoch, index, remaining = position
        return epoch + (remaining == 0 and index > 0)
