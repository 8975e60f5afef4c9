"""Declared arguments as a signature, as a docstring, and as the check of what a caller gave."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from textwrap import fill
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from shardline.arguments import EXCLUDE, GROUPS, NEEDS, RENAMED, Argument
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.near import near

_Class = TypeVar("_Class", bound=type)
_MARK = "    {arguments}\n"
_WIDTH = 120


@cache
def declared(arguments: type) -> dict[str, tuple[Any, Argument]]:
    """The type and the declaration of each argument of a TypedDict, by name."""
    found = {}
    for name, hint in get_type_hints(arguments, include_extras=True).items():
        while get_origin(hint) is not Annotated:
            (hint,) = get_args(hint)
        found[name] = (hint.__origin__, hint.__metadata__[0])
    return found


def check_arguments(function: str, given: Mapping[str, Any], arguments: type) -> dict[str, Any]:
    """Every declared argument: as given and checked, or its default."""
    check_names(function, given, arguments)
    known = declared(arguments)
    values = {name: each.check(name, given.get(name, each.default)) for name, (_, each) in known.items()}
    for name, others in NEEDS.items():
        if name in given and given[name] != known[name][1].default and not any(one in given for one in others):
            raise ShardlineValueError(
                f"{name}={given[name]!r} does nothing without {' or '.join(f'{one}=' for one in others)}: give it too, "
                f"or leave {name} out"
            )
    for one, other in EXCLUDE:
        if values.get(one) is not None and values.get(other) is not None:
            raise ShardlineValueError(f"{one}= and {other}= are two ways to say one thing: give one of them")
    return values


def check_names(function: str, given: Mapping[str, Any], arguments: type, own: Iterable[str] = ()) -> None:
    """Every name that was given must be declared. `own`: other names that the function has.

    Raises:
        ShardlineTypeError: One is not. The message says what it is called now, or which may be meant.
    """
    known = declared(arguments)
    for name in given:
        if name in RENAMED:
            raise ShardlineTypeError(f"{name}= of {function}() is now {RENAMED[name]}")
        if name not in known:
            hint = near(name, [*known, *own], "{}=")
            raise ShardlineTypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def documented(arguments: type) -> Callable[[_Class], _Class]:
    """A class decorator: the declared arguments stand in the signature, and in the docstring at `{arguments}`.

    They take the place of the constructor's `**keywords`; those that it names itself stay as they are.
    """

    def decorate(cls: _Class) -> _Class:
        known = declared(arguments)
        init: Any = cls.__init__  # type: ignore[misc]
        own = [each for each in inspect.signature(init).parameters.values() if each.kind is not each.VAR_KEYWORD]
        named = {each.name for each in own}
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hint)
            for name, (hint, each) in known.items()
            if name not in named
        ]
        init.__signature__ = inspect.Signature([*own, *keywords], return_annotation=None)
        if cls.__doc__ is not None:  # python -OO keeps none
            cls.__doc__ = cls.__doc__.replace(_MARK, "".join(_lines(known, named)))
        return cls

    return decorate


def _lines(known: Mapping[str, tuple[Any, Argument]], named: set[str]) -> Iterator[str]:
    """The entries of `Args:`, grouped; not those that the docstring has itself."""
    for group in GROUPS:
        for name in group.__annotations__:
            if name in known and name not in named:
                doc = known[name][1].doc
                yield fill(f"{name}: {doc}", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12) + "\n"
