"""The parts of a training: what each one's state is, in which file it stands, and how it is put back.

>>> make_parts({"model": torch.nn.Linear(1, 1), "extra": {"seen": 3}})["extra"].take()
{'seen': 3}
"""

import io
import json
import re
from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shardline.checkpoint import module_names, serialization
from shardline.checkpoint.atomic_write import Writer
from shardline.checkpoint.backend import Place
from shardline.errors import CheckpointError, CheckpointMismatchError, ShardlineTypeError, ShardlineValueError
from shardline.options.near import near

RNG = "rng"
"""The name of the random generators among the parts."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = ("manifest", "sharded", RNG)


@dataclass
class Part:
    """One object with a state. `own`: every rank has its own."""

    name: str
    target: Any
    own: bool = False

    @property
    def is_model(self) -> bool:
        """Whether names of wrappers are taken off, and sharded tensors may be in it."""
        return isinstance(self.target, torch.nn.Module)

    @property
    def is_optimizer(self) -> bool:
        """Whether it may be sharded as its model is."""
        return isinstance(self.target, torch.optim.Optimizer)

    @property
    def is_loader(self) -> bool:
        """Whether it holds a position in the data."""
        return hasattr(self.target, "__iter__") and not self.is_model and not self.is_plain

    @property
    def is_plain(self) -> bool:
        """Whether it is a dict of the caller's, changed in place."""
        return isinstance(self.target, MutableMapping)

    @property
    def stateful(self) -> Any:
        """What has the state: of torch's own loader, its dataset."""
        return self.target if hasattr(self.target, "state_dict") else getattr(self.target, "dataset", None)

    def take(self) -> Any:
        """The state as it is now; it may refer to the target's tensors."""
        if self.is_plain:
            return dict(self.target)
        return module_names.state_of(self.target) if self.is_model else self.stateful.state_dict()

    def load(self, state: Any, *, strict: bool) -> str:
        """Puts a state back. Says what was left out, with strict=False; CheckpointError where it does not fit."""
        try:
            if self.is_plain:
                self.target.clear()
                self.target.update(state)
            elif self.is_model:
                return self.left_out(module_names.load_into(self.target, state, strict=strict))
            else:
                self.stateful.load_state_dict(state)
        except CheckpointMismatchError:
            raise
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = str(error) if isinstance(error, RuntimeError | ValueError) else repr(error)
            cure = "; strict=False leaves out keys (not shapes) that differ" if self.is_model and strict else ""
            raise CheckpointError(
                f"{self.name} does not fit: {text}\n"
                f"Build it as it was when it was saved, or leave it out with only=(…){cure}. "
                "What was restored before it keeps its new state: begin again with new objects"
            ) from error
        return ""

    def left_out(self, keys: Any) -> str:
        """What load_state_dict says that it did not load, in a sentence, or ""."""
        missing, unexpected = list(keys.missing_keys), list(keys.unexpected_keys)
        if not missing and not unexpected:
            return ""
        return f"{self.name}: missing keys, left as they are: {missing}; unexpected keys, not loaded: {unexpected}"

    @property
    def place(self) -> list[Any] | None:
        """What must be the same on all ranks, as JSON has it: epoch, index of the next batch, weights if mixed."""
        if self.position is None:
            return None
        weights = _weights(self.target)
        return [*self.position[:2], *([] if weights is None else [weights])]

    @property
    def position(self) -> tuple[int, int, int] | None:
        """(epoch, index of the next batch, batches to come), where the loader knows."""
        one = self.stateful
        epoch, index, left = (getattr(one, name, None) for name in ("epoch", "batch_index", "remaining"))
        return (
            (epoch, index, left)
            if isinstance(epoch, int) and isinstance(index, int) and isinstance(left, int)
            else None
        )


def _weights(target: Any) -> str | None:
    """What stands for the weights of a loader's mixture; None where it reads one data set."""
    found = getattr(getattr(target, "dataset", target), "weights_digest", None)
    return found if isinstance(found, str) else None


def make_parts(given: dict[str, Any], *, own: bool = False, known: Collection[str] = ()) -> dict[str, Part]:
    """The parts of these names; ShardlineTypeError or ShardlineValueError where one has no state or no good name.

    `known`: what else may have been meant by a name.
    """
    parts = {}
    for name, target in given.items():
        if target is None:
            continue
        if not _NAME.fullmatch(name) or name.startswith(_TAKEN):
            raise ShardlineValueError(
                f"{name!r} cannot name a part: letters, digits and _, and it must not begin with {', '.join(_TAKEN)}"
            )
        part = Part(name, target, own)
        stateful = part.stateful
        if not part.is_plain and not (hasattr(stateful, "state_dict") and hasattr(stateful, "load_state_dict")):
            cure = (
                "give shardline.DataLoader, torchdata's StatefulDataLoader, or no data at all (and save between epochs)"
            )
            raise ShardlineTypeError(
                f"{name}= must have state_dict() and load_state_dict(), or be a dict of plain values, not {target!r}"
                + (f": {cure}" if part.is_loader else near(name, known, "{}="))
            )
        parts[name] = part
    return parts


def to_file(part: str, state: Any, *, json_if_plain: bool) -> tuple[str, Callable[[Writer], object]]:
    """(the ending of its file's name, what fills the file)."""
    if json_if_plain and serialization.is_json(state):
        text = json.dumps(state, indent=1).encode()
        return ".json", lambda file: file.write(text)
    return ".pt", lambda file: torch.save(state, file)


def to_bytes(state: Any, *, json_if_plain: bool) -> tuple[str, bytes]:
    """(the ending of its file's name, what is in the file)."""
    if json_if_plain and serialization.is_json(state):
        return ".json", json.dumps(state, indent=1).encode()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return ".pt", buffer.getvalue()


def from_file(place: Place, source: Any, map_location: Any) -> Any:
    """A state out of a file, by its path, or open, or its bytes; CheckpointError where it is none that may be loaded.

    `place`: what it is called.
    """
    try:
        if str(place).endswith(".json"):
            return json.loads(source.read_bytes() if isinstance(source, Path) else bytes(source))
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        return torch.load(source, map_location="cpu" if map_location is None else map_location, weights_only=True)
    except Exception as error:  # torch.load raises of many kinds
        raise CheckpointError(f"{place} cannot be loaded: {error}") from error
