"""A turn of the loop that people write by hand: `ParquetFile.iter_batches`, each column to a tensor."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from shardline.benchmark.clock import Clock
from shardline.benchmark.turn import Result, Turn
from shardline.footers.opening import opener
from shardline.options.function import load_function
from shardline.options.storage import check_storage, is_remote


def run(turn: Turn) -> Result:
    """Reads all files, one after the other, and begins again."""
    pa.set_cpu_count(turn.threads)
    transform = load_function(turn.transform) if isinstance(turn.transform, str) else turn.transform
    clock = Clock(turn.seconds)
    while clock.through(_sizes(turn, transform)) and not clock.over:
        pass
    return Result(**clock.times(), waited_seconds=clock.waited)


def _sizes(turn: Turn, transform: Any) -> Iterator[int]:
    """The loop itself; the rows of each batch."""
    for file in files(turn):
        for batch in pq.ParquetFile(file).iter_batches(turn.batch_size, columns=turn.arguments.get("columns")):
            found = {name: column(batch.column(number)) for number, name in enumerate(batch.schema.names)}
            if transform is not None:
                transform(found)
            yield batch.num_rows


def files(turn: Turn) -> Iterator[Any]:
    """What `pyarrow.parquet.ParquetFile` takes, for every file of the plan."""
    root, names = turn.plan.root, [name for name, _, _ in turn.plan.files()]
    if is_remote(root):
        yield from map(opener(root, check_storage(turn.arguments.get("storage_options"), None, turn.plan)), names)
    else:
        yield from (str(Path(root.removeprefix("file://"), name)) for name in names)


def column(array: Any) -> Any:
    """Numbers as a tensor, lists as (values, offsets), times as integers, decimals as floats, all else as Python's."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return column(array.storage)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = torch.from_numpy(array.offsets.to_numpy())
        return column(array.flatten()), offsets - offsets[0]
    if pa.types.is_fixed_size_list(kind):
        values = column(array.flatten())
        return values.reshape(-1, kind.list_size) if isinstance(values, torch.Tensor) else values
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    elif pa.types.is_date32(kind) or pa.types.is_time32(kind):
        array = array.view(pa.int32())
    elif pa.types.is_temporal(kind):
        array = array.view(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return array.to_pylist()
    values = array.to_numpy(zero_copy_only=False)
    return values.tolist() if values.dtype.hasobject else torch.from_numpy(values)
