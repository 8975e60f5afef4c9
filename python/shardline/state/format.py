"""The state: a plain dict of what defines the order and of the place in it. Built, validated, described.

>>> read({"shardline": 1})  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
shardline.errors.CheckpointMismatchError: this is not a state that can be resumed:...
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from shardline._core import ORDER_VERSION
from shardline.errors import CheckpointMismatchError
from shardline.planning.file_table import FileRow, unpack
from shardline.planning.shuffle import Shuffle
from shardline.state.leg import Leg, delivered_batches

STATE_VERSION = 1
_MAX = 2**63 - 1
_MISSING = object()


@dataclass(frozen=True)
class SavedFiles:
    """A state's file table: its digest and counts, and the table itself unless it was too large to be carried."""

    digest: str
    count: int
    rows: int
    table: list[FileRow] | None


@dataclass(frozen=True)
class SavedState:
    """A state that is well-formed in itself; whether it fits a dataset is `resume`'s question."""

    order_version: int
    seed: int
    epoch: int
    ended: bool
    num_shards: int
    legs: list[Leg]
    shuffle: Shuffle
    files: SavedFiles
    filter: dict[str, Any] | None
    sample: dict[str, Any] | None
    asked: int | None = None
    """The last epoch that a framework asked for, by its own count."""
    left_out: frozenset[str] = frozenset()
    """Names of files that the run leaves out."""


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
    filter: dict[str, Any] | None,
    sample: dict[str, Any] | None,
    asked: int | None = None,
    left_out: Collection[str] = (),
) -> dict[str, Any]:
    """A state. The packed table of `files` is shared by all states of a plan, and not copied."""
    state = {
        "shardline": STATE_VERSION,
        "order": dict(order),
        "epoch": epoch,
        "ended": ended,
        "num_shards": num_shards,
        "legs": [leg.plain() for leg in legs],
        "files": dict(files),  # torch.distributed.checkpoint loads in place, into what state_dict() returned
        "filter": filter and {**filter, "folders": dict(filter["folders"])},
        "sample": sample and dict(sample),
    }
    if left_out:
        state["left_out"] = sorted(left_out)
    return state if asked is None else {**state, "asked": asked}


class _Form:
    """Takes values out of a state by path, and collects everything that is wrong with them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def integer(self, where: str, value: Any, low: int = 0, high: int = _MAX) -> int:
        """An int in [low, high]; an integral float (some JSON writers make them) is one, a bool is not."""
        if value is _MISSING:
            self.wrong.append(f"{where} is missing")
        elif isinstance(value, bool) or not (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        ):
            self.wrong.append(f"{where} must be an integer, not {_short(value)}")
        elif not low <= value <= high:
            self.wrong.append(f"{where} must be between {low} and {high}, not {_short(value)}")
        else:
            return int(value)
        return low

    def boolean(self, where: str, value: Any) -> bool:
        if value is _MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, bool):
            self.wrong.append(f"{where} must be true or false, not {_short(value)}")
        else:
            return value
        return False

    def mapping(self, where: str, value: Any) -> Mapping[str, Any]:
        if value is _MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, Mapping):
            self.wrong.append(f"{where} must be a dict, not {_short(value)}")
        else:
            return value
        return {}

    def sequence(self, where: str, value: Any, length: int | None = None) -> Sequence[Any] | None:
        if value is _MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, (list, tuple)) or (length is not None and len(value) != length):
            expected = "a list" if length is None else f"a list of {length}"
            self.wrong.append(f"{where} must be {expected}, not {_short(value)}")
        else:
            return value
        return None

    def names(self, where: str, value: Any) -> frozenset[str]:
        names = self.sequence(where, value) or ()
        if not all(isinstance(name, str) for name in names):
            self.wrong.append(f"{where} must be a list of names, not {_short(value)}")
            return frozenset()
        return frozenset(names)

    def leg(self, where: str, value: Any) -> Leg | None:
        parts = self.sequence(where, value, 5)
        if parts is None:
            return None
        shards = self.integer(f"{where}[0] (num_shards)", parts[0], 1)
        batch_size = self.integer(f"{where}[1] (batch_size)", parts[1], 1)
        drop_last = self.boolean(f"{where}[2] (drop_last)", parts[2])
        delivered = self.integer(f"{where}[3] (batches delivered)", parts[3])
        skipped = []
        for i, pair in enumerate(self.sequence(f"{where}[4] (ranges skipped)", parts[4]) or ()):
            ends = self.sequence(f"{where}[4][{i}]", pair, 2) or (0, 0)
            skipped.append((self.integer(f"{where}[4][{i}][0]", ends[0]), self.integer(f"{where}[4][{i}][1]", ends[1])))
        return Leg(shards, batch_size, drop_last, delivered, skipped)

    def order(self, value: Any) -> tuple[int, int, Shuffle]:
        """(version, seed, settings) of the order."""
        entry = self.mapping("order", value)
        version = self.integer("order.version", entry.get("version", _MISSING)) if entry or not self.wrong else 0
        if version != ORDER_VERSION:  # its other keys are another version's
            return version, 0, Shuffle(False, 1, 0, 1, None, None, None, None)

        def number(name: str, low: int, high: int = _MAX) -> int:
            return self.integer(f"order.{name}", entry.get(name, _MISSING), low, high)

        def number_or_none(name: str, low: int) -> int | None:
            return None if entry.get(name, _MISSING) is None else number(name, low)

        shuffle = Shuffle(
            shuffle=self.boolean("order.shuffle", entry.get("shuffle", _MISSING)),
            strands=number("strands", 1),
            windows=number("windows", 0),
            split_bytes=number("split_bytes", 1),
            split_rows=number_or_none("split_rows", 1),
            asked_strands=number_or_none("asked_strands", 1),
            buffer_bytes=number_or_none("buffer_bytes", 1),
            buffer_rows=number_or_none("buffer_rows", 0),
        )
        return version, number("seed", 0, 2**64 - 1), shuffle

    def part(self, where: str, value: Any, kinds: Mapping[str, type]) -> dict[str, Any] | None:
        """Plain values of these types by name, or None where there is nothing."""
        if value is None:
            return None
        found = self.mapping(where, value)
        for name, kind in kinds.items():
            if kind is int:
                self.integer(f"{where}.{name}", found.get(name, _MISSING), 0, 2**64 - 1)
            elif not isinstance(found.get(name), (int, float) if kind is float else kind):
                self.wrong.append(f"{where}.{name} is missing, or not what it should be")
        return {name: found.get(name) for name in kinds}

    def files(self, value: Any) -> SavedFiles:
        entry = self.mapping("files", value)
        if not entry:
            return SavedFiles("", 0, 0, None)
        digest = entry.get("digest", _MISSING)
        if not isinstance(digest, str):
            self.wrong.append(
                "files.digest is missing" if digest is _MISSING else f"files.digest must be text, not {_short(digest)}"
            )
            digest = ""
        count = self.integer("files.count", entry.get("count", _MISSING))
        rows = self.integer("files.rows", entry.get("rows", _MISSING))
        packed, table = entry.get("packed", _MISSING), None
        if isinstance(packed, str):
            try:
                table = unpack(packed)
            except ValueError as error:
                self.wrong.append(f"files.packed: {error}")
            else:
                if len(table) != count:
                    self.wrong.append(f"files.packed names {len(table)} files, but files.count is {count}")
        elif packed is not None:
            self.wrong.append(
                "files.packed is missing" if packed is _MISSING else f"files.packed must be text, not {_short(packed)}"
            )
        return SavedFiles(digest, count, rows, table)


def read(state: Any) -> SavedState:
    """Checks a state's form; CheckpointMismatchError lists all that is wrong with it. Unknown keys are ignored."""
    if not isinstance(state, Mapping):
        _refuse([f"it must be the dict that state_dict() returned, not {_short(state)}"])
    version = state.get("shardline", _MISSING)
    if version is _MISSING:
        if "_snapshot" in state or "dataset_state" in state:
            _refuse(["it is the state of a StatefulDataLoader: give shardline.job_state(state), or load it into such"])
        _refuse(['"shardline" (the state\'s version) is missing: it is no state of shardline'])
    form = _Form()
    number = form.integer("shardline (the state's version)", version, 1)
    if not form.wrong and number != STATE_VERSION:
        _refuse(
            [f"it has the version {number}; this shardline reads version {STATE_VERSION}: use the one that saved it"]
        )
    legs = [
        form.leg(f"legs[{i}]", leg) for i, leg in enumerate(form.sequence("legs", state.get("legs", _MISSING)) or ())
    ]
    if isinstance(state.get("legs"), (list, tuple)) and not legs:
        form.wrong.append("legs must not be empty")
    order_version, seed, shuffle = form.order(state.get("order", _MISSING))
    saved = SavedState(
        order_version=order_version,
        seed=seed,
        epoch=form.integer("epoch", state.get("epoch", _MISSING)),
        ended=form.boolean("ended", state.get("ended", _MISSING)),
        num_shards=form.integer("num_shards", state.get("num_shards", _MISSING), 1),
        legs=[leg for leg in legs if leg is not None],
        shuffle=shuffle,
        files=form.files(state.get("files", _MISSING)),
        filter=form.part("filter", state.get("filter"), {"rows": str, "folders": Mapping, "counts": str}),
        sample=form.part("sample", state.get("sample"), {"low": float, "high": float, "seed": int}),
        asked=None if state.get("asked") is None else form.integer("asked", state["asked"]),
        left_out=form.names("left_out", state.get("left_out", ())),
    )
    if form.wrong:
        _refuse(form.wrong)
    return saved


def describe(state: Any) -> str:
    """A state in a few lines for a person; CheckpointMismatchError where it is none."""
    saved = read(state)
    last = saved.legs[-1]
    where = "its end was seen" if saved.ended else "its end was not seen yet"
    lines = [
        f"shardline state (version {STATE_VERSION}, order version {saved.order_version})",
        f"  epoch {saved.epoch}: {delivered_batches(saved.legs):,} batches of all ranks delivered; {where}",
        f"  {_cut(last)}: {last.delivered:,} delivered",
    ]
    lines += [f"    before that {_cut(leg)}: {leg.delivered:,} delivered" for leg in reversed(saved.legs[:-1])]
    skipped = sum(stop - start for leg in saved.legs for start, stop in leg.skipped)
    if skipped:
        lines.append(f"  {skipped:,} of these batches were skipped by seek()")
    lines.append(f"  {saved.shuffle.describe(saved.seed)}")
    if saved.filter is not None:
        lines.append(f"  rows that pass the filter {saved.filter['rows']}")
    if saved.sample is not None:
        lines.append(
            f"  of a sample: the fractions {saved.sample['low']} to {saved.sample['high']} of every row group, by the "
            f"seed {saved.sample['seed']}"
        )
    if saved.left_out:
        lines.append(f"  {_counted(len(saved.left_out), 'file')} left out: {', '.join(sorted(saved.left_out))}")
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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
