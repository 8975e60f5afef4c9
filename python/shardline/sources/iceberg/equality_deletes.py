"""Equality deletes: rows whose key columns equal a row of a delete file, `null` equal to `null`.

The keys of all delete files with the same key columns become numbers, each with the sequence number of the newest
delete of that key; so a row of a data file is looked up once, however many delete files there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardline.sources.iceberg.delete_table import opened
from shardline.sources.iceberg.deletion_vectors import damaged
from shardline.sources.iceberg.key_columns import KeyField, ids_in, read_keys
from shardline.sources.iceberg.manifests import DeleteFile
from shardline.sources.iceberg.scope import Scope, scope_of
from shardline.sources.iceberg.table_files import TableFiles

_Numbers = np.ndarray[Any, Any]


class EqualityKeys:
    """The deletes by one set of key columns."""

    def __init__(
        self,
        fields: Sequence[KeyField],
        deletes: Iterable[DeleteFile],
        unpartitioned: Mapping[int, bool],
        files: TableFiles,
    ) -> None:
        """Reads the delete files.

        Args:
            fields: The key columns.
            deletes: Delete files of exactly these.
            unpartitioned: Which specs partition by nothing: deletes of these are of the whole table.
            files: Opens them.

        Raises:
            FileChangedError: A delete file is gone.
            ShardlineValueError: One is damaged.
        """
        self.fields = fields
        columns: list[list[pa.Array]] = [[pa.array([], _key_type(field))] for field in fields]
        scopes: dict[Scope | None, int] = {}
        owners: list[_Numbers] = []
        sequences: list[_Numbers] = []
        for delete in deletes:
            is_global = unpartitioned.get(delete.partition.spec_id, False)
            scope = scopes.setdefault(None if is_global else scope_of(delete.partition), len(scopes))
            for part in _rows(delete, fields, files):
                count = len(part[fields[0].field_id])
                for column, field in zip(columns, fields, strict=True):
                    column.append(part[field.field_id])
                owners.append(np.full(count, scope, np.int64))
                sequences.append(np.full(count, delete.sequence, np.int64))
        keys = [pa.concat_arrays(column) for column in columns]
        self._values = [pc.unique(key) for key in keys]
        self._steps: list[_Numbers] = []
        numbers = self._number(keys, learns=True)
        self._newest: dict[Scope | None, tuple[_Numbers, _Numbers]] = {}
        owner = np.concatenate([np.empty(0, np.int64), *owners])
        sequence = np.concatenate([np.empty(0, np.int64), *sequences])
        for of, index in scopes.items():
            mine = owner == index
            order = np.lexsort((sequence[mine], numbers[mine]))
            sorted_numbers, sorted_sequences = numbers[mine][order], sequence[mine][order]
            last = np.flatnonzero(np.diff(sorted_numbers, append=-1))
            self._newest[of] = sorted_numbers[last], sorted_sequences[last]

    def apply_to(self, scope: Scope, sequence: int) -> bool:
        """Whether some may delete rows of a data file."""
        return any(len(newest) and newest.max() > sequence for _, newest in self._of(scope))

    def deleted(self, keys: Mapping[int, pa.Array], scope: Scope, sequence: int) -> _Numbers:
        """Of rows of a data file: which are deleted. `keys`: their key columns."""
        numbers = self._number([keys[field.field_id] for field in self.fields], learns=False)
        found = np.zeros(len(numbers), bool)
        for known, newest in self._of(scope):
            if len(known):
                places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
                found |= (known[places] == numbers) & (newest[places] > sequence)
        return found

    def _of(self, scope: Scope) -> list[tuple[_Numbers, _Numbers]]:
        return [self._newest[each] for each in (None, scope) if each in self._newest]

    def _number(self, keys: Sequence[pa.Array], *, learns: bool) -> _Numbers:
        """A number for each row of key columns: the same for equal rows, -1 for one that no delete has."""
        numbers: _Numbers | None = None
        for place, (key, values) in enumerate(zip(keys, self._values, strict=True)):
            codes = pc.index_in(key, value_set=values, skip_nulls=False)
            codes = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            if numbers is None:
                numbers = codes
                continue
            # Both are less than 2**31, as many as there are rows of deletes in memory.
            pairs = np.where((numbers < 0) | (codes < 0), -1, numbers * len(values) + codes)
            if learns:
                self._steps.append(np.unique(pairs))
            known = self._steps[place - 1]
            if not len(known):
                numbers = np.full(len(pairs), -1, np.int64)
                continue
            places = np.minimum(np.searchsorted(known, pairs), len(known) - 1)
            numbers = np.where((known[places] == pairs) & (pairs >= 0), places, -1)
        assert numbers is not None
        return numbers


def _key_type(field: KeyField) -> pa.DataType:
    return pa.int64() if pa.types.is_floating(field.type) else field.type


def _rows(delete: DeleteFile, fields: Sequence[KeyField], files: TableFiles) -> Iterable[dict[int, pa.Array]]:
    with opened(delete, files) as file:
        paths = ids_in(file.schema_arrow)
        for field in fields:
            if field.field_id not in paths:
                raise damaged(
                    delete, f"it lacks the column {field.name!r} (field {field.field_id}), by which it deletes"
                )
        yield from read_keys(file, fields, paths, {})
