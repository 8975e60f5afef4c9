"""What one rank gives to a checkpoint, and whether what all ranks give fits together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from shardline.checkpoint.coordinator import Message
from shardline.errors import CheckpointError

_NAMED = 64


@dataclass
class CapturedState:
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
    plans: dict[str, Any] = field(default_factory=dict)
    """Plans that lie beside the checkpoints, by their names there."""
    places: dict[str, list[Any]] = field(default_factory=dict)
    """The epoch and the step of each loader whose state the ranks share."""


def about(state: Any) -> int:
    """How many bytes a state has, about: its tensors, each with what `torch.save` writes of its storage."""
    if isinstance(state, torch.Tensor):
        return 2 * state.nbytes if _is_view(state) else state.nbytes
    if isinstance(state, Mapping):
        return sum(map(about, state.values()))
    return sum(map(about, state)) if isinstance(state, list | tuple) else 0


def _is_view(tensor: torch.Tensor) -> bool:
    try:
        return tensor.untyped_storage().nbytes() > tensor.nbytes
    except (RuntimeError, NotImplementedError):  # it has none, or it is spread over ranks
        return False


def check_places(messages: list[Message]) -> None:
    """One state is saved for all ranks, so that all must have taken the same number of batches."""
    for name, place in messages[0].plain["places"].items():
        places = {rank: message.plain["places"].get(name) for rank, message in enumerate(messages)}
        if place and all(other and other[:2] == place[:2] for other in places.values()):
            if any(other != place for other in places.values()):
                odd = [rank for rank, other in places.items() if other != place][:_NAMED]
                raise CheckpointError(
                    f"the mixture of the loader {name!r} has other weights on rank {', '.join(map(str, odd))} than on "
                    "rank 0, so that a state saved now would lose rows or deliver them twice: call set_weights() on "
                    "every rank, with the same arguments and after the same step"
                )
        elif any(other != place for other in places.values()):
            lines = "".join(
                f"\n  - rank {rank}: " + ("does not know" if there is None else f"epoch {there[0]}, step {there[1]}")
                for rank, there in list(places.items())[:_NAMED]
            )
            raise CheckpointError(
                f"the ranks have taken different numbers of batches from the loader {name!r}, so that a state saved "
                f"now would lose rows or deliver them twice:{lines}\n"
                "Save when every rank has taken the same number of batches (len(loader) is the same on all), or give "
                "the loader in per_rank= if each rank goes its own way"
            )
