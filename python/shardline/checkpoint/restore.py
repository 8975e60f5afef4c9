"""Puts the states of a checkpoint into the parts of a training."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist

from shardline.checkpoint import rng_state
from shardline.checkpoint.coordinator import Coordinator
from shardline.checkpoint.discovery import FoundCheckpoint
from shardline.checkpoint.loader_rng import put_back_after_iter
from shardline.checkpoint.parts import RNG, Part
from shardline.errors import CheckpointError, CheckpointMismatchError


def load(
    chosen: FoundCheckpoint,
    names: Sequence[str],
    parts: dict[str, Part],
    generators: Mapping[str, rng_state.Given],
    coordinator: Coordinator,
    map_location: Any,
    *,
    strict: bool,
) -> tuple[str, ...]:
    """Loads these parts; what was left as it is, in sentences. Loaders come first: they change nothing if they fail."""
    pieces = {name: parts[name] for name in names if _in_pieces(chosen, name)}
    whole = [parts[name] for name in names if name != RNG and name not in pieces]
    states = {part.name: chosen.state(part, coordinator.rank, map_location, coordinator.beat) for part in whole}
    notes = []
    for part in sorted(whole, key=lambda part: not part.is_loader):
        state = states[part.name]
        _check_ranks(part, state, chosen)
        try:
            notes.append(_load_full(part, state, strict=strict))
        except CheckpointMismatchError as error:
            raise _with_plan(error, chosen) from error
    if pieces:
        from shardline.checkpoint import dcp

        reader = chosen.backend.pieces_reader(chosen.folder)
        dcp.load(pieces, parts, reader, chosen.path, coordinator.group, strict=strict)
    if RNG in names:
        notes += _load_generators(chosen, parts, names, states, generators, coordinator)
    return tuple(note for note in notes if note)


def _in_pieces(chosen: FoundCheckpoint, name: str) -> bool:
    return chosen.manifest.parts[name][0].startswith("sharded/")


def _load_full(part: Part, state: Any, *, strict: bool) -> str:
    """Also a checkpoint that is not sharded into a model that is."""
    if part.is_model and dist.is_available() and dist.is_initialized():
        from shardline.checkpoint import dcp

        if dcp.spread({part.name: part}):
            return dcp.load_full(part, state, strict=strict)
    return part.load(state, strict=strict)


def _check_ranks(part: Part, state: Any, chosen: FoundCheckpoint) -> None:
    """A loader that is not ours has a state for each rank, which serves the same ranks only."""
    others = part.is_loader and not (isinstance(state, Mapping) and "shardline" in state)
    if state is None or (others and chosen.manifest.ranks != chosen.ranks):
        raise CheckpointError(
            f"{part.name} was saved by {chosen.manifest.ranks} ranks, each with a state of its own, and there are "
            f"{chosen.ranks} now: shardline.DataLoader can change its ranks; or leave it out with only=(…)"
        )


def _with_plan(error: CheckpointMismatchError, chosen: FoundCheckpoint) -> CheckpointMismatchError:
    if not chosen.manifest.beside:
        return error
    plans = ", ".join(str(chosen.backend.place(name)) for name in chosen.manifest.beside)
    return CheckpointMismatchError(
        f"{error}\nThe plan that the run began with lies in {plans}: give DataLoader plan=shardline.Plan.load(…)"
    )


def _load_generators(
    chosen: FoundCheckpoint,
    parts: dict[str, Part],
    names: Sequence[str],
    states: Mapping[str, Any],
    generators: Mapping[str, rng_state.Given],
    coordinator: Coordinator,
) -> list[str]:
    state = chosen.state(None, coordinator.rank, "cpu", coordinator.beat)
    if state is None:
        saved = f"a checkpoint of {chosen.manifest.ranks} ranks"
        return [f"rank {coordinator.rank} has no random generators in {saved}: they are left as they are"]
    notes = rng_state.put(state, generators)
    for name in names:
        if name != RNG and parts[name].is_loader:
            put_back_after_iter(parts[name].target, states[name], lambda: rng_state.put(state, generators))
    return notes
