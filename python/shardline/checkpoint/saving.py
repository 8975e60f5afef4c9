"""One save, from the states that were taken to a durable directory, on all ranks.

The ranks come together first. What is the same on all is written by the first, which also writes what the others send
of their own (generators, states of loaders of theirs): small. Sharded tensors every rank writes itself.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from shardline.checkpoint import durable, layout
from shardline.checkpoint.durable import Written
from shardline.checkpoint.manifest import NAME, Manifest
from shardline.checkpoint.parts import RNG, to_bytes, to_file
from shardline.checkpoint.talk import Message, Talk
from shardline.errors import CheckpointError, ShardlineError

log = logging.getLogger("shardline")


@dataclass
class Taken:
    """What one rank saves: states by the names of parts."""

    step: int
    epoch: int | None
    metrics: Mapping[str, float]
    values: Mapping[str, Any]
    shared: dict[str, Any]
    own: dict[str, Any]
    plain: frozenset[str]
    """Parts that are written as JSON if JSON gives them back as they are."""
    sharded: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    """What lies beside the checkpoints: by its name, what writes it."""


@dataclass
class Started:
    """A directory that is being filled."""

    folder: Path
    files: dict[str, Written]
    parts: dict[str, list[str]]


class Saver:
    """Writes into one directory."""

    def __init__(self, directory: Path, talk: Talk, keep: tuple[int | None, int], best: layout.Best) -> None:
        self.directory, self._talk, self._best = directory, talk, best
        self._keep_last, self._keep_best = keep
        self._swept = False
        self._plans: set[str] = set()
        self._started = Started(directory, {}, {})
        self.corrupt: set[Path] = set()
        """Checkpoints that a restore found not to be whole: they do not count as kept."""

    def save(self, taken: Taken) -> None:
        """On every rank: durable when it returns; CheckpointError where it could not be written."""
        if not taken.sharded:
            self._together(taken, lambda started: self._end(started, taken))
            return
        self.save_pieces(taken, self.begin(taken))

    def begin(self, taken: Taken) -> Path:
        """The first half of a sharded save: where the pieces are to lie."""
        return self.directory / str(self._together(taken, self._keep_open)["folder"])

    def _together(self, taken: Taken, then: Callable[[Started], dict[str, Any]]) -> dict[str, Any]:
        own = {
            f"{name}_{self._talk.rank}": to_bytes(state, json_if_plain=name in taken.plain)
            for name, state in taken.own.items()
        }
        files = {stem + ending: data for stem, (ending, data) in own.items()}
        message = Message(
            {"own": {name: len(data) for name, data in files.items()}, "sharded": sorted(taken.sharded)},
            b"".join(files.values()),
        )
        return self._talk.round(
            f"save(step={taken.step})", message, lambda messages: then(self._write(taken, messages))
        )

    def save_pieces(self, taken: Taken, folder: Path, write: Callable[[], object] | None = None) -> None:
        """The second half: this rank's pieces, by `write` if they are under way already; then the manifest."""
        from shardline.checkpoint import sharded

        talk, error, pieces = self._talk, "", {}
        try:
            if write is None:
                sharded.save(taken.sharded, folder, talk.group)
            else:
                write()
            names = sharded.written_by(folder, talk.rank)
            pieces = {name: durable.read_back(folder / name, talk.beat) for name in names}
        except Exception as failed:  # whatever it was, the others must hear of it
            error = f"rank {talk.rank}: {failed}"
        message = Message({"pieces": pieces, "error": error})
        try:
            talk.round(f"save(step={taken.step})", message, lambda messages: self._end_pieces(taken, messages))
        except ShardlineError:
            durable.discard(folder)
            raise

    # What the first rank does

    def _write(self, taken: Taken, messages: list[Message]) -> Started:
        """Everything but sharded pieces and the manifest."""
        beat, started = self._talk.beat, None
        try:
            if not self._swept:
                durable.sweep(self.directory)
                self._swept = True
            started = Started(durable.begin(self.directory), {}, {})
            for name, state in taken.shared.items():
                ending, fill = to_file(name, state, json_if_plain=name in taken.plain)
                started.files[name + ending] = durable.write_file(started.folder / (name + ending), fill, beat)
                started.parts[name] = [name + ending]
            for message in messages:
                self._write_own(started, message)
            self._write_plans(taken)
        except (OSError, RuntimeError) as error:
            raise self._failed(taken, started, error) from error
        except BaseException:
            if started is not None:
                durable.discard(started.folder)
            raise
        self._started = started
        return started

    def _write_own(self, started: Started, message: Message) -> None:
        place = 0
        for name, size in message.plain["own"].items():
            data = message.data[place : place + size]
            started.files[name] = durable.write_file(started.folder / name, partial(_put, data), self._talk.beat)
            started.parts.setdefault(name.rpartition("_")[0], []).append(name)
            place += size

    def _write_plans(self, taken: Taken) -> None:
        """Once a process: a plan that was written by another one is not trusted unread, and written again."""
        for name, write in taken.plans.items():
            if name not in self._plans:
                write(self.directory / name)
                self._plans.add(name)

    def _keep_open(self, started: Started) -> dict[str, Any]:
        return {"folder": started.folder.name}

    def _end_pieces(self, taken: Taken, messages: list[Message]) -> dict[str, Any]:
        started = self._started
        errors = [message.plain["error"] for message in messages if message.plain["error"]]
        for message in messages:
            for name, (size, sha) in message.plain["pieces"].items():
                started.files[name] = Written(size, sha)
                if not (started.folder / name).exists():
                    errors.append(
                        f"{name} was written on another machine: sharded parts need a directory that all ranks see"
                    )
        pieces = [name for message in messages for name in message.plain["pieces"]]
        if errors:
            raise self._failed(taken, started, RuntimeError("; ".join(errors)))
        started.parts.update(dict.fromkeys(taken.sharded, pieces))
        return self._end(started, taken)

    def _end(self, started: Started, taken: Taken) -> dict[str, Any]:
        """The manifest, the name, and what may go."""
        try:
            found = layout.contents(self.directory).found
            manifest = Manifest(
                step=taken.step,
                epoch=taken.epoch,
                serial=max((one.manifest.serial for one in found), default=0) + 1,
                time=time.time(),
                ranks=self._talk.ranks,
                metrics=taken.metrics,
                values=taken.values,
                parts=started.parts,
                files=started.files,
                beside=sorted(taken.plans),
            )
            text = manifest.to_text().encode()
            durable.write_file(started.folder / NAME, lambda file: file.write(text), self._talk.beat)
            path = durable.commit(started.folder, f"step-{taken.step}")
        except (OSError, RuntimeError) as error:
            raise self._failed(taken, started, error) from error
        try:
            self._prune(path, taken.step)
        except (OSError, CheckpointError) as error:
            log.warning("older checkpoints in %s could not be removed: %s", self.directory, error)
        return {}

    def _failed(self, taken: Taken, started: Started | None, error: Exception) -> ShardlineError:
        if started is not None:
            durable.discard(started.folder)
        if isinstance(error, ShardlineError) and not isinstance(error, OSError):
            return error
        return CheckpointError(
            f"the checkpoint of step {taken.step} could not be written to {self.directory}: {error}. The earlier ones "
            "are as they were"
        )

    def _prune(self, newest: Path, step: int) -> None:
        for path in layout.replaced(self.directory, newest, step):
            durable.remove(path)
        found = layout.contents(self.directory).found
        whole = [one for one in found if one.path not in self.corrupt]
        for one in layout.to_be_pruned(whole, self._keep_last, self._keep_best, self._best):
            durable.remove(one.path)
        oldest = whole[-self._keep_last :][0].manifest.serial if self._keep_last else 0
        for one in found:
            if one.path in self.corrupt and one.manifest.serial < oldest:
                durable.remove(one.path)


def _put(data: bytes, file: durable.Writer) -> None:
    file.write(data)


def own_is_of(name: str, part: str) -> bool:
    """Whether a file is one rank's of a part that every rank has its own of."""
    return part == RNG or Path(name).stem != part
