"""The hand-written loop in worker processes of a plain DataLoader, each with its share of the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from peers import Batch, naive


class Files(IterableDataset[Batch]):
    def __init__(self, paths: list[str], batch_size: int, columns: list[str] | None) -> None:
        self.paths, self.batch_size, self.columns = paths, batch_size, columns

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        mine = self.paths[info.id :: info.num_workers] if info else self.paths
        return naive.batches(mine, self.batch_size, self.columns, threads=1)


def batches(
    paths: list[str], batch_size: int, columns: list[str] | None, threads: int, workers: int
) -> Iterable[Batch]:
    return DataLoader(Files(paths, batch_size, columns), batch_size=None, num_workers=workers)
