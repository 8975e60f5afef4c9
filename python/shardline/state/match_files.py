"""The files of a saved run among those that there are now."""

from collections.abc import Collection, Sequence

from shardline._core import Plan
from shardline.filters.hive import attach
from shardline.filters.row_filter import RowFilter
from shardline.planning.file_table import MAX_PACKED_GROUPS
from shardline.state.format import Difference, SavedFiles

_NAMED = 5


def match_files(
    saved: SavedFiles, plan: Plan, listed: Plan, row_filter: RowFilter, left_out: Collection[str]
) -> tuple[Plan | None, list[str], list[Difference | str]]:
    """Finds the plan of the saved files.

    Args:
        saved: A state's file table.
        plan: The present plan, which may be of an earlier state.
        listed: All files that were found.
        row_filter: Which rows pass.
        left_out: Names of files that may be gone, or be other ones now.

    Returns:
        The plan, or None; the names of the files that came since; and the differences.
    """
    for candidate in (plan, listed):
        if candidate.digest == saved.digest:
            return candidate, [], []
    there = f"{saved.count:,} files, {saved.rows:,} rows, digest {saved.digest}"
    here = f"{listed.num_files:,} files, {listed.num_rows:,} rows, digest {listed.digest}"
    if saved.table is None:
        cure = "the state names no files (there were too many): give plan=, the plan that was saved beside it"
        return None, [], [Difference("files", there, here, cure)]
    by_name = {name: (i, rows, digest) for i, (name, rows, digest) in enumerate(listed.files())}
    removed, changed, absent, chosen = [], [], [], []
    for name, rows, digest in saved.table:
        found = by_name.pop(name, None)
        if found is not None and found[1:] == (rows, digest):
            chosen.append(found[0])
        elif name in left_out:
            absent.append((name, digest))
        elif found is None:
            removed.append(name)
        else:
            changed.append(name)
    added = list(by_name)
    differences = _differences(removed, changed, added)
    if absent and not saved.groups:
        differences.append(
            f"files that are left out and not as they were: {_names([name for name, _ in absent])}; the state does not "
            f"hold their row groups, as there are more than {MAX_PACKED_GROUPS:,} in all: give plan=, the plan that "
            "was saved beside it"
        )
    if differences:
        return None, added, differences
    selected = listed.select(sorted(chosen))
    if absent:
        selected = selected.with_absent([(name, digest, *saved.groups[name]) for name, digest in absent])
        selected = attach(selected, row_filter.partitioning)
    if selected.digest != saved.digest:
        return None, added, [Difference("files", there, here, "the saved table is damaged: start afresh")]
    return selected, added, []


def _differences(removed: Sequence[str], changed: Sequence[str], added: Sequence[str]) -> list[Difference | str]:
    without = "continue without them by load_state_dict(state, leave_out=[…])"
    found: list[Difference | str] = []
    if removed:
        found.append(f"files removed since: {_names(removed)}; put them back, {without}, or start afresh")
    if changed:
        found.append(f"files changed since: {_names(changed)}; put the old ones back, {without}, or start afresh")
    if found and added:
        found.append(f"files added since: {_names(added)}; these alone would be no obstacle")
    return found


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,} ({', '.join(names[:_NAMED])}{more})"
