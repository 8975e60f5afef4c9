"""Arrow columns to torch, as a hand-written loader does it. Not a peer: what several of them share."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch


def tensors(batch: pa.RecordBatch) -> dict[str, Any]:
    """The batch's columns, each by `column`."""
    return {name: column(batch.column(i)) for i, name in enumerate(batch.schema.names)}


def column(array: pa.Array) -> Any:
    """Numbers as a tensor, lists as (values, offsets), decimals as float64, dates as int32 days, strings as a list."""
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = torch.from_numpy(array.offsets.to_numpy())
        return column(array.flatten()), offsets - offsets[0]
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    elif pa.types.is_date32(kind):
        array = array.view(pa.int32())
    elif pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return array.to_pylist()
    return torch.from_numpy(array.to_numpy(zero_copy_only=False))
