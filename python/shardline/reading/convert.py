"""From a run of the core to batches: one conversion a column and run, then views; no schema is looked up per batch.

A run is some batches in a row that lie in one piece of memory. Dense columns become tensors (n, d…) that own their
memory through DLPack; jagged ones become nested tensors (n, j…) over (values, offsets).
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from shardline._core import Projection, Run
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.validate import OutputFormat
from shardline.reading import jagged
from shardline.reading.layout import Node, entries_of, fields_of

Batch = Any
Convert = Callable[[Run], list[Batch]]
_Column = Callable[[Run, list[int]], Sequence[Any]]

_from_dlpack: Callable[[Any], torch.Tensor] = torch.utils.dlpack.from_dlpack
# A plain `Tensor.split` gives views that share one autograd version counter, so that an in-place write to one batch
# would invalidate what autograd saved of another. `unsafe_split` gives each its own; disjoint slices make it safe.
_split: Callable[..., Sequence[torch.Tensor]] = torch.unsafe_split_with_sizes


def converter(output_format: OutputFormat, projection: Projection) -> Convert:
    """The function that turns a run into its batches: dicts by key, or pyarrow record batches."""
    if output_format == "arrow":
        return _arrow_batches
    if output_format == "dict":
        return lambda run: [
            {name: python_objects(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
            for batch in _arrow_batches(run)
        ]
    names = projection.names
    schema = pa.schema(projection.schema)
    columns = []
    for entry in entries_of(projection):
        type_ = schema.field(entry.columns[0]).type if len(entry.columns) == 1 else None
        columns.append(_column(output_format, entry.name, entry.role, entry.node, type_))

    def convert(run: Run) -> list[Batch]:
        sizes = run.sizes
        if not columns:
            return [{} for _ in sizes]
        # In C from batch to batch.
        rows = zip(*[column(run, sizes) for column in columns], strict=True)
        return list(map(dict, map(zip, repeat(names), rows)))

    return convert


def _column(output_format: OutputFormat, name: str, role: str, node: Node, type_: pa.DataType | None) -> _Column:
    """The function that makes the values of a key."""
    if node.kind == "dict":
        return _dicts(
            [
                (child.name, _column(output_format, f"{name}.{child.name}", child.role, child.node, child.type))
                for child in fields_of(node, type_)
            ]
        )
    if output_format == "numpy" and node.dtype == "bfloat16":
        raise ShardlineTypeError(
            f"column {name!r}: numpy has no bfloat16; take another dtype=, or output_format='torch'"
        )
    if node.kind == "objects":
        return _objects(node.inside, name)
    makers: dict[str, Callable[[int], _Column]] = {
        "dense": _torch_dense,
        "jagged": _torch_jagged,
        "ragged": _torch_ragged,
        "padded": _torch_padded,
        "text": _text,
    }
    if output_format == "numpy":
        makers |= {"dense": _numpy_dense, "jagged": _numpy_ragged, "ragged": _numpy_ragged, "padded": _numpy_padded}
    column = makers[node.kind](node.inside)
    if isinstance(type_, pa.FixedShapeTensorType) and node.kind == "dense" and role in ("value", "item_mask"):
        return _shaped(column, type_)
    return column


def dense_maker(output_format: OutputFormat) -> Callable[[int], _Column]:
    """Of the number of a part, the function that makes tensors or arrays (n, d…) of it."""
    return _numpy_dense if output_format == "numpy" else _torch_dense


def _arrow_batches(run: Run) -> list[Batch]:
    """Record batches that are slices of the run's, without a copy."""
    whole, start, batches = pa.record_batch(run.arrow()), 0, []
    for size in run.sizes:
        batches.append(whole.slice(start, size))
        start += size
    return batches


def _dicts(entries: list[tuple[str, _Column]]) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[dict[str, Any]]:
        if not entries:
            return [{} for _ in sizes]
        keys = [key for key, _ in entries]
        parts = zip(*[column(run, sizes) for _, column in entries], strict=True)
        return [dict(zip(keys, values, strict=True)) for values in parts]

    return convert


def _shaped(column: _Column, type_: pa.FixedShapeTensorType) -> _Column:
    """Rows in the shape that the extension type says: its permutation is that of the rows as they are stored."""
    stored, order = tuple(type_.shape), type_.permutation
    axes = None if order is None else (0, *(1 + axis for axis in order))

    def convert(run: Run, sizes: list[int]) -> Sequence[Any]:
        shaped = [part.reshape((len(part), *stored)) for part in column(run, sizes)]
        if axes is None:
            return shaped
        return [part.permute(axes) if isinstance(part, torch.Tensor) else part.transpose(axes) for part in shaped]

    return convert


def _parts(tensor: torch.Tensor, sizes: list[int]) -> Sequence[torch.Tensor]:
    return [tensor] if len(sizes) == 1 else _split(tensor, sizes)


def _torch_dense(part: int) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[torch.Tensor]:
        (capsule,) = run.dlpack(part)
        return _parts(_from_dlpack(capsule), sizes)

    return convert


def _torch_pairs(run: Run, part: int, sizes: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(values, offsets) of each batch; a batch of n rows has n + 1 offsets, from 0."""
    values, offsets = map(_from_dlpack, run.dlpack(part))
    if len(sizes) == 1:
        return [(values, offsets)]
    return list(zip(_split(values, run.value_sizes(part)), _split(offsets, [n + 1 for n in sizes]), strict=True))


def _torch_jagged(part: int) -> _Column:
    make = jagged.maker()
    return lambda run, sizes: [make(values, offsets) for values, offsets in _torch_pairs(run, part, sizes)]


def _torch_ragged(part: int) -> _Column:
    return lambda run, sizes: _torch_pairs(run, part, sizes)


def _torch_padded(part: int) -> _Column:
    return lambda run, sizes: [_from_dlpack(capsule) for capsule in run.dlpack(part)]


def _numpy_dense(part: int) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[np.ndarray[Any, Any]]:
        (capsule,) = run.dlpack(part)
        whole, start, parts = _from_dlpack(capsule).numpy(), 0, []
        for size in sizes:
            parts.append(whole[start : start + size])
            start += size
        return parts

    return convert


def _numpy_ragged(part: int) -> _Column:
    return lambda run, sizes: [(v.numpy(), o.numpy()) for v, o in _torch_pairs(run, part, sizes)]


def _numpy_padded(part: int) -> _Column:
    return lambda run, sizes: [_from_dlpack(capsule).numpy() for capsule in run.dlpack(part)]


def _text(part: int) -> _Column:
    return lambda run, sizes: run.text(part)


def python_objects(name: str, array: Any) -> list[Any]:
    """Arrow data as Python's objects.

    Raises:
        ShardlineValueError: A value is none that Python's types can hold; the message names the column.
    """
    try:
        values: list[Any] = array.to_pylist()
        return values
    except (OverflowError, ValueError, LookupError, pa.ArrowException) as error:
        raise ShardlineValueError(
            f"column {name!r} ({array.type}) holds a value that Python's objects cannot hold ({error}): dates are of "
            "the years 1 to 9999 there, and times of microseconds. Take output_format='arrow', or leave the column out "
            "(columns=); dates and times that are not within lists or structs are numbers with output_format='torch'"
        ) from error


def _objects(part: int, name: str) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[list[Any]]:
        whole, start, parts = pa.record_batch(run.objects(part)).column(0), 0, []
        for size in sizes:
            parts.append(python_objects(name, whole.slice(start, size)))
            start += size
        return parts

    return convert
