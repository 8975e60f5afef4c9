"""Random generators, as plain values and tensors: python's, numpy's, torch's, every CUDA device's, and any given ones.

>>> before = take({})
>>> drawn = random.random(), np.random.random(), torch.rand(1).item()
>>> put(before, {})
[]
>>> drawn == (random.random(), np.random.random(), torch.rand(1).item())
True
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from shardline.errors import CheckpointError, ShardlineTypeError

Given = random.Random | np.random.Generator | np.random.RandomState | torch.Generator


def check(generators: Mapping[str, Any] | None) -> dict[str, Given]:
    """The ones that a caller gave, by name."""
    for name, one in (generators or {}).items():
        if not isinstance(one, Given):
            raise ShardlineTypeError(
                f"generators[{name!r}] must be a torch.Generator, a numpy Generator or RandomState, or a "
                f"random.Random, not {one!r}"
            )
    return dict(generators or {})


def take(given: Mapping[str, Given]) -> dict[str, Any]:
    """The states of all, at this moment."""
    return {
        "python": _of_python(random.getstate()),
        "numpy": _to_plain(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "given": {name: _state_of(one) for name, one in given.items()},
    }


def put(state: Mapping[str, Any], given: Mapping[str, Given]) -> list[str]:
    """Sets all of them; what could not be set, in sentences."""
    notes = []
    random.setstate(_to_python(state["python"]))
    np.random.set_state(_to_numpy(state["numpy"]))
    torch.set_rng_state(state["torch"].cpu())
    saved, here = state["cuda"], torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, one in enumerate(saved[:here]):
        torch.cuda.set_rng_state(one.cpu(), device)
    if len(saved) != here:
        rest = "those of the others are left as they are" if here > len(saved) else "the rest has no device here"
        notes.append(
            f"the random generators of {len(saved)} CUDA devices were saved, and {here} are here: "
            f"{min(len(saved), here)} were set, {rest}"
        )
    for name, one in given.items():
        if name in state["given"]:
            _set(name, one, state["given"][name])
        else:
            notes.append(f"the generator {name!r} was not saved, and is left as it is")
    return notes


def _state_of(one: Given) -> Any:
    if isinstance(one, random.Random):
        return _of_python(one.getstate())
    if isinstance(one, torch.Generator):
        return one.get_state().cpu()
    return _to_plain(one.get_state(legacy=False) if isinstance(one, np.random.RandomState) else one.bit_generator.state)


def _set(name: str, one: Given, state: Any) -> None:
    try:
        if isinstance(one, random.Random):
            one.setstate(_to_python(state))
        elif isinstance(one, torch.Generator):
            one.set_state(state)
        elif isinstance(one, np.random.RandomState):
            one.set_state(_to_numpy(state))
        else:
            one.bit_generator.state = _to_numpy(state)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"the generator {name!r} is of another kind than the one that was saved: {error}"
        ) from error


def _of_python(state: tuple[Any, ...]) -> dict[str, Any]:
    version, words, gauss = state
    return {"version": version, "words": torch.tensor(words, device="cpu"), "gauss": gauss}


def _to_python(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["version"], tuple(state["words"].tolist()), state["gauss"]


def _to_plain(value: Any) -> Any:
    """numpy's own state does not load under weights_only: arrays become tensors."""
    if isinstance(value, Mapping):
        return {key: _to_plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return value.item() if isinstance(value, np.generic) else value


def _to_numpy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_numpy(one) for key, one in value.items()}
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value
