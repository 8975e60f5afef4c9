"""`key=value` folders: the batches of rows that stand in order, cut where a folder's values change."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.filters.hive import NULL, folders


def check_partition_types(schema: pa.Schema, names: Sequence[str]) -> None:
    """ShardlineTypeError names a column whose values do not make names of folders that give the same values back."""
    types = pa.types
    for name in names:
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        text = types.is_string(kind) or types.is_large_string(kind) or kind == pa.string_view()
        if not (types.is_integer(kind) or text or types.is_boolean(kind) or types.is_date32(kind)):
            raise ShardlineTypeError(
                f"partition_by={name!r}: values of {kind} make no folders; there are integers, text, booleans and dates"
            )
    if names and len(names) == len(schema):
        raise ShardlineValueError("partition_by= names all columns: no column is left for the files")


def cut_by_folder(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """(folder with a "/" at its end, rows without the columns `names`); one folder "" where there are no names."""
    if not batch.num_rows:
        return
    if not names:
        yield "", batch
        return
    rest = batch.select([name for name in batch.schema.names if name not in names])
    cuts = np.zeros(batch.num_rows, bool)
    cuts[0] = True
    for name in names:
        codes = pc.dictionary_encode(batch.column(name), null_encoding="encode").indices.to_numpy()
        cuts[1:] |= codes[1:] != codes[:-1]
    starts = [*np.flatnonzero(cuts).tolist(), batch.num_rows]
    for start, stop in pairwise(starts):
        parts = [f"{quote(name, safe='')}={_text(batch.column(name)[start])}/" for name in names]
        yield "".join(parts), rest.slice(start, stop - start)


def with_folders(batch: pa.RecordBatch, name: str, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of its file's folders, whose types are those of `schema`."""
    arrays, fields = list(batch.columns), list(batch.schema)
    for key, text in folders(name).items():
        kind = schema.field(key).type
        value = pa.scalar(None if text == NULL else text, pa.string()).cast(kind)
        arrays.append(pa.repeat(value, batch.num_rows))
        fields.append(pa.field(key, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _text(value: pa.Scalar) -> str:
    if not value.is_valid:
        return NULL
    text = value.cast(pa.string()).as_py()
    if text == NULL:
        raise ShardlineValueError(f"partition_by=: the text {NULL!r} would be read as null; replace it")
    return quote(text, safe="")
