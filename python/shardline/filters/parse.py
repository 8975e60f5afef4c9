"""pyarrow's expressions as trees of plain tuples, and as one text for each meaning.

A tree is ("and" | "or", a, b), ("not", a), ("constant", bool | None), ("compare", operator, column, scalar),
("columns", operator, column, other), ("in", column, scalars), ("null", column, nan), ("nan", column), or
("other", text, columns): what only pyarrow evaluates, as text and with the columns that it names.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from shardline._core import schema_metadata
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.near import near

Tree = tuple[Any, ...]

OPERATORS = {
    "equal": "=",
    "not_equal": "!=",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
}
_TURNED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
_CONDITIONS = ("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in")
_MAX_TEXT = 2000
_WOULD_DO = (
    "give conditions (column, op, value) in a list, or a list of such lists, with op one of =, !=, <, <=, >, >=, in, "
    "not in; or a pyarrow.compute expression"
)


def parse(filters: Any) -> tuple[Tree, Any]:
    """The tree of a pyarrow expression or of conditions in disjunctive normal form (lists of tuples), and pyarrow's."""
    import pyarrow.compute as pc  # slow to import, and needed here only
    import pyarrow.parquet as pq

    if isinstance(filters, pc.Expression):
        return _read(filters), filters
    if isinstance(filters, tuple) and len(filters) == 3 and isinstance(filters[0], str):
        filters = [filters]
    if isinstance(filters, (str, bytes, Mapping)) or not isinstance(filters, Iterable):
        raise ShardlineTypeError(f"filters={filters!r} is not understood: {_WOULD_DO}")
    filters = list(filters)
    _check_conditions(filters)
    try:
        expression = pq.filters_to_expression(filters)
    except (ValueError, TypeError, KeyError, IndexError, pa.ArrowException) as error:
        raise ShardlineValueError(f"filters={filters!r} is not understood: {_WOULD_DO} ({error})") from error
    if not isinstance(expression, pc.Expression):
        raise ShardlineTypeError(f"filters={filters!r} is not understood: {_WOULD_DO}")
    return _read(expression), expression


def _check_conditions(filters: list[Any]) -> None:
    """Names the first that is no condition: pyarrow says how many values it could not unpack."""
    for each in filters:
        together = isinstance(each, (list, tuple)) and not (each and isinstance(each[0], str))
        for one in each if together else [each]:
            if not isinstance(one, (tuple, list)) or len(one) != 3 or not isinstance(one[0], str):
                raise ShardlineValueError(f"filters= holds {one!r}, which is no condition: {_WOULD_DO}")
            if not isinstance(one[1], str) or one[1] not in _CONDITIONS:
                raise ShardlineValueError(
                    f"filters= holds {one!r}, whose operator is not known{near(one[1], _CONDITIONS)}: {_WOULD_DO}"
                )


def columns_of(tree: Tree) -> Iterator[str]:
    """The columns that a tree names, some more than once."""
    match tree:
        case ("and" | "or", a, b):
            yield from columns_of(a)
            yield from columns_of(b)
        case ("not", a):
            yield from columns_of(a)
        case ("columns", _, name, other):
            yield from (name, other)
        case ("compare", _, name, _) | ("in" | "null", name, _) | ("nan", name):
            yield name
        case ("other", _, names):
            yield from names


def text_of(tree: Tree) -> str:
    """The tree for a person, the same for the same tree; a very long one ends in a hash of all of it."""
    text = _text(tree)
    if len(text) > _MAX_TEXT:
        return f"{text[:_MAX_TEXT]}… (sha256 {hashlib.sha256(text.encode()).hexdigest()})"
    return text


def _text(tree: Tree) -> str:
    match tree:
        case ("and" | "or", a, b):
            return f"({_text(a)} {tree[0]} {_text(b)})"
        case ("not", a):
            return f"not {_text(a)}"
        case ("constant", value):
            return str(value)
        case ("compare", operator, name, value):
            return f"({name!r} {OPERATORS[operator]} {_value(value)})"
        case ("columns", operator, name, other):
            return f"({name!r} {OPERATORS[operator]} {other!r} of the same row)"
        case ("in", name, values):
            return f"({name!r} in [{', '.join(sorted({_value(value) for value in values}))}])"
        case ("null", name, nan):
            return f"({name!r} is null{' or NaN' if nan else ''})"
        case ("other", text, _):
            return str(text)
        case _:
            return f"({tree[1]!r} is NaN)"


def _value(scalar: pa.Scalar) -> str:
    value: Any = str(scalar) if hasattr(scalar, "value") and pa.types.is_temporal(scalar.type) else scalar.as_py()
    return f"{value}" if isinstance(value, str) and pa.types.is_temporal(scalar.type) else repr(value)


class _Written:
    """What pyarrow pickles: pairs of keys and values in postfix of `call` … `end`, and a batch of literals."""

    def __init__(self, expression: Any) -> None:
        _, (buffer,) = expression.__reduce__()
        reader = pa.ipc.open_file(buffer)
        self.pairs = iter(schema_metadata(reader.schema.serialize().to_pybytes()))
        self.literals = reader.get_batch(0) if reader.num_record_batches else None

    def literal(self, number: str) -> Any:
        assert self.literals is not None
        return self.literals.column(int(number))[0]

    def term(self) -> Any:
        """A tree, a column as ("field", name), a field in it as ("path", names), a literal as ("literal", scalar)."""
        key, value = next(self.pairs)
        match key:
            case "literal":
                return ("literal", self.literal(value))
            case "field_ref":
                return ("field", value)
            case "call":
                arguments: list[Any] = []
                options = None
                while True:
                    key, inner = next(self.pairs)
                    if key == "end":
                        return _call(value, arguments, options)
                    if key == "options":
                        options = self.literal(inner)
                        continue
                    self.pairs = _back((key, inner), self.pairs)
                    arguments.append(self.term())
            case "nested_field_ref":
                return ("path", [name for _, name in itertools.islice(self.pairs, int(value))])
        raise ShardlineTypeError(f"filters= holds {key}, which is not understood: {_WOULD_DO}")


def _back(first: tuple[str, str], rest: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield first
    yield from rest


def _read(expression: Any) -> Tree:
    try:
        written = _Written(expression)
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise ShardlineTypeError(
            f"filters={expression} cannot be read ({error}): name columns by their names"
        ) from error
    return _truth(written.term())


def _truth(term: Any) -> Tree:
    """A term as something true, false or null."""
    match term:
        case ("literal", scalar):
            if pa.types.is_boolean(scalar.type) or pa.types.is_null(scalar.type):
                return ("constant", scalar.as_py())
            raise ShardlineTypeError(f"filters= holds the value {scalar}, which is neither true nor false: {_WOULD_DO}")
        case ("field", name):
            return ("compare", "equal", name, pa.scalar(True))
        case ("path", _):
            return _other("", [term], None)
    tree: Tree = term
    return tree


def _call(name: str, arguments: list[Any], options: Any) -> Tree:
    match name, arguments:
        case (("and_kleene" | "or_kleene"), (a, b)):
            return (name.removesuffix("_kleene"), _truth(a), _truth(b))
        case "invert", (a,):
            return ("not", _truth(a))
        case _, (("field", column), ("literal", scalar)) if name in OPERATORS:
            return ("constant", None) if not scalar.is_valid else ("compare", name, column, scalar)
        case _, (("literal", scalar), ("field", column)) if name in OPERATORS:
            return ("constant", None) if not scalar.is_valid else ("compare", _TURNED.get(name, name), column, scalar)
        case _, (("field", column), ("field", other)) if name in OPERATORS:
            return ("columns", name, column, other)
        case "is_in", (("field", column),) if options["null_matching_behavior"].as_py() == 0:
            return ("in", column, list(options["value_set"].values))
        case "is_null", (("field", column),):
            return ("null", column, options is not None and bool(options["nan_is_null"].as_py()))
        case "is_valid", (("field", column),):
            return ("not", ("null", column, False))
        case "is_nan", (("field", column),):
            return ("nan", column)
    return _other(name, arguments, options)


def _other(function: str, arguments: list[Any], options: Any) -> Tree:
    """A call that has no kernel in the core: as text, the same for the same call."""
    parts, columns = [], []
    for argument in arguments:
        match argument:
            case ("literal", scalar):
                parts.append(f"{_value(scalar)}: {scalar.type}")
            case ("field", name):
                parts.append(f"column {name!r}")
                columns.append(name)
            case ("path", names):
                parts.append(f"column {'.'.join(map(repr, names))}")
                columns.append(names[0])
            case tree:
                parts.append(_text(tree))
                columns += columns_of(tree)
    for name, value in {} if options is None else options.items():
        if name != "_type_name":
            parts.append(f"{name}={value}: {value.type}")
    text = f"{function}({', '.join(parts)})" if function else parts[0]
    return ("other", text, tuple(columns))
