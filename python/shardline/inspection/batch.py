"""`describe_batch`: a batch as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import torch

from shardline import text

_VALUES = 4
_INNER = 3


class BatchReport:
    """The keys of a batch: shape, type and first values of each. `print` shows a table."""

    def __init__(self, batch: Any) -> None:
        if isinstance(batch, (pa.RecordBatch, pa.Table)):
            batch = {name: batch.column(name) for name in batch.schema.names}
        items = batch if isinstance(batch, Mapping) else {"": batch}
        self.keys = {key: cells for name, value in items.items() for key, cells in _walk(str(name), value)}
        """Shape, type and values by key; of dicts in it, by dotted key."""

    def text(self, width: int = text.WIDTH) -> str:
        """As a table of at most `width` columns."""
        rows = [[text.printable(key), *cells] for key, cells in self.keys.items()]
        spare = width - 6 - max((sum(len(cell) + 2 for cell in row[:3]) for row in rows), default=0)
        for row in rows:
            row[3] = text.printable(row[3], max(12, spare))
        return "\n".join(text.table(["key", "shape", "type", "values"], rows, width))

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = ("shape", "type", "values")
        return {key: dict(zip(names, cells, strict=True)) for key, cells in self.keys.items()}


def describe_batch(batch: Any) -> BatchReport:
    """A batch as a table, whatever its output format, or what a transform made of it.

    >>> print(describe_batch({"x": torch.arange(6).reshape(3, 2), "name": ["a", "b", "c"]}))
      key   shape   type         values
      x     (3, 2)  int64        [0, 1], [2, 3], [4, 5]
      name  (3)     list of str  a, b, c
    """
    return BatchReport(batch)


def _walk(key: str, value: Any) -> Iterator[tuple[str, tuple[str, str, str]]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _walk(f"{key}.{name}" if key else str(name), each)
        return
    if isinstance(value, torch.Tensor):
        sizes: tuple[Any, ...] = tuple(value.shape)  # of a jagged tensor, one is symbolic
        shape = [each if isinstance(each, int) else "…" for each in sizes]
        kind = str(value.dtype).removeprefix("torch.")
        rows = value.unbind()[:_VALUES] if value.is_nested else value[:_VALUES] if value.dim() else [value]
        values = [_short(each.tolist()) for each in rows]
        yield key, (_shape(shape), f"jagged {kind}" if value.is_nested else kind, _few(values, value.shape[:1]))
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        values = [_short(each) for each in (value[:_VALUES].tolist() if value.ndim else [value.item()])]
        yield key, (_shape(value.shape), str(value.dtype), _few(values, value.shape[:1]))
    elif isinstance(value, (pa.Array, pa.ChunkedArray)):
        yield (
            key,
            (
                _shape([len(value)]),
                str(value.type),
                _few([_short(x) for x in value[:_VALUES].to_pylist()], [len(value)]),
            ),
        )
    elif isinstance(value, (list, tuple)):
        kinds = {type(each).__name__ for each in value[:1024] if each is not None} or {"None"}
        kind = f"{type(value).__name__} of {kinds.pop() if len(kinds) == 1 else 'objects'}"
        yield key, (_shape([len(value)]), kind, _few([_short(each) for each in value[:_VALUES]], [len(value)]))
    else:
        yield key, ("", type(value).__name__, _short(value))


def _shape(shape: Any) -> str:
    return f"({', '.join(map(str, shape))})"


def _few(values: list[str], length: Any) -> str:
    return ", ".join(values) + (", …" if length and length[0] > len(values) else "")


def _short(value: Any) -> str:
    """A value, of which lists are cut."""
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_short(each) for each in value[:_INNER])
        return f"[{inner}{', …' if len(value) > _INNER else ''}]"
    return text.printable(value, 24)
