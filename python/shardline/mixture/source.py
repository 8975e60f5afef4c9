"""`Source`: one of the data sets that a mixture takes rows of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any

from shardline.arguments import DatasetArguments
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options import validate
from shardline.options.validate import Paths
from shardline.signature import check_names

OPTIONS = (
    "format",
    "version",
    "timestamp",
    "snapshot",
    "ref",
    "as_of",
    "columns",
    "columns_from",
    "missing_columns",
    "widen_types",
    "partitioning",
    "storage_options",
    "plan",
    "filters",
    "sample",
    "subset",
    "subset_by",
    "sample_seed",
    "column_options",
)
"""The arguments of a dataset that a source may have of its own."""


@dataclass(frozen=True, init=False)
class Source:
    """A data set that a mixture takes rows of.

    Args:
        path: A file, a directory, a glob, or a list of these, on disk or in a store. None where `plan=` is given.
        weight: Its part of the rows (of the tokens, where rows are packed sequences), beside the weights of the others.
            0: nothing is read of it until its weight is set.
        epochs: How often it is read at the most; 2.5 is two and a half times. It runs on by default.
        transform: A function of its rows of a batch, which has the keys of a batch. It must leave the keys, and the
            shapes and types of their values, as they are.
        options: Arguments of a dataset that differ from the loader's: `columns`, `filters`, `sample`,
            `column_options`, `storage_options`, `format` and others that say what is read, and which rows.

    Raises:
        ShardlineValueError: The weight is negative or not finite, or an option is not one of a source.

    >>> Source("web/", weight=0.7).weight
    0.7
    """

    path: Paths | None
    weight: float = 1
    epochs: float | None = None
    transform: Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        path: Paths | None = None,
        weight: float = 1,
        *,
        epochs: float | None = None,
        transform: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> None:
        check_names("Source", options, DatasetArguments, ("path", "weight", "epochs", "transform"))
        for name in options:
            if name not in OPTIONS:
                raise ShardlineValueError(f"{name}= is not a source's own: give it to the loader, for all sources")
        if epochs is not None and check_weight("epochs of Source()", epochs) == 0:
            raise ShardlineValueError("epochs=0 of Source() reads nothing: leave the source out, or give weight=0")
        validate.check_function("transform", transform)
        given = {
            "path": path,
            "weight": check_weight("weight of Source()", weight),
            "epochs": epochs,
            "transform": transform,
            "options": options,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)


def check_weight(name: str, value: Any) -> float:
    """A number that is not negative.

    Raises:
        ShardlineTypeError: It is no number.
        ShardlineValueError: It is negative, infinite or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ShardlineTypeError(f"{name} must be a number, not {value!r}")
    if not isfinite(value) or value < 0:
        raise ShardlineValueError(f"{name} must be 0 or more, and finite, not {value!r}")
    return value


def exact(value: float) -> Fraction:
    """A number as it is written: 0.1 is a tenth.

    >>> exact(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(value))
