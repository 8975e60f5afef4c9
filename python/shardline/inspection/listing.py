"""The files that paths stand for, damaged ones too."""

from collections.abc import Sequence

from shardline._core import Plan, Storage
from shardline.errors import ShardlineError

_TRIES = 32


def list_names(paths: Sequence[str], storage: Storage | None) -> tuple[str, list[str]]:
    """The root, and the files' names relative to it, in their order. One footer is read, or a few of damaged files.

    Raises:
        ShardlineError: There is no such path, no file, or only files that cannot be read.
    """
    names: list[str] = []
    first: ShardlineError | None = None
    for which in range(_TRIES):

        def keep(found: list[str], which: int = which) -> list[int]:
            names[:] = found
            return [which]

        try:
            return Plan.build(list(paths), num_threads=1, storage=storage, keep=keep).root, names
        except ShardlineError as error:
            first = first or error
            if which + 1 >= len(names):
                break
    assert first is not None
    raise first


def plan_without(paths: Sequence[str], storage: Storage | None, num_threads: int, damaged: Sequence[str]) -> Plan:
    """The plan of the files without those that are damaged."""
    without = set(damaged)

    def keep(found: list[str]) -> list[int]:
        return [number for number, name in enumerate(found) if name not in without]

    return Plan.build(list(paths), num_threads=num_threads, storage=storage, keep=keep)
