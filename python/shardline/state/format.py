"""The state: a plain dict of what defines the order and of the place in it. Built, validated, described.

>>> read({"shardline": 1})  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
shardline.errors.CheckpointMismatchError: this is not a state that can be resumed:...
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from shardline._core import ORDER_VERSION
from shardline.errors import CheckpointMismatchError
from shardline.planning.file_table import FileRow, RowGroups, unpack_with_groups
from shardline.planning.source import Source, describe_source
from shardline.state.form import MISSING, Form, short
from shardline.state.leg import Leg, delivered_batches
from shardline.state.rows import SavedRows, build_rows, read_rows, unknown_keys

STATE_VERSION = 2


@dataclass(frozen=True)
class SavedFiles:
    """A state's file table: its digest and counts, and the table itself unless it was too large to be carried."""

    digest: str
    count: int
    rows: int
    table: list[FileRow] | None
    groups: Mapping[str, RowGroups] = field(default_factory=dict)
    """The row groups by file; empty where there were too many to be carried."""


@dataclass(frozen=True)
class SavedState:
    """A state that is well-formed in itself; whether it fits a dataset is `resume`'s question."""

    rows: SavedRows
    epoch: int
    ended: bool
    num_shards: int
    legs: list[Leg]
    files: SavedFiles
    asked: int | None = None
    """The last epoch that a framework asked for, by its own count."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs between a state and a dataset."""

    what: str
    saved: object
    here: object
    cure: str

    def __str__(self) -> str:
        return f"{self.what}: saved {self.saved}, here {self.here}; {self.cure}"


def mismatch(differences: Sequence[Difference | str]) -> CheckpointMismatchError:
    """The error that lists every difference."""
    lines = "\n".join(f"  - {difference}" for difference in differences)
    return CheckpointMismatchError(
        "the state does not belong to this dataset as it is set up, and cannot be resumed exactly "
        f"({len(differences)} difference{'s' * (len(differences) > 1)}):\n{lines}\n"
        "Nothing was changed: this dataset stands where it stood."
    )


def build(
    *,
    order: Mapping[str, Any],
    epoch: int,
    ended: bool,
    num_shards: int,
    legs: Sequence[Leg],
    files: dict[str, Any],
    filter: Mapping[str, Any] | None,
    sample: Mapping[str, Any] | None,
    asked: int | None = None,
    left_out: Collection[str] = (),
    source: Source | None = None,
    pack: Mapping[str, Any] | None = None,
    mixture: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A state. The packed table of `files` is shared by all states of a plan, and not copied."""
    state = {
        "shardline": STATE_VERSION,
        "rows": build_rows(order, filter, sample, left_out, source, pack, mixture),
        "epoch": epoch,
        "ended": ended,
        "num_shards": num_shards,
        "legs": [leg.plain() for leg in legs],
        "files": dict(files),  # torch.distributed.checkpoint loads in place, into what state_dict() returned
    }
    return state if asked is None else {**state, "asked": asked}


def read(state: Any) -> SavedState:
    """Checks a state's form. Unknown keys are ignored, but for those of `rows`.

    Args:
        state: What `state_dict()` returned, or what became of it in JSON or `torch.save`.

    Returns:
        The state's values.

    Raises:
        CheckpointMismatchError: It is no state, or another version's. The message lists all that is wrong with it.
    """
    if not isinstance(state, Mapping):
        _refuse([f"it must be the dict that state_dict() returned, not {short(state)}"])
    version = state.get("shardline", MISSING)
    if version is MISSING:
        if "_snapshot" in state or "dataset_state" in state:
            _refuse(["it is the state of a StatefulDataLoader: give shardline.job_state(state), or load it into such"])
        inner = [key for key, value in state.items() if isinstance(value, Mapping) and "shardline" in value]
        if inner:
            _refuse([f"it holds a state: give state[{inner[0]!r}], not the whole checkpoint"])
        if "completed_shards" in state:
            _refuse(
                ["it is a state of torch-dataloader-utils, whose rows stand in another order: see shardline.from_tdu()"]
            )
        _refuse(['"shardline" (the state\'s version) is missing: it is no state of shardline'])
    form = Form()
    number = form.integer("shardline (the state's version)", version, 1)
    if not form.wrong and number != STATE_VERSION:
        cure = "use the shardline that saved it"
        if number == 1:
            cure = "finish that run with the shardline that saved it, or start afresh: rows are in another order now"
        _refuse([f"it has version {number} of the state; this shardline reads version {STATE_VERSION}: {cure}"])
    rows = form.mapping("rows", state.get("rows", MISSING))
    if unknown := unknown_keys(rows):
        newer = (
            f"this state was written by a newer version of shardline: it has {', '.join(unknown)}, which this version "
            "does not know, and rows would be lost; use that version, or start afresh"
        )
        _refuse([newer])
    legs = [
        _leg(form, f"legs[{i}]", leg) for i, leg in enumerate(form.sequence("legs", state.get("legs", MISSING)) or ())
    ]
    if isinstance(state.get("legs"), (list, tuple)) and not legs:
        form.wrong.append("legs must not be empty")
    saved = SavedState(
        rows=read_rows(form, rows),
        epoch=form.integer("epoch", state.get("epoch", MISSING)),
        ended=form.boolean("ended", state.get("ended", MISSING)),
        num_shards=form.integer("num_shards", state.get("num_shards", MISSING), 1),
        legs=[leg for leg in legs if leg is not None],
        files=_files(form, state.get("files", MISSING)),
        asked=None if state.get("asked") is None else form.integer("asked", state["asked"]),
    )
    if form.wrong:
        _refuse(form.wrong)
    return saved


def _leg(form: Form, where: str, value: Any) -> Leg | None:
    parts = form.sequence(where, value, 5)
    if parts is None:
        return None
    shards = form.integer(f"{where}[0] (num_shards)", parts[0], 1)
    batch_size = form.integer(f"{where}[1] (batch_size)", parts[1], 1)
    drop_last = form.boolean(f"{where}[2] (drop_last)", parts[2])
    delivered = form.integer(f"{where}[3] (batches delivered)", parts[3])
    skipped = []
    for i, pair in enumerate(form.sequence(f"{where}[4] (ranges skipped)", parts[4]) or ()):
        ends = form.sequence(f"{where}[4][{i}]", pair, 2) or (0, 0)
        skipped.append((form.integer(f"{where}[4][{i}][0]", ends[0]), form.integer(f"{where}[4][{i}][1]", ends[1])))
    return Leg(shards, batch_size, drop_last, delivered, skipped)


def _files(form: Form, value: Any) -> SavedFiles:
    entry = form.mapping("files", value)
    if not entry:
        return SavedFiles("", 0, 0, None)
    digest = entry.get("digest", MISSING)
    if not isinstance(digest, str):
        form.wrong.append(
            "files.digest is missing" if digest is MISSING else f"files.digest must be text, not {short(digest)}"
        )
        digest = ""
    count = form.integer("files.count", entry.get("count", MISSING))
    rows = form.integer("files.rows", entry.get("rows", MISSING))
    packed, table = entry.get("packed", MISSING), None
    groups: Mapping[str, RowGroups] = {}
    if isinstance(packed, str):
        try:
            table, groups = unpack_with_groups(packed)
        except ValueError as error:
            form.wrong.append(f"files.packed: {error}")
        else:
            if len(table) != count:
                form.wrong.append(f"files.packed names {len(table)} files, but files.count is {count}")
    elif packed is not None:
        form.wrong.append(
            "files.packed is missing" if packed is MISSING else f"files.packed must be text, not {short(packed)}"
        )
    return SavedFiles(digest, count, rows, table, groups)


def describe(state: Any) -> str:
    """A state in a few lines for a person; CheckpointMismatchError where it is none."""
    saved = read(state)
    last = saved.legs[-1]
    where = "its end was seen" if saved.ended else "its end was not seen yet"
    lines = [
        f"shardline state (version {STATE_VERSION}, order version {saved.rows.order_version})",
        f"  epoch {saved.epoch}: {delivered_batches(saved.legs):,} batches of all ranks delivered; {where}",
        f"  {_cut(last)}: {last.delivered:,} delivered",
    ]
    lines += [f"    before that {_cut(leg)}: {leg.delivered:,} delivered" for leg in reversed(saved.legs[:-1])]
    skipped = sum(stop - start for leg in saved.legs for start, stop in leg.skipped)
    if skipped:
        lines.append(f"  {skipped:,} of these batches were skipped by seek()")
    rows, sample = saved.rows, saved.rows.sample
    if rows.order_version == ORDER_VERSION:
        lines.append(f"  {rows.shuffle.describe(rows.seed)}")
    else:
        lines.append(f"  in an order that this shardline, of order version {ORDER_VERSION}, cannot describe")
    if rows.pack is not None:
        lines.append(f"  packed sequences of {rows.pack['seq_len']:,} tokens of column {rows.pack['column']!r}")
    if rows.filter is not None:
        lines.append(f"  rows that pass the filter {rows.filter['rows']}")
    if sample is not None:
        of = "every row group" if sample["columns"] is None else f"the keys in {', '.join(sample['columns'])}"
        lines.append(
            f"  of a sample: the fractions {sample['low']} to {sample['high']} of {of}, by the seed {sample['seed']}"
        )
    if rows.source is not None:
        lines.append(f"  {describe_source(rows.source)}")
    if rows.left_out:
        lines.append(f"  {_counted(len(rows.left_out), 'file')} left out: {', '.join(sorted(rows.left_out))}")
    if rows.mixture is not None:
        lines += [f"  {line}" for line in rows.mixture.words()]
        return "\n".join(lines)
    named = "named" if saved.files.table is not None else "by digest only"
    lines.append(
        f"  {_counted(saved.files.count, 'file')} ({named}), {saved.files.rows:,} rows, digest {saved.files.digest}"
    )
    return "\n".join(lines)


def _cut(leg: Leg) -> str:
    shards = _counted(leg.num_shards, "shard")
    return f"batches of {leg.batch_size:,} rows from {shards}{', drop_last' if leg.drop_last else ''}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _refuse(wrong: Sequence[str]) -> NoReturn:
    lines = "".join(f"\n  - {line}" for line in wrong)
    raise CheckpointMismatchError(
        f"this is not a state that can be resumed:{lines}\n"
        "Give load_state_dict() what state_dict() returned, as it was saved, or start afresh. Nothing was changed."
    )
