"""The options that several commands have, and the loader's arguments that they come to."""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import typer

from shardline.arguments import DatasetArguments
from shardline.errors import ShardlineError, ShardlineValueError
from shardline.options.columns import ColumnOptions
from shardline.options.near import near

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="A file, a directory, a glob, or several; on disk or in a store.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", "-c", metavar="A,B", help="Columns, in the order of delivery. All by default."),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filters", "-f", metavar='"X > 1"', help="Only rows that pass; given again, all must hold."),
]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", metavar="ROWS", help="Rows of a batch.")]
Shuffle = Annotated[bool, typer.Option("--shuffle", "-s", help="Mix the rows.")]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="The shuffle's seed (shuffle_seed).", show_default=False)
]
Other = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="Any other argument of the loader, as Python would write its value: -o sample=0.1",
    ),
]

Nulls = Annotated[
    str | None, typer.Option("--nulls", metavar="POLICY", help="What nulls become: fill, nan, mask or keep.")
]
TransformPlace = Annotated[
    str | None,
    typer.Option(
        "--transform",
        metavar="FILE.py:NAME",
        help="The transform: a function in a file, or in a module (package.module:name).",
    ),
]

_CONDITION = re.compile(r"\s*(.+?)\s*(not in\b|\bin\b|==|!=|<=|>=|=|<|>)\s*(.+?)\s*$")
_OF_COLUMNS = ("column_options", "column_defaults")


def loader_arguments(
    paths: list[str],
    columns: list[str] | None = None,
    filters: list[str] | None = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    other: list[str] | None = None,
    nulls: str | None = None,
) -> dict[str, Any]:
    """What the options come to, for `StructuredDataset(path, **…)`: `path` and those that were given.

    >>> loader_arguments(["data"], ["a,b"], ["a >= 2"], 8, other=["sample=0.5"])
    {'path': 'data', 'columns': ['a', 'b'], 'filters': [('a', '>=', 2)], 'batch_size': 8, 'sample': 0.5}
    """
    found: dict[str, Any] = {"path": paths[0] if len(paths) == 1 else paths}
    if columns:
        found["columns"] = [name for each in columns for name in each.split(",") if name]
    if filters:
        found["filters"] = [_condition(each) for each in filters]
    if batch_size is not None:
        found["batch_size"] = batch_size
    if shuffle:
        found["shuffle"] = True
    if seed is not None:
        found["shuffle_seed"] = seed
    for each in other or ():
        name, value = _named(each)
        if name == "transform":
            raise typer.BadParameter("a function is given by --transform, where there is one", param_hint="--option")
        found[name] = value
    if nulls is not None:
        found.setdefault("column_defaults", ColumnOptions(nulls=cast(Any, nulls)))
    return found


@contextmanager
def nulls_explained() -> Iterator[None]:
    """An error about nulls says what to give here."""
    try:
        yield
    except ShardlineError as error:
        if "ColumnOptions(nulls=" not in str(error):
            raise
        raise ShardlineValueError(f"{error} (here: --nulls mask)") from None


def numbers(given: str, option: str) -> list[int]:
    """The numbers of an option, between commas.

    >>> numbers("0,1,2", "--workers")
    [0, 1, 2]
    """
    try:
        return [int(each) for each in given.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{given!r}: write numbers, as 1,2,4", param_hint=option) from None


def _condition(text: str) -> tuple[str, str, Any]:
    """A condition on a column."""
    match = _CONDITION.match(text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is no condition: write \"column > 1\", \"label in ('a', 'b')\"", param_hint="--filters"
        )
    return match[1], match[2], _value(match[3])


def _named(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    known = [
        *DatasetArguments.__annotations__,
        *(n for base in DatasetArguments.__mro__ for n in vars(base).get("__annotations__", ())),
    ]
    if not equals or name not in known:
        what = (
            f"no argument of a loader is called {name!r}{near(name, known)}"
            if equals
            else f"{text!r} is not NAME=VALUE"
        )
        raise typer.BadParameter(what, param_hint="--option")
    return name, _column_options(name, _value(value))


def _column_options(name: str, value: Any) -> Any:
    """`{"nulls": "nan"}` as ColumnOptions."""
    if name not in _OF_COLUMNS or not isinstance(value, dict):
        return value
    try:
        if name == "column_defaults":
            return ColumnOptions(**value)
        return {column: ColumnOptions(**each) for column, each in value.items()}
    except (TypeError, ShardlineError) as error:
        raise typer.BadParameter(f"{name}: {error}", param_hint="--option") from None


def _value(text: str) -> Any:
    """As Python would write it, or else text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
