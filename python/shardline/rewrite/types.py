"""The types of the output and of temporary files, and batches brought to them."""

from collections.abc import Callable, Mapping

import pyarrow as pa

Path = tuple[str, ...]
"""A column's name, and the fields below it; a list's items are "[]"."""


def rebuilt(type_: pa.DataType, path: Path, change: Callable[[pa.DataType, Path], pa.DataType]) -> pa.DataType:
    """A type whose parts are changed first, then the whole."""
    types = pa.types

    def below(field: pa.Field, name: str) -> pa.Field:
        return field.with_type(rebuilt(field.type, (*path, name), change))

    if types.is_struct(type_):
        type_ = pa.struct([below(field, field.name) for field in type_])
    elif types.is_map(type_):
        key, item = below(type_.key_field, "key"), below(type_.item_field, "value")
        type_ = pa.map_(key, item, type_.keys_sorted)
    elif types.is_fixed_size_list(type_):
        type_ = pa.list_(below(type_.value_field, "[]"), type_.list_size)
    elif types.is_large_list(type_):
        type_ = pa.large_list(below(type_.value_field, "[]"))
    elif types.is_list(type_):
        type_ = pa.list_(below(type_.value_field, "[]"))
    return change(type_, path)


def stored_type(type_: pa.DataType, path: Path = ()) -> pa.DataType:
    """Of temporary files: what can be gathered by row, and needs no dictionary."""
    if pa.types.is_dictionary(type_):
        return stored_type(type_.value_type)
    if type_ in (pa.string_view(), pa.binary_view()):
        return pa.large_string() if type_ == pa.string_view() else pa.large_binary()
    if isinstance(type_, pa.BaseExtensionType):
        return rebuilt(type_.storage_type, path, stored_type)
    return type_


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of temporary files."""
    return pa.schema([field.with_type(rebuilt(field.type, (), stored_type)) for field in schema])


def changed_schema(schema: pa.Schema, changes: Mapping[Path, pa.DataType | int]) -> pa.Schema:
    """The output's: other types of numbers, and lists that have one length (an int)."""

    def change(type_: pa.DataType, path: Path) -> pa.DataType:
        new = changes.get(path)
        if isinstance(new, int):
            return pa.list_(type_.value_field, new)
        return type_ if new is None else new

    fields = [field.with_type(rebuilt(field.type, (field.name,), change)) for field in schema]
    return pa.schema(fields, schema.metadata)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, cast where their type differs. pa.ArrowInvalid where a value does not fit."""
    columns = []
    for field in schema:
        column = batch.column(field.name)
        columns.append(column if column.type == field.type else _cast(column, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return _cast(array.storage, type_) if array.storage.type != type_ else array.storage
    if isinstance(type_, pa.BaseExtensionType):
        return type_.wrap_array(array if array.type == type_.storage_type else _cast(array, type_.storage_type))
    if pa.types.is_dictionary(type_):
        plain = array if array.type == type_.value_type else array.cast(type_.value_type)
        return plain.dictionary_encode().cast(type_)
    if array.type == type_:
        return array
    types = pa.types
    if types.is_struct(type_):
        fields = [_cast(array.field(i), field.type) for i, field in enumerate(type_)]
        return pa.StructArray.from_arrays(fields, fields=list(type_), mask=array.is_null())
    return array.cast(type_)
