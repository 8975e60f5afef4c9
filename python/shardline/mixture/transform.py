"""Functions of the rows of single sources, as one function of a batch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from shardline.errors import ShardlineTypeError
from shardline.mixture.opening import SOURCE_KEY

Function = Callable[[Any], Any]


class SourceTransforms:
    """Applies each source's function to its rows of a batch, in the sources' order, and then that of the loader."""

    def __init__(self, functions: Mapping[int, tuple[str, Function]], then: Function | None) -> None:
        """`functions`: (name, function) by number."""
        self._functions = dict(functions)
        self._then = then

    def __call__(self, batch: Any) -> Any:
        """The batch, with the rows of some sources replaced."""
        if not isinstance(batch, dict):
            raise ShardlineTypeError("transform= of a Source needs batches of tensors or arrays: give it to the loader")
        for number, (name, function) in self._functions.items():
            rows = batch[SOURCE_KEY] == number
            if not rows.any():
                continue
            for key, value in batch.items():
                if not isinstance(value, (torch.Tensor, np.ndarray)) or getattr(value, "is_nested", False):
                    raise ShardlineTypeError(
                        f"transform= of source {name!r} takes some rows of a batch, and {key!r} is no tensor that they "
                        "can be taken of: give transform= to the loader"
                    )
            made = function({key: value[rows] for key, value in batch.items() if key != SOURCE_KEY})
            _put(batch, rows, made, name)
        return batch if self._then is None else self._then(batch)


def _put(batch: dict[str, Any], rows: Any, made: Any, name: str) -> None:
    if not isinstance(made, dict) or set(made) != set(batch) - {SOURCE_KEY}:
        raise ShardlineTypeError(f"transform= of source {name!r} must return a dict with the keys that it was given")
    for key, value in made.items():
        before = batch[key]
        part = before[rows]
        if type(value) is not type(before) or value.shape != part.shape or value.dtype != before.dtype:
            raise ShardlineTypeError(
                f"transform= of source {name!r} made {key!r} of another shape or type, and rows of all sources stand "
                f"in one batch: {getattr(value, 'dtype', type(value))} {tuple(getattr(value, 'shape', ()))}, for "
                f"{before.dtype} {tuple(part.shape)}"
            )
        before[rows] = value
