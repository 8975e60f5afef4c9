"""What a transform uses beside its batch: generators of its own, and objects that outlive a call."""

import pickle
import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

_GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, torch.Generator, random.Random)
_SKIPPED = (types.ModuleType, types.BuiltinFunctionType, type)


class Suspects:
    """The globals, attributes and enclosing variables that a function can reach, as they are before it is called."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._before = {name: _frozen(value) for name, value in _used(function, set())}

    def changed(self) -> list[str]:
        """In words: those that are others now, and generators."""
        found = []
        for name, value in _used(self._function, set()):
            if isinstance(value, _GENERATORS):
                found.append(f"{name} is a generator of its own ({type(value).__name__})")
            elif _frozen(value) != self._before.get(name):
                found.append(f"{name} changed between calls")
        return list(dict.fromkeys(found))


def _frozen(value: Any) -> bytes | None:
    """None for what cannot be compared."""
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:
        return None


def _used(function: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """(what it is called, its value), of functions of the same module that it calls too."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        yield from ((f"its object's .{name}", value) for name, value in _attributes(owner))
    elif not isinstance(function, (types.FunctionType, types.MethodType)):
        yield from ((f"its attribute .{name}", value) for name, value in _attributes(function))
        function = type(function).__call__
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    code = function.__code__
    for number, default in enumerate(function.__defaults__ or ()):
        name = code.co_varnames[code.co_argcount - len(function.__defaults__ or ()) + number]
        yield f"the default of its argument {name}", default
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield f"the variable {name} around it", _content(cell)
    for name in sorted(_names(code)):
        value = function.__globals__.get(name)
        if isinstance(value, types.FunctionType):
            if value.__module__ == function.__module__:
                yield from _used(value, seen)
        elif name in function.__globals__ and not isinstance(value, _SKIPPED):
            yield f"the global {name}", value


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    return sorted(getattr(owner, "__dict__", {}).items())


def _names(code: types.CodeType) -> set[str]:
    """Of globals, in functions inside of it too."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None
