"""Dictionaries of Arrow data: where rows of several row groups meet, words that both have are written once."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def holds_dictionary(type_: Any) -> bool:
    """Whether a type is a dictionary, or has one in it."""
    if pa.types.is_dictionary(type_):
        return True
    return any(holds_dictionary(type_.field(i).type) for i in range(type_.num_fields))


def without_duplicates(batch: pa.RecordBatch, columns: list[int]) -> pa.RecordBatch:
    """The batch, no dictionary of these columns with a word twice, which pandas refuses."""
    for i in columns:
        before = batch.column(i)
        after = _distinct(before)
        if after is not before:
            batch = batch.set_column(i, batch.schema.field(i), after)
    return batch


def _distinct(array: Any) -> Any:
    """The same values; the array itself where nothing is to be done."""
    type_ = array.type
    if pa.types.is_dictionary(type_):
        return _of_words(array)
    if not holds_dictionary(type_):
        return array
    mask = array.is_null() if array.null_count else None
    if pa.types.is_struct(type_):
        before = [array.field(i) for i in range(type_.num_fields)]
        after = list(map(_distinct, before))
        if all(old is new for old, new in zip(before, after, strict=True)):
            return array
        return pa.StructArray.from_arrays(after, fields=list(type_), mask=mask)
    made = {pa.ListType: pa.ListArray, pa.LargeListType: pa.LargeListArray}.get(type(type_))
    if made is None or array.offset:
        return array
    values = _distinct(array.values)
    return array if values is array.values else made.from_arrays(array.offsets, values, type=type_, mask=mask)


def _of_words(array: Any) -> Any:
    try:
        places = array.dictionary.dictionary_encode()
    except pa.ArrowNotImplementedError:  # words that are lists or structs
        return array
    if len(places.dictionary) == len(places):
        return array
    codes = pc.take(places.indices, array.indices).cast(array.type.index_type)
    return pa.DictionaryArray.from_arrays(codes, places.dictionary, ordered=array.type.ordered)
