"""From a run of packed sequences to batches."""

from collections.abc import Callable
from typing import Any

import torch

from shardline._core import Projection, Run
from shardline.options.pack import Pack
from shardline.options.validate import OutputFormat
from shardline.reading.convert import Batch, Convert, dense_maker
from shardline.reading.layout import entries_of


def packed_converter(output_format: OutputFormat, pack: Pack, projection: Projection) -> Convert:
    """The function that turns a run into its batches: one call of the core a key and run."""
    entries = entries_of(projection)
    names = [entry.name for entry in entries if entry.node.kind == "dense"]
    columns = [dense_maker(output_format)(part) for part in range(len(names))]
    slots = len(names)
    of_segments = [(entry.name, part) for part, entry in enumerate(entries) if part > slots]
    to_batch: Callable[[Any], Any] = torch.utils.dlpack.from_dlpack
    if output_format == "numpy":
        to_batch = _to_numpy

    def convert(run: Run) -> list[Batch]:
        sizes = run.sizes
        rows = zip(*[column(run, sizes) for column in columns], strict=True)
        numbers = {name: run.segment_numbers(part, slots, pack.seq_len) for name, part in of_segments}
        batches = []
        for at, (values, (borders, longest, tokens)) in enumerate(
            zip(rows, run.segments(slots, pack.seq_len), strict=True)
        ):
            batch = dict(zip(names, values, strict=True))
            batch["cu_seqlens"] = to_batch(borders)
            batch |= {name: to_batch(capsules[at]) for name, capsules in numbers.items()}
            batch["max_seqlen"] = longest
            batch["num_tokens"] = int(batch["segment_lengths"].sum()) if pack.align > 1 else tokens
            batches.append(batch)
        return batches

    return convert


def _to_numpy(capsule: Any) -> Any:
    return torch.utils.dlpack.from_dlpack(capsule).numpy()
