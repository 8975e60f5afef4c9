"""The names that wrappers put before a module's own: `module.` (DDP) and `_orig_mod.` (torch.compile).

They are taken off when a module is saved, and put on when it is loaded, so that both sides may be wrapped or not.

>>> state_of(torch.nn.DataParallel(torch.nn.Linear(1, 1))).keys()
odict_keys(['weight', 'bias'])
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def _wraps(module: nn.Module) -> str | None:
    """The name under which a wrapper holds its module."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return "module"
    return "_orig_mod" if hasattr(module, "_orig_mod") else None


class Names:
    """The two names of everything in a module's state."""

    def __init__(self, module: nn.Module) -> None:
        wrappers = [(path, _wraps(one)) for path, one in module.named_modules(remove_duplicate=False)]
        self._wrapped = {f"{path}.{inner}" if path else inner for path, inner in wrappers if inner is not None}

    def clean(self, name: str) -> str:
        """Without the wrappers' parts."""
        if not self._wrapped:
            return name
        kept, path = [], ""
        for part in name.split("."):
            path = f"{path}.{part}" if path else part
            if path not in self._wrapped:
                kept.append(part)
        return ".".join(kept)


def state_of(module: nn.Module) -> "OrderedDict[str, Any]":
    """The module's state under clean names."""
    names, state = Names(module), module.state_dict()
    clean: OrderedDict[str, Any] = OrderedDict((names.clean(name), value) for name, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        clean._metadata = OrderedDict((names.clean(name), value) for name, value in versions.items())  # type: ignore[attr-defined]
    return clean


def load_into(module: nn.Module, state: Mapping[str, Any], *, strict: bool) -> Any:
    """Loads what `state_of` gave, as `load_state_dict` does."""
    names = Names(module)
    here = {names.clean(name): name for name in module.state_dict()}
    loaded: OrderedDict[str, Any] = OrderedDict((here.get(name, name), value) for name, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        paths = {names.clean(path): path for path, _ in module.named_modules(remove_duplicate=False)}
        own = OrderedDict((paths.get(name, name), value) for name, value in versions.items())
        # a wrapper's path and its module's are one clean name: both have the version of what they hold
        for path, _ in module.named_modules(remove_duplicate=False):
            if names.clean(path) in versions:
                own[path] = versions[names.clean(path)]
        loaded._metadata = own  # type: ignore[attr-defined]
    return module.load_state_dict(loaded, strict=strict)


def sharded(state: Any) -> bool:
    """Whether a state holds tensors that are spread over ranks."""
    if isinstance(state, torch.Tensor):
        return type(state).__name__ == "DTensor"
    if isinstance(state, Mapping):
        return any(map(sharded, state.values()))
    return isinstance(state, list | tuple) and any(map(sharded, state))
