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
from shardline.checkpoint.directory import contents, read_manifest
from shardline.checkpoint.disk_backend import DiskBackend
from shardline.checkpoint.manifest import NAME, Manifest
from shardline.checkpoint.parts import from_file
from shardline.errors import CheckpointError, CheckpointMismatchError, ShardlineError, ShardlineFileNotFoundError
from shardline.inspection.state_facts import facts_of, figures_of
from shardline.state.format import describe, read
from shardline.state.torchdata import job_state

_DEPTH = 12
_MOST = 100_000
"""Objects of a file that are looked at."""
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
        head = text.paragraph(f"{self.path}: {self.kind}", width, "", "  ")
        lines = [*head, *text.table([], [list(pair) for pair in self.facts], width)]
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
                one |= figures_of(read(found.state))
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
    facts: list[tuple[str, str]] = []
    if not (path / NAME).exists():
        there = contents(DiskBackend(path))
        if not there.found:
            damaged = "".join(f"; {each}" for each in there.damaged.values())
            raise CheckpointError(f"{path} is no checkpoint of a Checkpointer, and holds none{damaged}")
        steps = [one.manifest.step for one in there.found]
        of = f"of {'step' if len(steps) == 1 else 'steps'} {text.listed(map(str, steps))}"
        facts = [("checkpoints", f"{len(steps):,}, {of}; this is the latest")]
        facts += [("damaged", said) for said in there.damaged.values()]
        path = path / there.found[-1].folder
    try:
        manifest = read_manifest(DiskBackend(path.parent), path.name)
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
    return StateReport(path, "a checkpoint", states, facts)


def _of_parts(path: Path, manifest: Manifest) -> tuple[list[FoundState], list[tuple[str, str]]]:
    """The states among a checkpoint's parts: plain ones are JSON."""
    states: list[FoundState] = []
    wrong = []
    for part, files in manifest.parts.items():
        if files and files[0].endswith(".json"):
            try:
                states += _states_in(from_file(path / files[0], path / files[0], None), part)
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
            stack += [(each, place, depth + 1) for each, place in reversed(inner)]


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
        f"begin epoch {value['epoch']} at its start, by set_epoch({value['epoch']}) (shardline.from_tdu)."
    )
