"""The same files as plain Parquet, as a Delta table and as an Iceberg table, with the same rows deleted."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from deltalake import DeltaTable

from shardline import StructuredDataset
from support import delta
from support.iceberg import Table
from support.lakes.lake import rows_of


def same_files(
    path: Path, sizes: Sequence[int], deleted: Mapping[int, Sequence[int]]
) -> dict[str, Callable[..., StructuredDataset]]:
    """Files of so many rows; what opens them, by kind. `deleted`: positions, by the place of their file."""
    table, start, files = Table.create(path, version=3), 0, []
    for place, size in enumerate(sizes):
        files.append(table.data_file(rows_of(start, start + size), name=f"{place:03}.parquet"))
        start += size
    table.commit(files)
    rows = {files[place].path: some for place, some in deleted.items() if some}
    if rows:
        table.commit(table.vectors(rows))
    names = {place: f"data/{place:03}.parquet" for place in range(len(sizes))}
    DeltaTable.create(path, rows_of(0, 0).schema)
    adds = []
    for place, size in enumerate(sizes):
        stored = {"size": (path / names[place]).stat().st_size, "stats": json.dumps({"numRecords": size})}
        adds.append({"path": names[place], "partitionValues": {}, "modificationTime": 0, "dataChange": True, **stored})
    delta.commit(path, *({"add": add} for add in adds))
    if rows:
        delta.delete(path, {names[place]: some for place, some in deleted.items() if some})

    def plain(**options: Any) -> StructuredDataset:
        plan = StructuredDataset(path, format="parquet", batch_size=1, columns=["i"]).plan
        given = [(place, np.array(some, np.int64)) for place, some in deleted.items()]
        return StructuredDataset(plan=plan.with_deleted(given), **options)

    def of(kind: str) -> Callable[..., StructuredDataset]:
        return lambda **options: StructuredDataset(path, format=kind, **options)

    return {"plain": plain, "delta": of("delta"), "iceberg": of("iceberg")}
