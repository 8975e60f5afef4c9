"""A function by its place: `augment.py:augment` in a file, `package.module:augment` in a module.

>>> load_function("shardline.text:size")(1536)
'1.5 KiB'
"""

import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardline.errors import ShardlineFileNotFoundError, ShardlineTypeError, ShardlineValueError
from shardline.options.near import near

Function = Callable[[Any], Any]


def pickled(what: str, value: object) -> bytes:
    """A value that has a transform in it, for a new process.

    Raises:
        ShardlineTypeError: It cannot be sent; `what` it is.
    """
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ShardlineTypeError(
            f"{what} cannot be sent to a new process: {error}. Give the transform by its place, as "
            '"file.py:function", or define it at the top level of a module'
        ) from error


def check_place(name: str, value: Any) -> Any:
    """A function, or the place of one; nothing is imported.

    Raises:
        ShardlineFileNotFoundError: There is no such file.
        ShardlineTypeError: It is neither.
        ShardlineValueError: It is text that names no place.
    """
    if value is None or (callable(value) and not isinstance(value, str)):
        return value
    if not isinstance(value, str):
        raise ShardlineTypeError(f'{name} must be a function or its place, as "file.py:function", not {value!r}')
    where, colon, function = value.rpartition(":")
    if not colon or not where or not function.isidentifier():
        raise ShardlineValueError(
            f'{name}={value!r} names no function: write "file.py:function" or "package.module:function"'
        )
    if where.endswith(".py") and not Path(where).is_file():
        raise ShardlineFileNotFoundError(f"{name}={value!r}: no such file: {where}")
    return value


def load_function(place: str) -> Function:
    """Imports the function; its file's folder, or the working directory, is then on `sys.path`.

    Raises:
        ShardlineValueError: The file raises when it is imported, or has no such function.
    """
    where, _, name = place.rpartition(":")
    folder, module = Path.cwd(), where
    if where.endswith(".py"):
        folder, module = Path(where).resolve().parent, Path(where).stem
        taken = getattr(sys.modules.get(module), "__file__", None)
        if module in sys.modules and (taken is None or Path(taken).resolve() != Path(where).resolve()):
            raise ShardlineValueError(f"{where}: a module called {module} is imported already: rename the file")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise ShardlineValueError(f"{where} could not be imported: {type(error).__name__}: {error}") from error
    function = getattr(found, name, None)
    if not callable(function):
        what = f"there is no {name}" if function is None else f"{name} is not a function"
        raise ShardlineValueError(f"{where}: {what}{near(name, vars(found))}")
    return function  # type: ignore[no-any-return]


def name_of(function: Any) -> str:
    """A function for people: its place."""
    if isinstance(function, str):
        return function
    named = getattr(function, "__qualname__", None)
    return f"{function.__module__}:{named}" if named else f"an object of {type(function).__name__}"
