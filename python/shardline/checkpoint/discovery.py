"""One restore: the ranks agree on a checkpoint that is whole, load it, and hear of each other whether all could."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from shardline.checkpoint.backend import Backend, Beat, Place
from shardline.checkpoint.coordinator import Coordinator, Message
from shardline.checkpoint.directory import Best, Found, contents, read_manifest, what_is_wrong
from shardline.checkpoint.manifest import NAME, Manifest
from shardline.checkpoint.opening import directory_of, elsewhere
from shardline.checkpoint.parts import RNG, Part, from_file
from shardline.checkpoint.save import own_is_of
from shardline.errors import CheckpointError
from shardline.options.near import near

log = logging.getLogger("shardline")
_PIECE = 2**26

Which = str | int | Path
"""What is to be restored: "latest", "best", a step, or a path."""


@dataclass(frozen=True)
class Restored:
    """What `restore` did; false on a first start, where nothing was there.

    `step`: optimizer steps done. `skipped`: what was wrong with newer checkpoints, each in a sentence. `notes`: what
    was left as it is, each in a sentence. `values`: as given to `save`.
    """

    step: int = 0
    saved_epoch: int | None = 0
    path: Place | None = None
    time: datetime | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.path is not None

    @property
    def epoch(self) -> int:
        """The epoch to go on in, from 0; CheckpointError where there was neither data nor epoch= when it was saved."""
        if self.saved_epoch is None:
            raise CheckpointError(f"{self.path} says no epoch: give data= to the Checkpointer, or epoch= when you save")
        return self.saved_epoch


@dataclass(frozen=True)
class FoundCheckpoint:
    """The checkpoint that all ranks restore. `data`: its files, where this rank does not see them."""

    backend: Backend
    folder: str
    manifest: Manifest
    skipped: tuple[str, ...]
    data: dict[str, bytes]
    ranks: int
    """How many there are now."""

    @property
    def path(self) -> Place:
        """Where it is."""
        return self.backend.place(self.folder)

    def state(self, part: Part | None, rank: int, map_location: Any, beat: Beat) -> Any:
        """Of a part that is not sharded, as this rank loads it; None for what a rank of a smaller job had not."""
        name = RNG if part is None else part.name
        files = self.manifest.parts[name]
        if own_is_of(files[0], name):
            if rank >= len(files) or (part is not None and len(files) != self.ranks):
                return None
            files = files[rank : rank + 1]
        [file] = files[:1]
        source: Any = self.data.get(file)
        if source is None:
            try:
                source = self.backend.source(self.folder, file, self.manifest.files[file], beat)
            except OSError as error:
                raise CheckpointError(f"{self.path}/{file} cannot be read: {error}") from error
        return from_file(f"{self.path}/{file}", source, map_location)


class CheckpointFinder:
    """Finds a checkpoint in a directory, and sees that all ranks have it."""

    def __init__(self, backend: Backend, coordinator: Coordinator, best: Best) -> None:
        self._backend, self._coordinator, self._best = backend, coordinator, best
        self.corrupt: set[Place] = set()

    def choose(self, which: Which, names: Collection[str] | None, mine: Collection[str]) -> FoundCheckpoint | None:
        """None where there is no checkpoint yet. `names`: the parts wanted, of those that are `mine`; None: all."""
        coordinator, call = self._coordinator, _call(which)
        answer = coordinator.round(call, Message({}), lambda _: self._find(which, names, mine))
        if answer["folder"] is None:
            return None
        manifest = Manifest.from_text(answer["manifest"])
        backend = directory_of(answer["outside"], self._backend) if answer["outside"] else self._backend
        folder = answer["folder"]
        skipped = tuple(answer["skipped"])
        for one in skipped if coordinator.leads else ():
            log.warning("a checkpoint is not whole, and was passed over: %s", one)
        if coordinator.ranks == 1:
            return FoundCheckpoint(backend, folder, manifest, skipped, {}, 1)
        try:
            sees = backend.read_text(folder, NAME) == answer["manifest"]
        except (OSError, ValueError):
            sees = False
        blind = coordinator.round(call, Message({"sees": sees}), _who_is_blind)["blind"]
        wanted = [name for part in _wanted(manifest, names, mine) for name in manifest.parts[part]]
        if blind and any(name.startswith("sharded/") for name in wanted):
            raise CheckpointError(
                f"rank {blind[0]} does not see {backend.place(folder)}: sharded parts need a directory that all ranks "
                "see"
            )
        found = FoundCheckpoint(backend, folder, manifest, skipped, {}, coordinator.ranks)
        return replace(found, data=self._hand_out(found, sorted(set(wanted)))) if blind else found

    def agree(self, which: Which, error: str) -> None:
        """After the load: CheckpointError on every rank if it failed on any."""

        def judge(messages: list[Message]) -> dict[str, Any]:
            failed = {rank: one.plain["error"] for rank, one in enumerate(messages) if one.plain["error"]}
            if failed:
                rank, text = next(iter(failed.items()))
                raise CheckpointError(
                    f"{text}\n(on rank {rank}, and {len(failed) - 1} others)" if len(failed) > 1 else text
                )
            return {}

        if self._coordinator.ranks > 1:
            self._coordinator.round(f"{_call(which)}, loaded", Message({"error": error}), judge)

    # What the first rank does

    def _find(self, which: Which, names: Collection[str] | None, mine: Collection[str]) -> dict[str, Any]:
        candidates, skipped = self._candidates(which)
        for one in candidates:
            wanted = {name for part in _wanted(one.manifest, names, mine) for name in one.manifest.parts[part]}
            wrong = what_is_wrong(one, sorted(wanted), self._coordinator.beat)
            if not wrong:
                return {
                    "folder": one.folder,
                    "outside": "" if str(one.backend) == str(self._backend) else str(one.backend),
                    "manifest": one.manifest.to_text(),
                    "skipped": skipped,
                }
            self.corrupt.add(one.path)
            skipped.append(wrong)
        if skipped:
            lines = "".join(f"\n  - {one}" for one in skipped)
            raise CheckpointError(
                f"none of the checkpoints in {self._backend} is whole:{lines}\nMove them away to start afresh"
            )
        return {"folder": None}

    def _candidates(self, which: Which) -> tuple[list[Found], list[str]]:
        """(what to try, in order; what was found damaged before that)."""
        if which not in ("latest", "best") and not isinstance(which, int):
            try:
                backend, folder = elsewhere(which, self._backend)
            except OSError as error:
                raise CheckpointError(f"{which} cannot be looked at: {error}") from error
            if folder is None:
                there = contents(backend)
                if not there.found and not there.damaged:
                    raise CheckpointError(f"{backend} is no checkpoint, and holds none: give a folder with a {NAME}")
                return there.found[::-1], list(there.damaged.values())
            try:
                return [Found(backend, folder, read_manifest(backend, folder))], []
            except (ValueError, OSError) as error:
                raise CheckpointError(f"{backend.place(folder)}/{NAME}: {error}") from error
        there = contents(self._backend)
        if isinstance(which, int):
            found = [one for one in there.found if one.manifest.step == which]
            if not found:
                steps = ", ".join(str(one.manifest.step) for one in there.found) or "none"
                wrong = "".join(f"; {text}" for text in there.damaged.values())
                raise CheckpointError(f"no checkpoint of step {which} in {self._backend}: there are {steps}{wrong}")
            return found, []
        damaged = list(there.damaged.values())
        if which == "latest":
            return there.found[::-1], damaged
        return self._ranked(there.found), damaged

    def _ranked(self, found: list[Found]) -> list[Found]:
        """The best first, by this Checkpointer's metric, or by that of the newest checkpoint."""
        best = self._best
        saved = next((one.manifest.best for one in reversed(found) if one.manifest.best is not None), None)
        if best.monitor is None:
            if saved is None:
                raise CheckpointError('which="best" needs monitor=, the metric that says which is the best')
            best = Best(saved[0], "max" if saved[1] == "max" else "min")
        elif saved is not None and saved[0] == best.monitor and saved[1] != best.mode:
            log.warning(
                "the checkpoints in %s were saved with mode=%r for %r, and the best is chosen with mode=%r",
                *(self._backend, saved[1], best.monitor, best.mode),
            )
        ranked = best.ranked(found)
        if found and not ranked:
            names = sorted({name for one in found for name in one.manifest.metrics})
            there = (
                f"they have {', '.join(map(repr, names))}: give monitor= one of these" if names else "they have none"
            )
            raise CheckpointError(
                f"no checkpoint in {self._backend} was saved with the metric {best.monitor!r}"
                f"{near(best.monitor, names)}; {there}, or metrics= when you save"
            )
        return ranked

    def _hand_out(self, found: FoundCheckpoint, names: list[str]) -> dict[str, bytes]:
        """The files, from the first rank to all. All ranks are here, so that a broadcast finds them all."""
        coordinator, data = self._coordinator, {}
        cpu = "cpu:" in str(dist.get_backend_config(coordinator.group)) or dist.get_backend(coordinator.group) == "gloo"
        device = torch.device("cpu") if cpu else torch.accelerator.current_accelerator()
        leader = dist.get_process_group_ranks(coordinator.group)[0] if coordinator.group is not None else 0
        for name in names:
            expected, content = found.manifest.files[name], b""
            if coordinator.leads:
                source = found.backend.source(found.folder, name, expected, coordinator.beat)
                content = source.read_bytes() if isinstance(source, Path) else source[:]
            parts = []
            for start in range(0, expected.bytes, _PIECE):
                size = min(_PIECE, expected.bytes - start)
                if coordinator.leads:
                    piece = torch.frombuffer(bytearray(content[start : start + size]), dtype=torch.uint8).to(device)
                else:
                    piece = torch.empty(size, dtype=torch.uint8, device=device)
                dist.broadcast(piece, leader, group=coordinator.group)
                parts.append(piece.cpu().numpy().tobytes())
            data[name] = b"".join(parts)
        return data


def _call(which: Which) -> str:
    """The same on all ranks, whose paths may differ."""
    return f"restore({which!r})" if which in ("latest", "best") or isinstance(which, int) else "restore(path)"


def _who_is_blind(messages: list[Message]) -> dict[str, Any]:
    return {"blind": [rank for rank, message in enumerate(messages) if not message.plain["sees"]]}


def _wanted(manifest: Manifest, names: Collection[str] | None, mine: Collection[str]) -> list[str]:
    """The parts to load; CheckpointError where the checkpoint has one of them not."""
    wanted = [*mine, RNG] if names is None else list(names)
    missing = [name for name in wanted if name not in manifest.parts]
    if missing:
        raise CheckpointError(
            f"the checkpoint of step {manifest.step} has no {', '.join(missing)}: it has {', '.join(manifest.parts)}. "
            "Give only=(…), the names of the parts to restore"
        )
    return wanted
