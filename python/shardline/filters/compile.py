"""A filter: a tree of conditions, and the steps that the core takes, once the columns' types are known."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shardline.errors import ShardlineTypeError
from shardline.filters.parse import Tree, columns_of, parse, text_of
from shardline.options.temporal import unit_of


class Step(NamedTuple):
    """One step of a program in postfix, as the core takes it."""

    name: str
    columns: list[int]
    """Indices into the program's columns."""
    values: list[Any]
    flag: bool | None


class Program(NamedTuple):
    """A filter as the core takes it."""

    columns: list[str]
    steps: list[Step]


_LIMIT = 10**38  # no integer and no decimal of up to 128 bits is so large


@dataclass(frozen=True)
class Filter:
    """What rows must pass. Picklable."""

    tree: Tree
    expression: Any = field(default=None, repr=False, compare=False)

    @cached_property
    def text(self) -> str:
        """The same for the same conditions; for states, errors and logs."""
        return text_of(self.tree)

    @cached_property
    def columns(self) -> list[str]:
        """The columns that it looks at."""
        return list(dict.fromkeys(columns_of(self.tree)))

    def program(self, types: Mapping[str, pa.DataType], *, partial: bool = False) -> Program:
        """The steps over columns of these types: all that are named, or `partial`, and nothing is known of the others.

        ShardlineTypeError where a column cannot be compared with what it is compared with.
        """
        compiler = _Compiler(types, partial)
        compiler.steps_of(self.tree)
        return Program(compiler.names, compiler.steps)


def check_filters(filters: Any) -> Filter | None:
    """The filter, None where there is none; ShardlineTypeError or ShardlineValueError where it is not understood."""
    if filters is None or (isinstance(filters, (list, tuple)) and not filters):
        return None
    return Filter(*parse(filters))


class _Compiler:
    def __init__(self, types: Mapping[str, pa.DataType], partial: bool) -> None:
        self._types = types
        self._partial = partial
        self.names: list[str] = []
        self.steps: list[Step] = []

    def _add(self, name: str, columns: list[str] | None = None, values: Any = (), flag: bool | None = None) -> None:
        for column in columns or ():
            if column not in self.names:
                self.names.append(column)
        self.steps.append(Step(name, [self.names.index(column) for column in columns or ()], list(values), flag))

    def _type(self, name: str) -> pa.DataType:
        found = self._types[name]
        return found.value_type if pa.types.is_dictionary(found) else found

    def steps_of(self, tree: Tree) -> None:
        """Adds the tree's steps."""
        if (
            self._partial
            and tree[0] not in ("and", "or", "not")
            and any(n not in self._types for n in columns_of(tree))
        ):
            self._add("unknown")
            return
        match tree:
            case ("other", _, columns):
                self._unknown(columns)
            case ("and" | "or", a, b):
                self.steps_of(a)
                self.steps_of(b)
                self._add(tree[0])
            case ("not", a):
                self.steps_of(a)
                self._add("not")
            case ("constant", value):
                self._add("constant", flag=value)
            case ("compare", operator, name, scalar):
                self._compare(operator, name, scalar)
            case ("columns", operator, name, other):
                self._columns(operator, name, other)
            case ("in", name, scalars):
                self._in(name, scalars)
            case ("null", name, nan):
                self._type(name)
                self._add("null", [name], flag=nan and pa.types.is_floating(self._type(name)))
            case ("nan", name):
                if not pa.types.is_floating(self._type(name)):
                    raise ShardlineTypeError(
                        f"filters= asks whether column {name!r} ({self._type(name)}) is NaN; only floats are"
                    )
                self._add("nan", [name])

    def _unknown(self, columns: Iterable[str]) -> None:
        """What pyarrow evaluates: of these columns, known to nothing else."""
        for column in columns:
            self._type(column)
        self._add("unknown", list(columns))

    def _compare(self, operator: str, name: str, scalar: pa.Scalar) -> None:
        if pa.types.is_decimal256(self._type(name)):
            self._unknown([name])
            return
        value = _convert(name, self._type(name), scalar)
        if operator == "not_equal":
            self._compare("equal", name, scalar)
            self._add("not")
        elif not isinstance(value, Fraction):
            self._add(operator, [name], [value])
        elif value.denominator == 1:
            self._add(operator, [name], [_bounded(value)])
        elif operator == "equal":
            self._add("always", [name], flag=False)
        else:  # between two values that the column can have
            self._add("less_equal" if operator in ("less", "less_equal") else "greater", [name], [_bounded(value)])

    def _in(self, name: str, scalars: list[pa.Scalar]) -> None:
        dtype = self._type(name)
        if pa.types.is_decimal256(dtype):
            self._unknown([name])
            return
        values = [_convert(name, dtype, scalar) for scalar in scalars if scalar.is_valid]
        if pa.types.is_integer(dtype):  # a float that is no integer is none of them
            values = [Fraction(v) if isinstance(v, float) and math.isfinite(v) else v for v in values]
            values = [v for v in values if not isinstance(v, float)]
        if pa.types.is_float32(dtype):
            values = [float(np.float32(v)) for v in values]
        if any(isinstance(v, float) for v in values):
            scale = 10 ** getattr(dtype, "scale", 0)
            values = [float(v / scale) if isinstance(v, Fraction) else v for v in values]
        found = [int(v) if isinstance(v, Fraction) else v for v in values if getattr(v, "denominator", 1) == 1]
        found = [v for v in found if not isinstance(v, int) or abs(v) < _LIMIT]
        self._add("in", [name], found, flag=any(not scalar.is_valid for scalar in scalars))

    def _columns(self, operator: str, name: str, other: str) -> None:
        left, right = self._type(name), self._type(other)
        if left != right or pa.types.is_decimal256(left):
            self._unknown((name, other))
            return
        if operator.startswith("greater"):
            operator, name, other = operator.replace("greater", "less"), other, name
        match operator:
            case "less" | "equal":
                self._add(f"{operator}_column", [name, other])
            case "not_equal":
                self._add("equal_column", [name, other])
                self._add("not")
            case _:
                self._add("less_column", [name, other])
                self._add("equal_column", [name, other])
                self._add("or")


def _bounded(value: Fraction) -> int:
    """Rounded down; numbers that no column holds are brought to where they compare the same."""
    return max(-_LIMIT, min(_LIMIT, math.floor(value)))


def _convert(name: str, dtype: pa.DataType, scalar: pa.Scalar) -> Fraction | float | bytes:
    """The value in the column's unit: exact, or a float where pyarrow compares floats."""
    types, other = pa.types, scalar.type
    if types.is_boolean(dtype) and types.is_boolean(other):
        return Fraction(int(scalar.as_py()))
    if _is_number(dtype) and _is_number(other):
        value = scalar.as_py()
        if types.is_floating(dtype):
            if types.is_integer(other) and types.is_float32(dtype):
                return float(np.float32(value))
            return float(value)
        if types.is_floating(other):
            return float(value)
        return Fraction(value) * 10**dtype.scale if types.is_decimal(dtype) else Fraction(value)
    unit, other_unit = unit_of(dtype), unit_of(other)
    if unit is not None and other_unit is not None and unit.kind == other_unit.kind:
        if (unit.zone is None) != (other_unit.zone is None):
            raise ShardlineTypeError(
                f"filters= compares column {name!r} ({dtype}) with {scalar}, one of which has a time zone and one has "
                f"none: give {'a value with a zone' if unit.zone is not None else 'a value without one'}"
            )
        return Fraction(scalar.value) * other_unit.seconds / unit.seconds
    if _is_text(dtype) and _is_text(other):
        value = scalar.as_py()
        return bytes(value) if isinstance(value, bytes) else str(value).encode()
    raise ShardlineTypeError(
        f"filters= compares column {name!r}, which is {dtype}, with {scalar.as_py()!r} ({other}); give a value of the "
        "column's kind"
    )


def _is_number(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(dtype) or types.is_floating(dtype) or types.is_decimal(dtype))


def _is_text(dtype: pa.DataType) -> bool:
    types = pa.types
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
        types.is_fixed_size_binary,
    )
    return any(test(dtype) for test in tests)
