"""`read_state`: the states of loaders in a file or a folder, whoever saved them, and what they say."""

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from shardline import text
from shardline._core import ORDER_VERSION, Legs
from shardline.checkpoint.directory import contents, read_manifest
from shardline.checkpoint.manifest import NAME, Manifest
from shardline.checkpoint.parts import from_file
from shardline.errors import CheckpointError, CheckpointMismatchError, ShardlineError, ShardlineFileNotFoundError
from shardline.state.format import SavedState, describe, read
from shardline.state.torchdata import job_state

_DEPTH = 12
_MOST = 100_000
"""Objects of a file that are looked at."""
_RANKS = 1024
_CONTAINERS = (Mapping, list, tuple)


class FoundState(NamedTuple):
    """A state, and where it was found."""

    where: str
    """The file's part or the keys that lead to it; nothing where the file is the state."""
    kind: str
    state: dict[str, Any] | None
    """The job's state, as `load_state_dict` takes it; None where it is none of shardline's."""
    said: str
    """In words: what it says, or why it cannot be read."""


@dataclass(frozen=True)
class StateReport:
    """What `read_state` found. `print` shows it."""

    path: Path
    kind: str
    states: list[FoundState]
    facts: list[tuple[str, str]] = field(default_factory=list)
    """Of the checkpoint or the file."""

    @property
    def state(self) -> dict[str, Any]:
        """The first state that a loader can take.

        Raises:
            CheckpointMismatchError: There is none.
        """
        for found in self.states:
            if found.state is not None:
                return found.state
        raise CheckpointMismatchError(f"{self.path}: {self.states[0].said}")

    @property
    def is_good(self) -> bool:
        """Whether it has a state that a loader can take."""
        return any(found.state is not None for found in self.states)

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        lines = [f"{self.path}: {self.kind}", *text.table([], [list(pair) for pair in self.facts], width)]
        seen: dict[str, str] = {}
        for found in self.states:
            title = f"{found.kind}{f' at {found.where}' if found.where else ''}"
            if found.said in seen:
                lines.append(f"{title}: the same as at {seen[found.said]}")
                continue
            seen[found.said] = found.where
            lines.append(title)
            if found.state is not None:
                lines += text.table([], [list(pair) for pair in facts_of(read(found.state))], width)
            else:
                lines += [each for line in found.said.splitlines() for each in text.paragraph(line, width)]
        return "\n".join(lines)

    __str__ = text

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        states = []
        for found in self.states:
            one: dict[str, Any] = {"where": found.where, "kind": found.kind, "description": found.said}
            if found.state is not None:
                one |= _figures(read(found.state))
            states.append(one)
        return dict(text.plain({"path": str(self.path), "kind": self.kind, **dict(self.facts), "states": states}))


def read_state(path: str | Path) -> StateReport:
    """Finds the states of loaders in a file or a folder, and says what they say.

    Args:
        path: A checkpoint of `Checkpointer`, its directory (the latest is taken), a file of `torch.save` (loaded with
            `weights_only=True`), or JSON. The state may be anywhere in it: that of a loader, of a StatefulDataLoader,
            of torch-dataloader-utils.

    Returns:
        The report; `print` shows it, and `.state` is what `load_state_dict` takes.

    Raises:
        ShardlineFileNotFoundError: There is no such path.
        CheckpointError: It cannot be read, or there is no state in it.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> from shardline import StructuredDataset
    >>> folder = tempfile.mkdtemp()
    >>> pq.write_table(pa.table({"x": range(10)}), os.path.join(folder, "x.parquet"))
    >>> torch.save({"loader": StructuredDataset(folder).state_dict()}, os.path.join(folder, "last.pt"))
    >>> read_state(os.path.join(folder, "last.pt")).states[0].where
    "['loader']"
    """
    path = Path(path)
    if not path.exists():
        raise ShardlineFileNotFoundError(f"no such file or directory: {path}")
    if path.is_dir():
        return _of_folder(path)
    found = list(_states_in(_load(path), ""))
    if not found:
        raise CheckpointError(f"{path} has no state of a loader in it: save loader.state_dict() beside the model")
    kind = "JSON" if path.suffix == ".json" else "a file of torch.save"
    return StateReport(path, kind, found)


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(1)
    if start in (b"{", b"["):
        try:
            return json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises of many kinds, and at length
        said = "it is no file of torch.save, or a damaged one"
        if isinstance(error, OSError):
            said = str(error)
        elif isinstance(error, pickle.UnpicklingError) and "weights" in str(error).lower():
            said = "it holds objects of Python classes, which are not loaded from a file that may be anybody's"
        raise CheckpointError(f"{path} cannot be read by torch.load(weights_only=True): {said}") from None


def _of_folder(path: Path) -> StateReport:
    kind, facts = "a checkpoint", []
    if not (path / NAME).exists():
        there = contents(path)
        if not there.found:
            wrong = "".join(f"; {each}" for each in there.damaged.values())
            raise CheckpointError(f"{path} is no checkpoint of a Checkpointer, and holds none{wrong}")
        steps = [one.manifest.step for one in there.found]
        of = f"of {'step' if len(steps) == 1 else 'steps'} {text.listed(map(str, steps))}"
        facts = [("checkpoints", f"{len(steps):,}, {of}; this is the latest")]
        facts += [("damaged", wrong) for wrong in there.damaged.values()]
        path = there.found[-1].path
    try:
        manifest = read_manifest(path)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path / NAME}: {error}") from error
    states, wrong = _of_parts(path, manifest)
    if not states and not wrong:
        raise CheckpointError(f"{path} has no state of a loader: give data= to the Checkpointer")
    states += [FoundState(name, "a part that cannot be read", None, said) for name, said in wrong]
    time = datetime.fromtimestamp(manifest.time).astimezone().isoformat(" ", "seconds")
    facts += [
        ("step", f"{manifest.step:,}" + ("" if manifest.epoch is None else f", epoch {manifest.epoch}")),
        ("saved", f"{time}, by {text.counted(manifest.ranks, 'rank')}"),
        ("parts", f"{', '.join(manifest.parts)}; {text.size(manifest.bytes)}"),
    ]
    if manifest.metrics:
        facts.append(("metrics", ", ".join(f"{name} {value:.6g}" for name, value in manifest.metrics.items())))
    return StateReport(path, kind, states, facts)


def _of_parts(path: Path, manifest: Manifest) -> tuple[list[FoundState], list[tuple[str, str]]]:
    """The states among a checkpoint's parts: plain ones are JSON."""
    states: list[FoundState] = []
    wrong = []
    for part, files in manifest.parts.items():
        if files and files[0].endswith(".json"):
            try:
                states += _states_in(from_file(path / files[0], None, None), part)
            except CheckpointError as error:
                wrong.append((part, str(error)))
    return states, wrong


def _states_in(value: Any, where: str) -> Iterator[FoundState]:
    """All states in an object, the outermost of those that are in one another."""
    stack, seen = [(value, where, 0)], 0
    while stack and seen < _MOST:
        value, where, depth = stack.pop()
        seen += 1
        if isinstance(value, Mapping):
            found = _recognised(value, where)
            if found is not None:
                yield found
                continue
            inner = [(each, f"{where}[{key!r}]") for key, each in value.items() if isinstance(each, _CONTAINERS)]
        elif isinstance(value, (list, tuple)):
            inner = [(each, f"{where}[{i}]") for i, each in enumerate(value[:_MOST]) if isinstance(each, _CONTAINERS)]
        else:
            continue
        if depth < _DEPTH:
            stack += [
                (each, place, depth + 1) for each, place in reversed(inner) if isinstance(each, (Mapping, list, tuple))
            ]


def _recognised(value: Mapping[Any, Any], where: str) -> FoundState | None:
    if "shardline" in value and ("files" in value or "legs" in value):
        kind = "the state of a loader"
    elif "_snapshot" in value or ("dataset_state" in value and "_iterator_finished" in value):
        kind = "the state of a StatefulDataLoader"
    elif "completed_shards" in value and "epoch" in value:
        return FoundState(where, "the state of torch-dataloader-utils", None, _of_tdu(value))
    else:
        return None
    try:
        state = job_state(value)
        return FoundState(where, kind, state, describe(state))
    except ShardlineError as error:
        return FoundState(where, kind, None, str(error))


def _of_tdu(value: Mapping[Any, Any]) -> str:
    done = value["completed_shards"]
    shards = len(done) if isinstance(done, (list, tuple, set, Mapping)) else 0
    return (
        f"epoch {value['epoch']}, {text.counted(shards, 'shard')} completed, {value.get('_num_workers', 'unknown')} "
        f"workers, seed {value.get('_shuffle_seed', 'unknown')}\nIts rows stand in another order than shardline's: "
        f"begin epoch {value['epoch']} at its start, by set_epoch({value['epoch']})."
    )


def line_rows(saved: SavedState) -> int | None:
    """The rows of a state's line; None where the state does not say how many pass its filter."""
    if saved.rows.filter is None and saved.rows.sample is None:
        return saved.files.rows
    return sum(sum(groups.passing) for groups in saved.files.groups.values()) or None


def _figures(saved: SavedState) -> dict[str, Any]:
    """How far a state's epoch is, in numbers."""
    rows, last = line_rows(saved), saved.legs[-1]
    found: dict[str, Any] = {
        "epoch": saved.epoch,
        "ended": saved.ended,
        "num_shards": saved.num_shards,
        "batch_size": last.batch_size,
        "rows": rows,
        "files": saved.files.count,
        "ranks": _ranks(saved),
        "rows_to_come": None,
        "percent": None,
        "needs": needs_of(saved),
    }
    if rows:
        try:
            legs = Legs(rows, saved.legs)
        except (ShardlineError, OverflowError):
            return found
        to_come = sum(stop - start for start, stop in legs.left_over())
        over = saved.ended or legs.is_complete
        found["rows_to_come"] = 0 if over else to_come
        found["percent"] = 100.0 if over else round(100 * (1 - to_come / rows), 2)
    return found


def facts_of(saved: SavedState) -> list[tuple[str, str]]:
    """What a state says, as (what, words)."""
    figures, last = _figures(saved), saved.legs[-1]
    where = f"epoch {saved.epoch}"
    if figures["percent"] is not None:
        where += f", {figures['percent']:g} % done, {text.counted(figures['rows_to_come'], 'row')} to come"
    delivered = sum(leg.delivered for leg in saved.legs)
    if saved.ended:
        where += "; its end was seen"
    found = [
        ("place", where),
        ("delivered", f"{text.counted(delivered, 'batch')} by all ranks, now of {last.batch_size:,} rows"),
        ("shards", f"{last.num_shards:,}; " + _resumes_on(figures["ranks"])),
    ]
    if len(saved.legs) > 1:
        found.append(("legs", f"{len(saved.legs):,}: ranks or batch size were changed in mid-epoch"))
    skipped = sum(stop - start for leg in saved.legs for start, stop in leg.skipped)
    if skipped:
        found.append(("skipped", f"{text.counted(skipped, 'batch')}, by seek()"))
    rows = saved.rows
    known = rows.order_version == ORDER_VERSION
    found.append(
        ("order", rows.shuffle.describe(rows.seed, figures["rows"]) if known else f"version {rows.order_version}")
    )
    if rows.filter is not None:
        found.append(("filter", str(rows.filter["rows"])))
    if rows.sample is not None:
        found.append(("sample", f"{rows.sample['low']} to {rows.sample['high']}, seed {rows.sample['seed']}"))
    if rows.left_out:
        found.append(("left out", text.listed(sorted(rows.left_out))))
    named = text.listed([name for name, _, _ in saved.files.table], 3) if saved.files.table else "by digest only"
    found.append(("files", f"{saved.files.count:,} ({named}), {text.counted(saved.files.rows, 'row')}"))
    found.append(("needs", ", ".join(f"{name}={value!r}" for name, value in figures["needs"].items())))
    return found


def needs_of(saved: SavedState) -> dict[str, Any]:
    """The arguments that a loader needs to resume it exactly; a filter as its text."""
    rows, last = saved.rows, saved.legs[-1]
    found: dict[str, Any] = {"batch_size": last.batch_size}
    if last.drop_last:
        found["drop_last"] = True
    if rows.order_version == ORDER_VERSION and rows.shuffle.shuffle:
        found |= {"shuffle": True, "shuffle_seed": rows.seed}
    if rows.filter is not None:
        found["filters"] = str(rows.filter["rows"])
    if rows.sample is not None:
        found |= {"subset": (rows.sample["low"], rows.sample["high"]), "sample_seed": rows.sample["seed"]}
    return found


def _ranks(saved: SavedState) -> list[int]:
    """The numbers of ranks that resume exactly."""
    last = saved.legs[-1]
    most = min(last.num_shards, _RANKS)
    return [ranks for ranks in range(1, most + 1) if last.num_shards % ranks == 0 and last.delivered % ranks == 0]


def _resumes_on(ranks: list[int]) -> str:
    if ranks == [1]:
        return "resumes batch for batch on 1 rank, on others in a new leg"
    listed = text.listed(map(str, ranks), 8)
    return f"resumes batch for batch on {listed} ranks, on others in a new leg"
