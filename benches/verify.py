"""Is every value that a reader delivers the one that pyarrow reads from the files, and every row there once?

Run by itself, `python benches/verify.py [--peer shardline] [--datasets D1,D3] [--scale 0.1]`; also the first step of
the bench. A wrong value, a row lost, repeated or out of order makes it exit with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from compare import Array, Rows, canonical, difference, joined, row_hashes, rows_of
from data import SPECS, DataSet, data_set, row_groups
from peers import PEERS


class WrongValueError(Exception):
    """A reader delivered something else than what is in the files."""


class Reference:
    """The rows in file order, as pyarrow reads them, taken from the front."""

    def __init__(self, data: DataSet) -> None:
        self.groups = self.all_groups(data)
        self.group: Rows = {}
        self.left, self.next = 0, 0

    @staticmethod
    def all_groups(data: DataSet) -> Iterator[tuple[int, Rows]]:
        for group in row_groups(data.paths, data.columns):
            for batch in group.combine_chunks().to_batches():
                yield batch.num_rows, canonical(batch)

    def take(self, rows: int) -> Rows:
        """The next `rows` rows, or what is left of them."""
        parts: list[Rows] = []
        while rows:
            if not self.left:
                found = next(self.groups, None)
                if found is None:
                    break
                (self.left, self.group), self.next = found, 0
            step = min(rows, self.left)
            parts.append({name: column.cut(self.next, self.next + step) for name, column in self.group.items()})
            self.next, self.left, rows = self.next + step, self.left - step, rows - step
        return joined(parts) if parts else {}


def verify(peer: str, data: DataSet, batch_size: int, threads: int) -> str:
    """Checks one reader on one data set; says what was checked, or raises `WrongValueError`."""
    spec = PEERS[peer]
    batches = spec.load().batches(data.paths, batch_size, data.columns, threads, **spec.options)
    if spec.options.get("shuffle") is None and not spec.options.get("workers"):
        return in_order(batches, data)
    return as_a_set(batches, data)


def in_order(batches: Any, data: DataSet) -> str:
    reference, rows, count = Reference(data), 0, 0
    for count, batch in enumerate(batches, 1):
        size = rows_of(batch)
        wrong = difference(canonical(batch), reference.take(size))
        if wrong:
            raise WrongValueError(f"batch {count - 1} (rows {rows} to {rows + size}): {wrong}")
        rows += size
    if rows != data.rows:
        raise WrongValueError(f"{rows} rows instead of {data.rows}")
    return f"{rows:,} rows in {count:,} batches equal pyarrow's, in order"


def as_a_set(batches: Any, data: DataSet) -> str:
    wanted = sorted_hashes([row_hashes(group) for _rows, group in Reference.all_groups(data)])
    found = sorted_hashes([row_hashes(canonical(batch)) for batch in batches])
    if len(found) != len(wanted):
        raise WrongValueError(f"{len(found)} rows instead of {len(wanted)}")
    if not np.array_equal(found, wanted):
        raise WrongValueError(
            f"{len(np.setdiff1d(wanted, found))} of {len(wanted)} rows are missing or have a wrong value"
        )
    return f"{len(found):,} rows equal pyarrow's, each once"


def sorted_hashes(parts: list[Array]) -> Array:
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="shardline,shardline-split,shardline-row")
    parser.add_argument("--datasets", default=",".join(SPECS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    failed = False
    for name in options.datasets.split(","):
        data = data_set(name, options.scale)
        for peer in options.peer.split(","):
            reason = PEERS[peer].absent()
            try:
                said = f"absent: {reason}" if reason else verify(peer, data, options.batch, options.threads)
            except WrongValueError as error:
                failed, said = True, f"WRONG: {error}"
            except Exception as error:
                failed, said = True, f"FAILED: {type(error).__name__}: {error}"
            print(f"verify {name:4} {peer:16} {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
