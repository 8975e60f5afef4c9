"""lance: another format, for reference; the files are converted once, vectors to fixed-size lists as is usual there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import lance
import pyarrow as pa
from lance.torch.data import LanceDataset

from data import HOME, row_groups
from peers import Batch
from peers.arrow import tensors


def uri(paths: list[str]) -> str:
    return str(HOME / "lance" / hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16])


def batches(paths: list[str], batch_size: int, columns: list[str] | None, threads: int) -> Iterable[Batch]:
    found = lance.dataset(uri(paths))
    simple = all(not pa.types.is_list(kind) and not pa.types.is_decimal(kind) for kind in found.schema.types)
    # Its own conversion knows numbers and fixed-size lists only.
    options: dict[str, Any] = {} if simple else {"to_tensor_fn": lambda batch, **_: tensors(batch)}
    return LanceDataset(found, batch_size=batch_size, columns=columns, batch_readahead=threads, **options)


def prepare(paths: list[str], columns: list[str] | None) -> None:
    """Converts the files."""
    try:
        lance.dataset(uri(paths))
        return
    except ValueError:
        pass
    tables = map(as_lance, row_groups(paths, None))
    first = next(tables)

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield from first.to_batches()
        for table in tables:
            yield from table.to_batches()

    lance.write_dataset(pa.RecordBatchReader.from_batches(first.schema, all_batches()), uri(paths), mode="overwrite")


def as_lance(table: pa.Table) -> pa.Table:
    """Lists of 256 as fixed-size lists; string views as strings, which it does not know."""
    for i, field in enumerate(table.schema):
        kind, column = field.type, table.column(i)
        if field.name == "embedding":
            kind = pa.list_(field.type.value_type, 256)
        elif pa.types.is_string_view(kind):
            kind = pa.string()
        if kind != field.type:
            table = table.set_column(i, pa.field(field.name, kind), column.cast(kind))
    return table
