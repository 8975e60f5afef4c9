"""States as they are written: plain containers, plain values and tensors, which `torch.load(weights_only=True)` reads.

>>> tidy({"lr": 0.1, "betas": (0.9, 0.95)}, "optimizer")
{'lr': 0.1, 'betas': (0.9, 0.95)}
>>> tidy({"hook": print}, "scheduler")
Traceback (most recent call last):
    ...
shardline.ShardlineTypeError: scheduler['hook'] is a builtin_function_or_method, which torch.load(weights_only=True)
would not read: ...
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from shardline.errors import ShardlineTypeError

_PLAIN = (bool, int, float, str, bytes, complex, type(None), torch.dtype, torch.device, torch.Size)

OnTensor = Callable[[str, torch.Tensor], torch.Tensor]
"""What becomes of the tensor that stands at a place of a state."""


def tidy(state: Any, where: str, on_tensor: OnTensor | None = None) -> Any:
    """A state, its containers copied, each tensor as `on_tensor` leaves it.

    ShardlineTypeError names the place of what could not be read again.
    """
    kind = type(state)
    if isinstance(state, torch.Tensor):
        return (on_tensor or _compact)(where, state.detach())
    if kind in _PLAIN:
        return state
    if kind in (dict, OrderedDict):
        copy = kind((key, tidy(value, f"{where}[{key!r}]", on_tensor)) for key, value in state.items())
        if kind is OrderedDict:  # torch keeps a module's versions in an attribute, `_metadata`
            copy.__dict__.update(tidy(state.__dict__, where, on_tensor))
        return copy
    if kind in (list, tuple):
        return kind(tidy(value, f"{where}[{i}]", on_tensor) for i, value in enumerate(state))
    if isinstance(state, np.generic) and state.dtype.kind in "biufc":
        return state.item()
    if not _readable(state):
        raise ShardlineTypeError(
            f"{where} is a {kind.__name__}, which torch.load(weights_only=True) would not read: let state_dict() "
            "return dicts, lists, numbers, strings and tensors"
        )
    return state


def _compact(_: str, tensor: torch.Tensor) -> torch.Tensor:
    """torch.save writes a tensor's whole storage, though it be a slice of a large one."""
    if tensor.layout is torch.strided and tensor.untyped_storage().nbytes() > 2 * tensor.nbytes:
        return tensor.clone()
    return tensor


def _readable(value: Any) -> bool:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError):
        return False
    return True


def is_json(value: Any) -> bool:
    """Whether JSON gives it back as it is."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(type(key) is str and is_json(one) for key, one in value.items())
    if kind is list:
        return all(map(is_json, value))
    return kind in (bool, int, str, type(None))


class Copier:
    """Copies states into memory of its own, which the next copy uses again where the tensors have kept their shapes.

    One copy at a time: what is copied is no longer that of the copy before.
    """

    def __init__(self) -> None:
        self._kept: dict[str, torch.Tensor] = {}

    def copy(self, states: dict[str, Any]) -> dict[str, Any]:
        """The states on the CPU; tied tensors stay one."""
        old, self._kept = self._kept, {}
        seen: dict[tuple[Any, ...], torch.Tensor] = {}
        devices = set()

        def on_tensor(where: str, tensor: torch.Tensor) -> torch.Tensor:
            if tensor.layout is not torch.strided:
                return tensor.cpu().clone()
            same = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if tensor.numel() and same in seen:
                return seen[same]
            copy = old.get(where)
            if copy is None or (copy.shape, copy.dtype, copy.stride()) != (tensor.shape, tensor.dtype, tensor.stride()):
                pinned = tensor.device.type == "cuda"
                copy = torch.empty_like(tensor, device="cpu", pin_memory=pinned)
            copy.copy_(tensor, non_blocking=True)
            if tensor.device.type != "cpu":
                devices.add(tensor.device)
            seen[same] = self._kept[where] = copy
            return copy

        copied = {name: tidy(state, name, on_tensor) for name, state in states.items()}
        for device in devices:
            torch.accelerator.synchronize(device)
        return copied
