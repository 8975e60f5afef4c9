"""What the keys of a dict in a batch are made of: a struct's fields, each followed by its masks and lengths."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa


def with_fields(entries: Iterable[Any], struct: Any) -> Iterator[tuple[str, str, Any, str, pa.DataType | None]]:
    """(key, role, node, field, its type) of each entry. By place, not by name: `ab__mask` may be of `a` or of `ab`."""
    types = {field.name: field.type for field in getattr(struct, "storage_type", struct)}
    field = ""
    for key, role, node in entries:
        if role == "value":
            field = key
        yield key, role, node, field, types.get(field)
