"""`compare_states`: how two states differ, and whether the data of one resume the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shardline import text
from shardline.dataset import StructuredDataset
from shardline.errors import CheckpointMismatchError
from shardline.inspection.state_facts import facts_of, needs_of
from shardline.options.validate import Paths
from shardline.state.format import SavedFiles, SavedState, read


@dataclass(frozen=True)
class StateComparison:
    """How the state `b` differs from `a`. `print` shows it."""

    differences: list[tuple[str, str, str]]
    """What differs, and what it is in each."""
    removed: list[str]
    """Files of `a` that `b` has not."""
    changed: list[str]
    """Files of both that are not the same."""
    added: list[str]
    """Files of `b` only."""
    resumes: bool
    """Whether a loader over the data of `b` resumes `a`."""
    sentence: str
    """Why, or why not."""

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        if not self.differences and not self.added:
            lines = ["The states are the same."]
        else:
            lines = (
                text.table(["", "A", "B"], [list(each) for each in self.differences], width) if self.differences else []
            )
        for what, names in (("removed", self.removed), ("changed", self.changed), ("added", self.added)):
            if names:
                lines += text.paragraph(f"{text.counted(len(names), 'file')} {what}: {text.listed(names)}", width)
        return "\n".join([*lines, *text.paragraph(self.sentence, width, "", "")])

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        differences = [dict(zip(("what", "a", "b"), each, strict=True)) for each in self.differences]
        return {**text.plain(vars(self)), "differences": differences}


def compare_states(a: Mapping[str, Any], b: Mapping[str, Any]) -> StateComparison:
    """Compares two states of loaders.

    Args:
        a: What `state_dict()` returned, or `read_state(path).state`.
        b: Another one.

    Returns:
        What differs, and whether a loader over the data of `b`, with its filter and sample, resumes `a`.

    Raises:
        CheckpointMismatchError: One of them is no state, or of another version.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(10)}), path)
    >>> dataset = StructuredDataset(path, batch_size=2)
    >>> print(compare_states(dataset.state_at(1), dataset.state_at(2)))
                 A                                    B
      place      epoch 0, 20 % done, 8 rows to come   epoch 0, 40 % done, 6 rows to come
      delivered  1 batch by all ranks, now of 2 rows  2 batches by all ranks, now of 2 rows
    The data of B resume A: the same files and rows, in the same order.
    """
    one, other = read(a), read(b)
    left, right = dict(facts_of(one)), dict(facts_of(other))
    names = [name for name in dict.fromkeys([*left, *right]) if name not in ("needs", "files")]
    differences = [
        (name, left.get(name, "none"), right.get(name, "none")) for name in names if left.get(name) != right.get(name)
    ]
    removed, changed, added, same = _files(one.files, other.files)
    if not same:
        differences.append(("files", _counts(one.files), _counts(other.files)))
    resumes, sentence = _resumes(one, other, removed, changed, added, same)
    return StateComparison(differences, removed, changed, added, resumes, sentence)


def try_resume(state: Mapping[str, Any], path: Paths, **arguments: Any) -> tuple[bool, str]:
    """Whether a loader over some data resumes a state, and what it would do: the loader is made, and loads it.

    Args:
        state: What `state_dict()` returned.
        path: The data.
        arguments: Of `StructuredDataset`; those that the state needs are given already, but a filter.

    Returns:
        (whether it can, what it would do or what differs).
    """
    needs = {name: value for name, value in needs_of(read(state)).items() if name != "filters"}
    form = "torch" if "pack" in needs else "arrow"
    given = {"output_format": form, "rank": 0, "num_ranks": 1, **needs, **arguments}
    dataset = StructuredDataset(path, **given)
    try:
        dataset.load_state_dict(state)
    except CheckpointMismatchError as error:
        return False, str(error)
    return True, f"a loader over these data resumes it: it {dataset.resumed}"


def _files(a: SavedFiles, b: SavedFiles) -> tuple[list[str], list[str], list[str], bool]:
    """Files removed, changed and added, and whether all are the same."""
    if a.digest == b.digest:
        return [], [], [], True
    if a.table is None or b.table is None:
        return [], [], [], False
    there = {name: (rows, digest) for name, rows, digest in b.table}
    was = {name: (rows, digest) for name, rows, digest in a.table}
    removed = [name for name in was if name not in there]
    changed = [name for name, what in was.items() if name in there and there[name] != what]
    return removed, changed, [name for name in there if name not in was], False


def _counts(files: SavedFiles) -> str:
    return f"{text.counted(files.count, 'file')}, {text.counted(files.rows, 'row')}"


def _resumes(
    a: SavedState, b: SavedState, removed: list[str], changed: list[str], added: list[str], same: bool
) -> tuple[bool, str]:
    rows = [(a.rows.filter or {}).get("rows") != (b.rows.filter or {}).get("rows"), a.rows.sample != b.rows.sample]
    why = []
    if not same and not (removed or changed or added):
        why.append("the files differ, and one of the states names none")
    if gone := len(removed) + len(changed):
        why.append(f"{text.counted(gone, 'file')} of A {'is' if gone == 1 else 'are'} gone or changed")
    if rows[0]:
        why.append("their filters differ")
    elif same and (a.rows.filter or {}).get("counts") != (b.rows.filter or {}).get("counts"):
        why.append("other rows pass the filter")
    if rows[1]:
        why.append("their samples differ")
    if a.rows.source != b.rows.source:
        why.append("they are of other tables, or of other versions or deletes of one")
    if a.rows.pack != b.rows.pack:
        why.append("documents are packed in other ways")
    if a.rows.order_version != b.rows.order_version:
        why.append("they are of other versions of the order")
    if why:
        return False, f"The data of B do not resume A: {'; '.join(why)}."
    if a.rows.shuffle != b.rows.shuffle or a.rows.seed != b.rows.seed:
        order = [f"{name}={value!r}" for name, value in needs_of(a).items() if name.startswith("shuffle")]
        needs = ", ".join(order) or "shuffle=False"
        return True, f"The data of B resume A, in the order of A: give {needs}."
    if added:
        return True, "The data of B resume A, which keeps to its own files until its epoch ends."
    return True, "The data of B resume A: the same files and rows, in the same order."
