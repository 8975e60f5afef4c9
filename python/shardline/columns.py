"""From a run of the core to batches: one conversion a column and run, then views; no schema is looked up per batch.

A run is some batches in a row that lie in one piece of memory. Dense columns become tensors (n, d…) that own their
memory through DLPack; jagged ones become nested tensors (n, j…) over (values, offsets).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from shardline._core import Run
from shardline.options import OutputFormat

Batch = Any
Convert = Callable[[Run], list[Batch]]
_Column = Callable[[Run, list[int]], Sequence[Any]]

_from_dlpack: Callable[[Any], torch.Tensor] = torch.utils.dlpack.from_dlpack
# A plain `Tensor.split` gives views that share one autograd version counter, so that an in-place write to one batch
# would invalidate what autograd saved of another. `unsafe_split` gives each its own; disjoint slices make it safe.
_split: Callable[..., Sequence[torch.Tensor]] = torch.unsafe_split_with_sizes
_nested: Callable[..., torch.Tensor] = torch.nested.nested_tensor_from_jagged


def converter(output_format: OutputFormat, names: Sequence[str], kinds: Sequence[str]) -> Convert:
    """The function that turns a run into its batches.

    `names`, `kinds`: the projection's columns. Batches are dicts by column name, or pyarrow record batches.
    """
    if output_format == "arrow":
        return _arrow_batches
    if output_format == "dict":
        return lambda run: [batch.to_pydict() for batch in _arrow_batches(run)]
    makers = {
        ("torch", "dense"): _torch_dense,
        ("torch", "jagged"): _torch_jagged,
        ("numpy", "dense"): _numpy_dense,
        ("numpy", "jagged"): _numpy_jagged,
    }
    columns = [makers[output_format, kind](i) for i, kind in enumerate(kinds)]
    keys = list(names)

    def convert(run: Run) -> list[Batch]:
        sizes = run.sizes
        if not columns:
            return [{} for _ in sizes]
        return [dict(zip(keys, values, strict=True)) for values in zip(*[c(run, sizes) for c in columns], strict=True)]

    return convert


def _arrow_batches(run: Run) -> list[Batch]:
    """Record batches that are slices of the run's, without a copy."""
    whole, start, batches = pa.record_batch(run.arrow()), 0, []
    for size in run.sizes:
        batches.append(whole.slice(start, size))
        start += size
    return batches


def _parts(tensor: torch.Tensor, sizes: list[int]) -> Sequence[torch.Tensor]:
    return [tensor] if len(sizes) == 1 else _split(tensor, sizes)


def _torch_dense(column: int) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[torch.Tensor]:
        (capsule,) = run.dlpack(column)
        return _parts(_from_dlpack(capsule), sizes)

    return convert


def _torch_pairs(run: Run, column: int, sizes: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(values, offsets) of each batch; a batch of n rows has n + 1 offsets, from 0."""
    values, offsets = run.dlpack(column)
    value_parts = _parts(_from_dlpack(values), run.value_sizes(column))
    return list(zip(value_parts, _parts(_from_dlpack(offsets), [n + 1 for n in sizes]), strict=True))


def _torch_jagged(column: int) -> _Column:
    # torch imports for a second when the first nested tensor is made: not when the first batch is waited for.
    _nested(torch.empty(0), torch.zeros(2, dtype=torch.int64))
    return lambda run, sizes: [_nested(values, offsets) for values, offsets in _torch_pairs(run, column, sizes)]


def _numpy_dense(column: int) -> _Column:
    def convert(run: Run, sizes: list[int]) -> Sequence[np.ndarray[Any, Any]]:
        (capsule,) = run.dlpack(column)
        whole, start, parts = _from_dlpack(capsule).numpy(), 0, []
        for size in sizes:
            parts.append(whole[start : start + size])
            start += size
        return parts

    return convert


def _numpy_jagged(column: int) -> _Column:
    return lambda run, sizes: [(v.numpy(), o.numpy()) for v, o in _torch_pairs(run, column, sizes)]
