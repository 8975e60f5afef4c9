"""The directory of a run's checkpoints: which there are, which are whole, which is the best, which may go.

    DIRECTORY/step-150/manifest.json model.pt optimizer.pt data.json rng_0.pt …
    DIRECTORY/plan-<digest>          the plan of a very large data set, once

A step that is saved again gets `step-150.1` and so on, and what it replaces is removed after it.
"""

import re
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from shardline.checkpoint.backend import Backend, Place
from shardline.checkpoint.manifest import NAME, Manifest
from shardline.errors import CheckpointError

_FOLDER = re.compile(r"step-(\d+)(\.\d+)?")
_READERS = 4


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that is there. `bytes`: of its files; `metrics`: as given when it was saved."""

    step: int
    epoch: int | None
    time: datetime
    metrics: dict[str, float]
    bytes: int
    path: Place


@dataclass(frozen=True)
class Best:
    """What makes a checkpoint the best: the least (`mode="min"`) or greatest of a metric."""

    monitor: str | None
    mode: Literal["min", "max"]

    def ranked(self, found: "Iterable[Found]") -> "list[Found]":
        """The best first, of equals the earlier; those without the metric, or with NaN, are none."""
        if self.monitor is None:
            return []
        sign = 1 if self.mode == "min" else -1
        measured = [one for one in found if one.metric(self.monitor) == one.metric(self.monitor)]
        return sorted(measured, key=lambda one: (sign * one.metric(self.monitor), one.manifest.serial))


@dataclass(frozen=True)
class Found:
    """A directory with a manifest that can be read."""

    backend: Backend
    folder: str
    manifest: Manifest

    @property
    def path(self) -> Place:
        """Where it is."""
        return self.backend.place(self.folder)

    def metric(self, name: str | None) -> float:
        """NaN where it has none."""
        return self.manifest.metrics.get(name or "", float("nan"))

    def public(self) -> SavedCheckpoint:
        """As `Checkpointer.list` gives it."""
        known = self.manifest
        time = datetime.fromtimestamp(known.time, UTC)
        return SavedCheckpoint(known.step, known.epoch, time, dict(known.metrics), known.bytes, self.path)


@dataclass(frozen=True)
class Contents:
    """What lies in a directory: checkpoints, the latest last, and what is wrong with the others."""

    found: list[Found]
    damaged: dict[Place, str]


def read_manifest(backend: Backend, folder: str) -> Manifest:
    """Of a checkpoint; ValueError where it is damaged, OSError where it cannot be read."""
    return Manifest.from_text(backend.read_text(folder, NAME))


def contents(backend: Backend) -> Contents:
    """What lies there; CheckpointError where it cannot be looked at."""
    found: dict[int, Found] = {}
    damaged: dict[Place, str] = {}
    for folder in sorted(_folders(backend), key=_order):
        try:
            one = Found(backend, folder, read_manifest(backend, folder))
        except (ValueError, OSError) as error:
            if _exists(backend, folder):  # or it was removed at this moment
                damaged[backend.place(folder)] = f"{backend.place(folder)}/{NAME}: {error}"
            continue
        other = found.get(one.manifest.step)
        if other is None or other.manifest.serial < one.manifest.serial:
            found[one.manifest.step] = one
    return Contents(sorted(found.values(), key=lambda one: one.manifest.serial), damaged)


def has_step(backend: Backend, step: int) -> bool:
    """Whether there is a folder for a step, whatever it holds; CheckpointError where that cannot be looked at."""
    return any(_order(folder)[0] == step for folder in _folders(backend))


def _folders(backend: Backend) -> list[str]:
    try:
        return [folder for folder in backend.folders() if _FOLDER.fullmatch(folder)]
    except OSError as error:
        raise CheckpointError(f"the checkpoints in {backend} cannot be looked at: {error}") from error


def _exists(backend: Backend, folder: str) -> bool:
    try:
        return backend.exists(folder)
    except OSError as error:
        raise CheckpointError(f"the checkpoints in {backend} cannot be looked at: {error}") from error


def _order(folder: str) -> tuple[int, int]:
    match = _FOLDER.fullmatch(folder)
    assert match is not None
    return int(match[1]), int((match[2] or ".0")[1:])


def what_is_wrong(found: Found, names: Collection[str], beat: Callable[[], None]) -> str:
    """Of these files: the first that is not as it was written, or "". Reads all of them."""
    backend, folder = found.backend, found.folder

    def check(name: str) -> str:
        place, expected = f"{found.path}/{name}", found.manifest.files[name]
        try:
            size = backend.size(folder, name)
            if size != expected.bytes:
                return f"{place} has {size:,} bytes, and was written with {expected.bytes:,}"
            if backend.written(folder, name, beat).sha256 != expected.sha256:
                return f"{place} is not as it was written: its checksum differs"
        except OSError as error:
            return f"{place} cannot be read: {error}"
        return ""

    with ThreadPoolExecutor(_READERS) as pool:
        return next((wrong for wrong in pool.map(check, names) if wrong), "")


def to_be_pruned(found: list[Found], keep_last: int | None, keep_best: int, best: Best) -> list[Found]:
    """Those that are neither among the last ones nor among the best."""
    if keep_last is None:
        return []
    kept = [*found[-keep_last:], *best.ranked(found)[:keep_best]]
    return [one for one in found if one not in kept]


def replaced(backend: Backend, by: str, step: int) -> list[str]:
    """Other directories of the same step."""
    return [folder for folder in _folders(backend) if folder != by and _order(folder)[0] == step]
