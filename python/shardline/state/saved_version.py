"""The version of a table that a state was saved with, where the dataset stands at another one."""

from collections.abc import Sequence

from shardline._core import Plan
from shardline.errors import FileChangedError, ShardlineFileNotFoundError, ShardlineValueError
from shardline.planning.build import build_version
from shardline.planning.expired import expired_version
from shardline.planning.source import Source, source_of
from shardline.settings import Settings
from shardline.sources.opening import holds_version
from shardline.sources.table_version import WORDS
from shardline.state.format import SavedState, mismatch


def saved_version(
    saved: SavedState, plans: Sequence[Plan], paths: Sequence[str] | None, settings: Settings
) -> Plan | None:
    """The plan of the state's version of the table; None where `resume` says why there is none, or need be none.

    A run continues in the version that it began with, whatever was committed since: that version is planned again, from
    the table's log, unless a version was asked for by name. Where the log no longer has it, and no row was deleted, the
    state's list of files is its plan.

    Args:
        saved: A state.
        plans: Those that the dataset has, the present one first.
        paths: The table's; None where the dataset was built from a plan.
        settings: The dataset's.

    Raises:
        CheckpointMismatchError: The log does not have that version any more.
        FileChangedError: A file of that version is gone.
    """
    source = saved.rows.source
    if source is None:
        return None
    for plan in plans:
        if source_of(plan) == source:
            return plan
    here = source_of(plans[0])
    if here is None or settings.table is None or paths is None or not _is_other_version(source, here):
        return None
    if holds_version(paths[0], settings.table, settings.storage):
        return None
    try:
        return build_version(paths, settings, source["version"])
    except FileChangedError:
        raise
    except (ShardlineValueError, ShardlineFileNotFoundError) as error:
        if saved.files.table is not None:
            found = expired_version(source, saved.files.table, paths[0].rstrip("/") or "/", settings)
            if found is not None:
                return found
        raise mismatch([_gone(source, error)]) from error


def _gone(source: Source, error: Exception) -> str:
    words = WORDS[source["kind"]]
    return (
        f"{words.version}: the state is of {words.version} {source['version']} of the table, which cannot be planned "
        f"again: {error}. Give plan=, the plan that was saved beside the state (dataset.plan.save), or start afresh. "
        f"For later runs, {words.keeps}"
    )


def _is_other_version(saved: Source, here: Source) -> bool:
    return (saved["kind"], saved["table"]) == (here["kind"], here["table"]) and saved["version"] != here["version"]
