"""Jagged tensors out of (values, offsets).

Torch's public function makes them as views, by way of Python and back, which takes three times as long as making an
object of their class. The class is not public: it is used only where a trial shows that what it makes is what the
function makes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

Make = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

public: Make = torch.nested.nested_tensor_from_jagged


@cache
def maker() -> Make:
    """What makes them. Torch imports for a second when it makes the first: not when a first batch is waited for."""
    try:
        from torch.nested._internal.nested_tensor import NestedTensor as Direct

        offsets = torch.tensor([0, 2, 2, 5], device="cpu")
        if same(Direct, torch.arange(5, device="cpu"), offsets) and same(
            Direct, torch.ones(5, 2, 3, device="cpu"), offsets.int()
        ):
            return Direct
    except Exception:  # whatever it may be in another version of torch, there is the public function
        pass
    public(torch.empty(0, device="cpu"), torch.zeros(2, dtype=torch.int64, device="cpu"))
    return public


def same(make: Make, values: torch.Tensor, offsets: torch.Tensor) -> bool:
    """Whether it makes of these what the public function does: the same object but for the memory's being a view."""
    made, wanted = make(values, offsets), public(values, offsets)
    return (
        type(made) is type(wanted)
        and made.layout is wanted.layout is torch.jagged
        and (made.dtype, made.device, made.is_leaf) == (wanted.dtype, wanted.device, wanted.is_leaf)
        and (made.shape, made.stride()) == (wanted.shape, wanted.stride())
        and made.requires_grad == wanted.requires_grad
        and _inside(made) == _inside(wanted)
        and all(map(torch.equal, made.unbind(), wanted.unbind()))
    )


def _inside(jagged: Any) -> dict[str, Any]:
    """What the object knows; of tensors, where they lie."""
    known = {name: _place(value) if isinstance(value, torch.Tensor) else value for name, value in vars(jagged).items()}
    return known | {"values": _place(jagged.values()), "offsets": _place(jagged.offsets())}


def _place(tensor: torch.Tensor) -> Any:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
