"""A checkpoint between two micro-batches would lose the gradients that were accumulated: it is refused.

Where the data stood at the last optimizer step is noted by a hook. What was delivered since, with gradients that are
not zero, is a window of accumulation in the midst. A GradScaler that skips a step for infinite gradients ends its
window too.
"""

from collections.abc import Callable
from typing import Any

import torch

from shardline.checkpoint.parts import Part
from shardline.errors import ShardlineRuntimeError

Position = tuple[int, int, int] | None


class AccumulationCheck:
    """Watches the optimizers of a training whose loader knows its position; with another loader it sees nothing."""

    def __init__(self, parts: dict[str, Part], data: Part | None) -> None:
        self._data = data
        self._optimizers = [part.target for part in parts.values() if part.is_optimizer]
        self._handles: list[Any] = []
        self._undo: list[Callable[[], object]] = []
        self._stepped_at: Position = None
        if data is not None and data.position is not None:
            self._handles = [one.register_step_post_hook(lambda *_: self.stepped()) for one in self._optimizers]
            for part in parts.values():
                if isinstance(part.target, torch.amp.GradScaler):
                    self._watch(part.target)
        self.stepped()

    def _watch(self, scaler: torch.amp.GradScaler) -> None:
        """Its step() may skip the optimizer's."""
        step = scaler.step

        def stepped(*args: Any, **arguments: Any) -> Any:
            result = step(*args, **arguments)
            self.stepped()
            return result

        scaler.__dict__["step"] = stepped
        self._undo.append(lambda: scaler.__dict__.pop("step", None))

    def stepped(self) -> None:
        """An optimizer's step ended here, or a state was loaded."""
        self._stepped_at = self._data.position if self._data is not None else None

    def check(self) -> None:
        """ShardlineRuntimeError in the midst of a window."""
        if self._data is None or self._stepped_at is None or not self._optimizers:
            return
        at, since = self._data.position, self._stepped_at
        if at is None or at == since or (at[0] == since[0] + 1 and at[1] == 0 and since[2] == 0):
            return
        gradients = [p.grad for one in self._optimizers for group in one.param_groups for p in group["params"]]
        if any(bool(torch.any(gradient != 0)) for gradient in gradients if gradient is not None):
            raise ShardlineRuntimeError(
                "a checkpoint here would lose gradients: batches were delivered since the last optimizer step, and "
                "their gradients are accumulated. Save right after optimizer.step(), or drop them by zero_grad() first"
            )

    def close(self) -> None:
        """Watches no more."""
        for handle in self._handles:
            handle.remove()
        for undo in self._undo:
            undo()
        self._handles, self._undo = [], []
