"""The transform of a run that is verified: digests what it is given, and can give it the same batch again."""

import copy
import random
import traceback
from typing import Any

import numpy as np
import torch

from shardline.reading.transform import Function
from shardline.verification.digest import Digests, digests

_AGAIN = 40
"""So often is the first batch given again: what happens at every tenth call, say, is seen."""


class TransformError(Exception):
    """The user's transform raised: in a line what, and then the traceback. Only text: it comes out of any process."""

    def parts(self) -> tuple[str, str]:
        """(the line, the traceback), whether it was raised here or in a worker process, which wraps it."""
        said = str(self).rpartition(f"{type(self).__name__}: ")[2]
        line, _, trace = said.partition("\n")
        return line, trace


class Recorder:
    """Called with a batch; returns (digests of what came, the result of the transform)."""

    def __init__(self, transform: Function | None, replay: bool = False) -> None:
        self._transform, self._replay = transform, replay
        self._kept: list[tuple[Any, Any]] = []
        self.replayed: list[list[Digests]] = []

    def __call__(self, batch: Any) -> tuple[Digests, Any]:
        """A batch's digests, and what the transform makes of it."""
        read = digests(batch)
        if self._transform is None:
            return read, batch
        if self._replay:
            kept = copy.deepcopy(batch)
            self._kept.append((_generators(), kept))
            self.replayed.append([])
        result = self._call(batch)
        if self._replay:
            self.replayed[-1].append(digests(result))
            self._give_again(len(self._kept) - 1)
        return read, result

    def give_all_again(self) -> None:
        """All batches, in the opposite order, and the first one many times."""
        for number in [*reversed(range(len(self._kept))), *([0] * _AGAIN if self._kept else [])]:
            self._give_again(number)

    def _give_again(self, number: int) -> None:
        generators, batch = self._kept[number]
        now = _generators()
        _set_generators(generators)
        self.replayed[number].append(digests(self._call(copy.deepcopy(batch))))
        _set_generators(now)

    def _call(self, batch: Any) -> Any:
        assert self._transform is not None
        try:
            result = self._transform(batch)
        except Exception as error:
            raise TransformError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}") from None
        if result is None:
            raise TransformError("it returned None: it must return the batch that is to be delivered")
        return result


def _generators() -> Any:
    return random.getstate(), np.random.get_state(legacy=False), torch.default_generator.get_state()


def _set_generators(states: Any) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])
