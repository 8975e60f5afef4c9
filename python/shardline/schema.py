"""What each key of a batch holds."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch

from shardline import text
from shardline._core import Projection
from shardline.errors import ColumnNotFoundError
from shardline.options.columns import ColumnOptions
from shardline.options.near import near
from shardline.options.pack import Pack
from shardline.reading.column_specs import options_of
from shardline.reading.layout import Node, entries_of, fields_of
from shardline.settings import Settings

_NAMED = 20


@dataclass(frozen=True)
class ColumnSchema:
    """One key of a batch.

    `kind`: "dense" (a tensor), "jagged" (a nested tensor; values and offsets for numpy), "padded", "ragged" (uint8
    values and offsets), "text" (a list of str or bytes), "objects" (a list of Python objects), "dict", "arrow", or
    "int" (one a batch). `shape`: that of a row, None where rows differ. `unit`: of dates, times and durations, as numpy
    names it. `nulls`: the policy; "id" where a null has an id of its own. `fields`: of a dict.
    """

    name: str
    columns: tuple[str, ...]
    type: pa.DataType | None
    kind: str
    role: str = "value"
    dtype: torch.dtype | None = None
    shape: tuple[int | None, ...] = ()
    unit: str | None = None
    timezone: str | None = None
    nulls: str = "error"
    fields: "tuple[ColumnSchema, ...]" = ()
    encode: str | None = None
    buckets: int | None = None
    _vocabulary: Callable[[], list[Any]] | None = field(default=None, repr=False, compare=False)
    _other_ids: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """Ids that were given outright: of nulls, and of unknown values."""

    @property
    def vocabulary(self) -> list[Any] | None:
        """The values that codes stand for; None for what is no codes."""
        return None if self._vocabulary is None else self._vocabulary()

    @property
    def num_ids(self) -> int | None:
        """How many ids an embedding needs, those of nulls and unknown values included; None for what is no ids."""
        if self.buckets is not None:
            values = self.buckets
        else:
            words = self.vocabulary
            if words is None:
                return None
            values = len(words)
        return max((values, *self._other_ids)) + 1


class Schema(Mapping[str, ColumnSchema]):
    """The keys of a batch in order, and `arrow`: the columns that they are made of, as the first file has them."""

    def __init__(self, columns: list[ColumnSchema], arrow: pa.Schema) -> None:
        self._columns = {column.name: column for column in columns}
        self.arrow = arrow

    @property
    def names(self) -> list[str]:
        """The keys."""
        return list(self._columns)

    def __getitem__(self, name: str) -> ColumnSchema:
        if name not in self._columns:
            known = ", ".join(map(repr, list(self._columns)[:_NAMED])) + (", …" if len(self._columns) > _NAMED else "")
            raise ColumnNotFoundError(f"there is no key {name!r} in a batch{near(name, self._columns)}; it has {known}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def text(self, width: int = text.WIDTH) -> str:
        """As a table of at most `width` columns: what each key is stored as, and what it is delivered as."""
        rows = [row for column in self._columns.values() for row in _lines_of(column, "")]
        return "\n".join(text.table(["key", "stored as", "delivered as", "row", "nulls", "ids"], rows, width))

    def __repr__(self) -> str:
        return f"Schema, {text.counted(len(self), 'key')}\n{self.text()}"


def words_of(column: ColumnSchema) -> tuple[str, str]:
    """What a key is delivered as, and the shape of a row of it: `("jagged float32", "(…)")`."""
    dtype = "" if column.dtype is None else str(column.dtype).removeprefix("torch.")
    unit = f"[{column.unit}]" if column.unit else ""
    kind = "" if column.kind == "dense" else _KINDS.get(column.kind, column.kind)
    if column.kind == "text":
        kind = "list of bytes" if "binary" in str(column.type) else "list of str"
    shape = ", ".join("…" if size is None else str(size) for size in column.shape)
    return " ".join(filter(None, (kind, dtype + unit))), f"({shape})" if shape else ""


def _lines_of(column: ColumnSchema, indent: str) -> Iterator[list[str]]:
    """The cells of a key, and of its fields."""
    delivered, row = words_of(column)
    stored = text.printable(_short(column.type), 40)
    if len(column.columns) > 1:
        stored = f"{len(column.columns):,} columns"
    ids = column.encode or ""
    if column.buckets is not None:
        ids += f", {column.buckets:,} buckets"
    role = "" if column.role == "value" else column.role.replace("_", " ")
    yield [
        indent + text.printable(column.name),
        role or stored,
        delivered,
        row,
        "" if role else column.nulls,
        ids,
    ]
    for each in column.fields:
        yield from _lines_of(each, indent + "  ")


_KINDS = {"objects": "list of objects", "ragged": "bytes and offsets"}


def _short(kind: Any) -> str:
    """A type without the names that writers give to items."""
    return "" if kind is None else re.sub(r"<(item|element|array): ", "<", str(kind)).replace(" not null", "")


def describe_columns(projection: Projection, settings: Settings, vocabulary: Callable[[str], list[Any]]) -> Schema:
    """The schema of a projection's batches; `vocabulary` gives that of a column when it is asked for."""
    arrow = pa.schema(projection.schema)
    if settings.pack is not None:
        return Schema(_packed(settings.pack, projection, arrow), arrow)
    types = dict(zip(arrow.names, arrow.types, strict=True))

    def of(
        name: str, path: str, role: str, sources: tuple[str, ...], node: Node, type_: pa.DataType | None
    ) -> ColumnSchema:
        kind, dtype = node.kind, node.dtype
        options = options_of(settings, path)
        storage = getattr(type_, "storage_type", type_)
        item = _innermost(storage)
        numeric = role == "value" and dtype != ""
        encode = options.encode if item is not None and _has_ids(item, options.asked, settings, path) else None
        if item is not None and pa.types.is_dictionary(item) and settings.wants_tensors:
            encode = encode or "codes"
        fields: tuple[ColumnSchema, ...] = ()
        if kind == "dict":
            fields = tuple(
                of(child.name, f"{path}.{child.field}", child.role, sources, child.node, child.type)
                for child in fields_of(node, type_)
            )
        nulls: str = options.nulls or ("error" if settings.wants_tensors else "keep")
        # Asked to be ids, nulls have one; and so they do where nothing was said to fill them with.
        has_id = options.encode is not None and options.nulls in (None, "keep", "nan")
        if encode is not None and (has_id or (nulls == "fill" and options.fill is None)):
            nulls = "id"
        return ColumnSchema(
            name=name,
            columns=sources,
            type=type_,
            kind=kind,
            role=role,
            dtype=getattr(torch, dtype) if dtype else None,
            shape=_shape(kind, type_, role, len(sources), options, dtype) if kind != "dict" else (),
            unit=_unit(item) if numeric and encode is None else None,
            timezone=getattr(item, "tz", None) if numeric else None,
            nulls=nulls,
            fields=fields,
            encode=encode if role == "value" else None,
            buckets=options.buckets if encode == "hash" and role == "value" else None,
            _vocabulary=(lambda: vocabulary(path)) if encode == "codes" and role == "value" else None,
            _other_ids=_other_ids(options) if encode is not None else (),
        )

    matrices = {each.key: each.is_matrix for each in settings.matrices}
    columns = []
    for name, role, sources, node in entries_of(projection):
        matrix = len(sources) > 1 or matrices.get(name, False)
        columns.append(of(name, name if matrix else sources[0], role, sources, node, types.get(sources[0])))
    return Schema(columns, arrow)


def with_source(schema: Schema, settings: Settings) -> Schema:
    """The schema of a mixture's batches, whose rows have the number of their source too."""
    is_tensor = settings.wants_tensors
    column = ColumnSchema(
        "source",
        (),
        pa.int16(),
        "dense" if is_tensor else "arrow",
        dtype=torch.int16 if is_tensor else None,
        nulls="error" if is_tensor else "keep",
    )
    return Schema([*schema.values(), column], schema.arrow)


def _packed(pack: Pack, projection: Projection, arrow: pa.Schema) -> list[ColumnSchema]:
    """The keys of a batch of packed sequences."""
    types = dict(zip(arrow.names, arrow.types, strict=True))
    found = []
    for entry in entries_of(projection):
        source = entry.name if entry.name in (*pack.along, *pack.meta) else pack.column
        shape = (pack.seq_len,) if entry.node.kind == "dense" else ()
        dtype = getattr(torch, entry.node.dtype)
        found.append(ColumnSchema(entry.name, (source,), types[source], "dense", dtype=dtype, shape=shape))
    counts = ("max_seqlen", "num_tokens")
    return [*found, *(ColumnSchema(name, (pack.column,), types[pack.column], "int") for name in counts)]


def _has_ids(item: pa.DataType, asked: Mapping[str, Any], settings: Settings, path: str) -> bool:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    views = (pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_dictionary)
    own = settings.column_options.get(path)
    return "encode" in asked and (
        any(is_(item) for is_ in texts + views) or (own is not None and own.encode is not None)
    )


def _other_ids(options: ColumnOptions) -> tuple[int, ...]:
    """The ids that were given outright: that of nulls, and that of unknown values."""
    fill = options.fill if options.nulls in ("fill", "mask") else None
    return tuple(int(given) for given in (fill, options.unknown) if isinstance(given, (bool, int, float)))


def _innermost(type_: Any) -> Any:
    while type_ is not None and isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        type_ = type_.value_type
    return type_


def _unit(item: Any) -> str | None:
    if item is None:
        return None
    if pa.types.is_date32(item):
        return "D"
    if pa.types.is_date64(item):
        return "ms"
    return getattr(item, "unit", None)


def _shape(kind: str, type_: Any, role: str, sources: int, options: Any, dtype: str) -> tuple[int | None, ...]:
    if sources > 1:
        return (sources,)
    if role in ("mask", "length") or kind in ("text", "objects", "arrow"):
        return ()
    if isinstance(type_, pa.FixedShapeTensorType):
        stored, order = tuple(type_.shape), type_.permutation
        return tuple(stored[axis] for axis in order) if order else stored
    shape: list[int | None] = []
    type_ = getattr(type_, "storage_type", type_)
    while isinstance(type_, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        if isinstance(type_, pa.FixedSizeListType):
            shape.append(type_.list_size)
        else:
            shape.append(options.length if options.lists == "padded" else None)
        type_ = type_.value_type
    if type_ is not None and pa.types.is_fixed_size_binary(type_) and options.encode is None:
        count = type_.byte_width // (getattr(torch, dtype).itemsize if dtype else 1)
        if options.dtype is None or count > 1:
            shape.append(count)
    return tuple(shape) if kind != "ragged" else (None,)
