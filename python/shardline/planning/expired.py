"""The plan of a version that its table no longer has, by the files that a state lists; no row of it is deleted."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from shardline._core import ObjectStore, Plan
from shardline.errors import FileChangedError
from shardline.options.storage import is_remote
from shardline.planning.build import build_listed
from shardline.planning.file_table import FileRow
from shardline.planning.source import Source
from shardline.planning.table import plan_of
from shardline.settings import Settings
from shardline.sources.opening import open_version
from shardline.sources.table_version import WORDS, TableFile, TableVersion

log = logging.getLogger("shardline")


def expired_version(source: Source, files: Sequence[FileRow], root: str, settings: Settings) -> Plan | None:
    """The plan of the files of a version; None where the state does not say enough.

    That is where rows were deleted, a column is known by partitions, or the table no longer has the schema.

    Args:
        source: The version, as the state has it.
        files: Those of the state.
        root: The table.
        settings: The dataset's.

    Raises:
        FileChangedError: A file is gone.
    """
    if source["deleted"] or settings.table is None:
        return None
    request = replace(settings.table, version=None, timestamp=None, ref=None)
    newest = open_version(root, request, settings.storage)
    if newest.source["table"] != source["table"] or newest.columns_without_partitions is None:
        return None
    columns = newest.columns_without_partitions(source["schema"])
    if columns is None:
        return None
    said = {name: value for name, value in source.items() if name not in ("deleted", "deletes")}
    sizes = _Sizes(newest.root, settings)
    version = TableVersion(
        root=newest.root,
        source=said,
        columns=columns,
        files=[TableFile(name, sizes(name), rows) for name, rows, _ in files],
        partitions=None,
        deleted=lambda _: {},
        newer=newest.newer,
    )
    words = WORDS[source["kind"]]
    try:
        plan = build_listed(plan_of(version, settings), settings)
    except FileChangedError as error:
        raise FileChangedError(
            f"{error} The table no longer has that {words.version}, and {words.removed_by} removes such files; for "
            f"later runs, {words.keeps}"
        ) from error
    log.warning(
        "%s is no longer in the table's history, and its files are still there: the run goes on with them until %s "
        "removes them; %s",
        version,
        words.removed_by,
        words.keeps,
    )
    return plan


class _Sizes:
    """The sizes of the files under a root. Those on this machine are not asked for: their footers are read without."""

    def __init__(self, root: str, settings: Settings) -> None:
        self._root = root
        self._known: dict[str, int] | None = None
        if is_remote(root) and settings.storage is not None:
            store = ObjectStore(settings.storage, root)
            self._known = {key: size for key, size, *_ in store.list("")}

    def __call__(self, name: str) -> int:
        if self._known is None:
            return 0
        if name not in self._known:
            raise FileChangedError(f"{self._root}/{name}: there is no such object.")
        return self._known[name]
