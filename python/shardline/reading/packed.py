"""From a run of packed sequences to batches."""

from typing import Any

import torch

from shardline._core import Run
from shardline.options.pack import Pack
from shardline.options.validate import OutputFormat
from shardline.reading.convert import Batch, Convert, dense_maker


def keys_of(pack: Pack) -> list[str]:
    """The keys of (sequences, tokens), in the order of the run's parts; the part after them has segments' lengths."""
    return ["input_ids", *(["labels"] if pack.labels is not None else []), "position_ids", "segment_ids"]


def packed_converter(output_format: OutputFormat, pack: Pack) -> Convert:
    """The function that turns a run into its batches: one call of the core a key and run."""
    names = keys_of(pack)
    columns = [dense_maker(output_format)(part) for part in range(len(names))]

    def convert(run: Run) -> list[Batch]:
        sizes = run.sizes
        rows = zip(*[column(run, sizes) for column in columns], strict=True)
        batches = []
        for values, (capsule, longest, tokens) in zip(rows, run.segments(len(names), pack.seq_len), strict=True):
            borders: Any = torch.utils.dlpack.from_dlpack(capsule)
            batch = dict(zip(names, values, strict=True))
            batch["cu_seqlens"] = borders.numpy() if output_format == "numpy" else borders
            batch["max_seqlen"] = longest
            batch["num_tokens"] = tokens
            batches.append(batch)
        return batches

    return convert
