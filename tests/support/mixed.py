"""Sources to mix, and a mixture's batches as the model of mixtures has them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import shardline
from support import write_rows
from support.mixtures import Model, source_seed
from support.spec import Settings, group_of, line, resolve

SEED = 7


class Data:
    """Folders of rows that are numbered from 0 in each, by the sizes of their row groups."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cache  # noqa: B019 - as long as the test module
    def path(self, groups: tuple[int, ...]) -> Path:
        return write_rows(self._folder / "-".join(map(str, groups)), [list(groups)])

    @cache  # noqa: B019
    def line(self, groups: tuple[int, ...], settings: tuple[tuple[str, Any], ...], shards: int, seed: int, epoch: int):
        """The row numbers of a source's line in an epoch, by the model of the order."""
        (file,) = self.path(groups).iterdir()
        meta = pq.read_metadata(file)
        files = [[group_of(meta.row_group(number)) for number in range(meta.num_row_groups)]]
        # As a source of a mixture resolves them.
        asked = Settings(**{"seed": seed, "strands": 8, "buffer_bytes": 2**24, **dict(settings)})
        starts = [sum(groups[:number]) for number in range(len(groups))]
        resolved = resolve(files, asked, shards)
        return [starts[group] + row for group, row in line(files, asked, epoch, resolved)]


def expected(model: Model, batches: Sequence[Any], data: Data, groups, settings, shards) -> list[list[tuple[int, int]]]:
    """(source, row number) of each batch's rows, from the model's positions."""
    made = []
    for batch in batches:
        rows = []
        for source, position in batch:
            seed = source_seed(SEED, model.epoch, model.names[source])
            epoch, place = divmod(position, model.sizes[source])
            rows.append((source, data.line(groups[source], settings, shards, seed, epoch)[place]))
        made.append(rows)
    return made


def rows_of(batch: Any) -> list[tuple[int, int]]:
    """(source, row number) of a batch's rows."""
    return list(zip(batch["source"].tolist(), batch["i"].tolist(), strict=True))


class Job:
    """The loaders of all ranks."""

    def __init__(self, mixture: shardline.Mixture, ranks: int, state: Any = None, **options: Any) -> None:
        self.loaders = [
            shardline.DataLoader(mixture, rank=rank, num_ranks=ranks, shuffle_seed=SEED, **options)
            for rank in range(ranks)
        ]
        if state is not None:
            for loader in self.loaders:
                loader.load_state_dict(state)
        self.iterators = [iter(loader) for loader in self.loaders]

    def take(self, steps: int) -> list[list[tuple[int, int]]]:
        """The job's batches of the next steps."""
        return [rows_of(next(iterator)) for _ in range(steps) for iterator in self.iterators]

    def state(self) -> dict[str, Any]:
        """That of every rank."""
        states = [loader.state_dict() for loader in self.loaders]
        assert all(state == states[0] for state in states)
        return states[0]

    def rest(self) -> list[list[tuple[int, int]]]:
        """All batches that are left: as many on each rank."""
        found = [[rows_of(batch) for batch in iterator] for iterator in self.iterators]
        assert len({len(each) for each in found}) == 1
        return [batch for step in zip(*found, strict=True) for batch in step]
