"""One save, from the states that were taken to a durable directory, on all ranks.

The ranks come together first. What is the same on all is written by the first, which also writes what the others send
of their own (generators, states of loaders of theirs): small. Sharded tensors every rank writes itself.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from shardline.checkpoint import atomic_write
from shardline.checkpoint.atomic_write import Written
from shardline.checkpoint.backend import Backend, Pending, Place
from shardline.checkpoint.captured_state import CapturedState, about, check_places
from shardline.checkpoint.coordinator import Coordinator, Message
from shardline.checkpoint.directory import Best, contents, has_step, replaced, to_be_pruned
from shardline.checkpoint.manifest import Manifest
from shardline.checkpoint.parts import RNG, to_bytes, to_file
from shardline.errors import CheckpointError, ShardlineError

log = logging.getLogger("shardline")


@dataclass
class Started:
    """A checkpoint that is being written."""

    pending: Pending
    messages: list[Message]
    """What the ranks gave to it."""
    files: dict[str, Written] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)


class Saver:
    """Writes into one directory."""

    def __init__(self, backend: Backend, coordinator: Coordinator, keep: tuple[int | None, int], best: Best) -> None:
        self.backend, self._coordinator, self._best = backend, coordinator, best
        self._keep_last, self._keep_best = keep
        self._plans: set[str] = set()
        self._started: Started | None = None
        self.latest: int | None = None
        """The step that was saved or restored last."""
        self.corrupt: set[Place] = set()
        """Checkpoints that a restore found not to be whole: they do not count as kept."""

    def save(self, taken: CapturedState) -> None:
        """On every rank: durable when it returns; CheckpointError where it could not be written."""
        with self.backend.session():
            if not taken.sharded:
                self._together(taken, lambda started: self._end(self._write(started, taken), taken))
                return
            self.save_pieces(taken, self.begin(taken))

    def begin(self, taken: CapturedState) -> Pending:
        """The first half of a sharded save: where the pieces are to lie."""
        with self.backend.session():
            name = str(self._together(taken, self._keep_open)["folder"])
        if self._coordinator.leads and self._started is not None:
            return self._started.pending
        return self.backend.join(name, about(taken.sharded))

    def _begin(self, taken: CapturedState, messages: list[Message]) -> Started:
        try:
            return Started(self.backend.begin(taken.step, about([taken.shared, taken.sharded])), messages)
        except (OSError, RuntimeError) as error:
            raise self._failed(taken, None, error) from error

    def _together(self, taken: CapturedState, then: Callable[[Started], dict[str, Any]]) -> dict[str, Any]:
        own = {
            f"{name}_{self._coordinator.rank}": to_bytes(state, json_if_plain=name in taken.plain)
            for name, state in taken.own.items()
        }
        files = {stem + ending: data for stem, (ending, data) in own.items()}
        message = Message(
            {
                "own": {name: len(data) for name, data in files.items()},
                "sharded": sorted(taken.sharded),
                "places": taken.places,
            },
            b"".join(files.values()),
        )

        def decide(messages: list[Message]) -> dict[str, Any]:
            check_places(messages)
            if not taken.sharded and self._is_saved(taken, messages):
                return {}
            return then(self._begin(taken, messages))

        return self._coordinator.round(f"save(step={taken.step})", message, decide)

    def save_pieces(self, taken: CapturedState, pending: Pending, write: Callable[[], object] | None = None) -> None:
        """The second half: this rank's pieces, by `write` if they are under way already; then the manifest."""
        with self.backend.session():
            self._save_pieces(taken, pending, write)

    def _save_pieces(self, taken: CapturedState, pending: Pending, write: Callable[[], object] | None) -> None:
        from shardline.checkpoint import dcp

        coordinator, error, pieces = self._coordinator, "", {}
        try:
            if coordinator.leads and self._started is not None:
                self._write(self._started, taken)
            if write is None:
                dcp.save(taken.sharded, pending, coordinator.group)
            else:
                write()
            pieces = pending.pieces(coordinator.rank, coordinator.beat)
        except Exception as failed:  # whatever it was, the others must hear of it
            error = f"rank {coordinator.rank}: {failed}"
        message = Message({"pieces": pieces, "error": error})
        try:
            coordinator.round(f"save(step={taken.step})", message, lambda messages: self._end_pieces(taken, messages))
        except ShardlineError:
            pending.discard()
            raise

    # What the first rank does

    def _write(self, started: Started, taken: CapturedState) -> Started:
        """Everything but sharded pieces and the manifest."""
        beat = self._coordinator.beat
        try:
            for name, state in taken.shared.items():
                ending, fill = to_file(name, state, json_if_plain=name in taken.plain)
                started.files[name + ending] = started.pending.write(name + ending, fill, beat)
                started.parts[name] = [name + ending]
            for message in started.messages:
                self._write_own(started, message)
            self._write_plans(taken)
        except (OSError, RuntimeError) as error:
            raise self._failed(taken, started, error) from error
        except BaseException:
            started.pending.discard()
            raise
        return started

    def _is_saved(self, taken: CapturedState, messages: list[Message]) -> bool:
        """Whether the latest checkpoint is of this step, and every file of it would be the same byte for byte.

        As where `step` saved, and the loop ended with it, and `save` comes after the loop.
        """
        beat = self._coordinator.beat
        try:
            # Most saves are of a new step: then no manifest is read.
            found = contents(self.backend).found if has_step(self.backend, taken.step) else []
        except CheckpointError:  # to write there says what is wrong
            return False
        latest = found[-1].manifest if found else None
        told = (taken.step, taken.epoch, dict(taken.metrics), dict(taken.values), self._coordinator.ranks)
        if (
            latest is None
            or found[-1].path in self.corrupt
            or told != (latest.step, latest.epoch, dict(latest.metrics), dict(latest.values), latest.ranks)
        ):
            return False
        files: dict[str, Written] = {}
        for message in messages:
            place = 0
            for name, size in message.plain["own"].items():
                files[name] = atomic_write.as_written(partial(_put, message.data[place : place + size]), beat)
                place += size
        for name, state in taken.shared.items():
            ending, fill = to_file(name, state, json_if_plain=name in taken.plain)
            files[name + ending] = atomic_write.as_written(fill, beat)
        try:
            sizes = {name: self.backend.size(found[-1].folder, name) for name in files}
        except OSError:
            return False
        return files == dict(latest.files) and all(sizes[name] == size for name, (size, _) in files.items())

    def _write_own(self, started: Started, message: Message) -> None:
        place = 0
        for name, size in message.plain["own"].items():
            data = message.data[place : place + size]
            started.files[name] = started.pending.write(name, partial(_put, data), self._coordinator.beat)
            started.parts.setdefault(name.rpartition("_")[0], []).append(name)
            place += size

    def _write_plans(self, taken: CapturedState) -> None:
        """Once a process: a plan that was written by another one is not trusted unread, and written again."""
        for name, plan in taken.plans.items():
            if name not in self._plans:
                self.backend.write_beside(name, plan)
                self._plans.add(name)

    def _keep_open(self, started: Started) -> dict[str, Any]:
        self._started = started
        return {"folder": started.pending.name}

    def _end_pieces(self, taken: CapturedState, messages: list[Message]) -> dict[str, Any]:
        started = self._started
        assert started is not None
        errors = [message.plain["error"] for message in messages if message.plain["error"]]
        for message in messages:
            for name, (size, sha) in message.plain["pieces"].items():
                started.files[name] = Written(size, sha)
        if not errors:
            errors = [
                f"{name} was written on another machine: sharded parts need a directory that all ranks see"
                for name in started.pending.missing(started.files)
            ]
        pieces = [name for message in messages for name in message.plain["pieces"]]
        if errors:
            raise self._failed(taken, started, RuntimeError("; ".join(errors)))
        started.parts.update(dict.fromkeys(taken.sharded, pieces))
        return self._end(started, taken)

    def _end(self, started: Started, taken: CapturedState) -> dict[str, Any]:
        """The manifest, the name, and what may go."""
        try:
            found = contents(self.backend).found
            manifest = Manifest(
                step=taken.step,
                epoch=taken.epoch,
                serial=max((one.manifest.serial for one in found), default=0) + 1,
                time=time.time(),
                ranks=self._coordinator.ranks,
                metrics=taken.metrics,
                values=taken.values,
                parts=started.parts,
                files=started.files,
                beside=sorted(taken.plans),
                best=None if self._best.monitor is None else (self._best.monitor, self._best.mode),
            )
            text = manifest.to_text().encode()
            folder = started.pending.commit(taken.step, text, started.files, self._coordinator.beat)
            self.latest = taken.step
        except (OSError, RuntimeError) as error:
            raise self._failed(taken, started, error) from error
        except BaseException:
            started.pending.discard()
            raise
        try:
            self._prune(folder, taken.step)
        except (OSError, CheckpointError) as error:
            log.warning("older checkpoints in %s could not be removed: %s", self.backend, error)
        return {}

    def _failed(self, taken: CapturedState, started: Started | None, error: Exception) -> ShardlineError:
        if started is not None:
            started.pending.discard()
        if isinstance(error, ShardlineError) and not isinstance(error, OSError):
            return error
        why = str(error)
        if isinstance(error, FileNotFoundError) and error.filename and Path(str(self.backend)).is_dir():
            why = (
                f"{error.filename} was removed while it was written, by another process that saves there too, perhaps: "
                "give each run a directory of its own"
            )
        latest = "" if self.latest is None else f"; the latest is of step {self.latest}"
        return CheckpointError(
            f"the checkpoint of step {taken.step} could not be written to {self.backend}: {why}. The earlier ones "
            f"are as they were{latest}"
        )

    def _prune(self, newest: str, step: int) -> None:
        backend = self.backend
        for folder in replaced(backend, newest, step):
            backend.remove(folder)
        found = contents(backend).found
        whole = [one for one in found if one.path not in self.corrupt]
        for one in to_be_pruned(whole, self._keep_last, self._keep_best, self._best):
            backend.remove(one.folder)
        oldest = whole[-self._keep_last :][0].manifest.serial if self._keep_last else 0
        for one in found:
            if one.path in self.corrupt and one.manifest.serial < oldest:
                backend.remove(one.folder)


def _put(data: bytes, file: atomic_write.Writer) -> None:
    file.write(data)


def own_is_of(name: str, part: str) -> bool:
    """Whether a file is one rank's of a part that every rank has its own of."""
    return part == RNG or Path(name).stem != part
