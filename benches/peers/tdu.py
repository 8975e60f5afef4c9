"""torch-dataloader-utils, in the training process as its documentation advises for debugging and small hosts.

With worker processes it is far slower at these batch sizes (each tensor is a block of shared memory of its own). It
takes one path, so the files' directory is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch_dataloader_utils import StructuredDataset

from peers import Batch


def batches(
    paths: list[str], batch_size: int, columns: list[str] | None, threads: int, shuffle: int | None = None
) -> Iterable[Batch]:
    loader: Iterable[Batch]
    loader, _dataset = StructuredDataset.create_dataloader(
        path=str(Path(paths[0]).parent),
        format="parquet",
        batch_size=batch_size,
        columns=columns,
        num_workers=0,
        shuffle=shuffle is not None,
        shuffle_buffer_size=shuffle,
    )
    return loader


class Resumable:
    """Its loader and dataset as one object with a state."""

    def __init__(self, paths: list[str], batch_size: int, columns: list[str] | None, threads: int) -> None:
        self.loader, self.dataset = StructuredDataset.create_dataloader(
            path=str(Path(paths[0]).parent), format="parquet", batch_size=batch_size, columns=columns, num_workers=0
        )
        self.state_dict = self.dataset.state_dict
        self.load_state_dict = self.dataset.load_state_dict

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.loader)


resumable = Resumable
