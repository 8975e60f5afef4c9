"""Which delete files may apply to which data files: the rules of "Scan Planning" in Iceberg's specification."""

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from shardline.sources.iceberg.manifests import DataFile, DeleteFile, Spec

Scope = tuple[int, tuple[Any, ...]]
"""A partition that is equal where two files have the same spec and the same values."""
_NAN = struct.pack("<d", math.nan)


def scope_of(spec: Spec) -> Scope:
    """A partition as what it is compared by: floating-point numbers by their bits, NaN equal to NaN.

    >>> scope_of(Spec(0, (float("nan"),))) == scope_of(Spec(0, (float("nan"),)))
    True
    """
    return spec.spec_id, tuple(_bits(value) if isinstance(value, float) else value for value in spec.values)


def _bits(value: float) -> bytes:
    return _NAN if math.isnan(value) else struct.pack("<d", value)


class Oldest:
    """Of data files, the lowest sequence number in each partition, and over all."""

    def __init__(self, data: Iterable[DataFile]) -> None:
        self._lowest: dict[Scope, int] = {}
        for file in data:
            scope = scope_of(file.partition)
            self._lowest[scope] = min(file.sequence, self._lowest.get(scope, file.sequence))
        self._over_all = min(self._lowest.values(), default=None)

    def may_apply(self, delete: DeleteFile, unpartitioned: Mapping[int, bool]) -> bool:
        """Whether there is a data file that a delete file is of. `unpartitioned`: which specs partition by nothing."""
        if delete.kind == "equality":
            # An equality delete of an unpartitioned spec is of the whole table.
            is_global = unpartitioned.get(delete.partition.spec_id, False)
            lowest = self._over_all if is_global else self._lowest.get(scope_of(delete.partition))
            return lowest is not None and lowest < delete.sequence
        lowest = self._lowest.get(scope_of(delete.partition))
        return lowest is not None and lowest <= delete.sequence


def positions_apply(delete: DeleteFile, file: DataFile) -> bool:
    """Whether a position delete file, or a deletion vector, is of a data file that it names."""
    return (
        delete.sequence >= file.sequence
        and delete.referenced in (None, file.location)
        and scope_of(delete.partition) == scope_of(file.partition)
    )
