"""The vocabularies that columns give themselves: built once a process and plan, handed on with a pickled dataset."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from shardline._core import Plan, Projection, Storage
from shardline.reading.column_specs import options_of
from shardline.settings import Settings

log = logging.getLogger("shardline")
_KEPT = 64
_SLOW = 1.0  # seconds of reading that are worth a line in the log

Key = tuple[str, str, str, bool]
"""A plan's digest, the types of its folders' columns, which are not in the digest, the column, and `replace`."""

_known: dict[Key, pa.Array] = {}


def get_or_build(
    plan: Plan, column: str, num_threads: int, storage: Storage | None = None, replace: bool = False
) -> pa.Array:
    """The distinct values of a column, in the order in which they first come: all of it is read, once.

    `replace`: strings that are not UTF-8 have U+FFFD in place of what is not, and are no error.
    """
    folders = "" if plan.partition_schema is None else str(pa.schema(plan.partition_schema))
    key = (plan.digest, folders, column, replace)
    if key not in _known:
        begin = time.monotonic()
        values = pa.record_batch(plan.vocabulary(column, num_threads, storage, replace)).column(0)
        took = time.monotonic() - begin
        log.log(
            logging.INFO if took > _SLOW else logging.DEBUG,
            "read column %r for its vocabulary of %d values in %.1f s; vocabulary= saves that",
            column,
            len(values),
            took,
        )
        while len(_known) >= _KEPT:
            _known.pop(next(iter(_known)))
        _known[key] = values
    return _known[key]


def assign(projection: Projection, plan: Plan, settings: Settings) -> None:
    """Gives codes that have no vocabulary that of the data."""
    for path in projection.unlearned:
        projection.teach(path, of_column(plan, path, settings))


def of_column(plan: Plan, path: str, settings: Settings) -> pa.Array:
    """The vocabulary of a column under its options."""
    replace = options_of(settings, path).errors == "replace"
    return get_or_build(plan, path, settings.num_threads, settings.storage, replace)


def snapshot(*plans: Plan) -> dict[Key, Any]:
    """What is known of these plans."""
    digests = {plan.digest for plan in plans}
    return {key: values for key, values in _known.items() if key[0] in digests}


def restore(vocabularies: Mapping[Key, Any]) -> None:
    """Takes what another process knew."""
    _known.update(vocabularies)
