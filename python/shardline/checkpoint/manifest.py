"""`manifest.json`: what a checkpoint holds, with the size and checksum of every file, and a checksum of itself.

Written last: a directory that has one was whole when it was written.

>>> text = Manifest(step=3, epoch=1, serial=7, time=0.0, ranks=1, metrics={"loss": float("inf")}).to_text()
>>> Manifest.from_text(text).metrics
{'loss': inf}
>>> Manifest.from_text(text.replace("3", "4"))
Traceback (most recent call last):
    ...
ValueError: its text is not what its own checksum says
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shardline.checkpoint.atomic_write import Written

NAME = "manifest.json"
VERSION = 1
_NOT_YET = "0" * 64


@dataclass(frozen=True)
class Manifest:
    """`serial` counts the saves of a directory: the newest has the greatest. `time`: seconds since 1970, UTC."""

    step: int
    epoch: int | None
    serial: int
    time: float
    ranks: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, list[str]] = field(default_factory=dict)
    """The files of every part, relative to the checkpoint; of a part that differs from rank to rank, one a rank."""
    files: Mapping[str, Written] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    """Files of the directory above, shared by several checkpoints."""
    best: tuple[str, str] | None = None
    """The metric that said which checkpoint is the best when this one was saved, and "min" or "max"."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files.values())

    def to_text(self) -> str:
        """As JSON; infinite metrics and NaN as text, for JSON has none."""
        plain = {
            "shardline_checkpoint": VERSION,
            **{name: getattr(self, name) for name in ("step", "epoch", "serial", "time", "ranks")},
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "values": self.values,
            "parts": self.parts,
            "files": {name: {"bytes": size, "sha256": sha} for name, (size, sha) in self.files.items()},
            "beside": self.beside,
            "best": self.best,
            "sha256": _NOT_YET,
        }
        text = json.dumps(plain, indent=1, allow_nan=False)
        before, _, after = text.rpartition(_NOT_YET)
        return before + digest(text) + after

    @staticmethod
    def from_text(text: str) -> "Manifest":
        """The inverse; ValueError where it is damaged or of a later version."""
        try:
            plain = json.loads(text)
            own, version = plain["sha256"], plain["shardline_checkpoint"]
            before, _, after = text.rpartition(own)
            if digest(before + _NOT_YET + after) != own:
                raise ValueError("its text is not what its own checksum says")
            if version != VERSION:
                raise ValueError(f"it has the version {version}, and this shardline reads {VERSION}")
            return Manifest(
                **{name: plain[name] for name in ("step", "epoch", "serial", "time", "ranks", "values", "parts")},
                metrics={name: float(value) for name, value in plain["metrics"].items()},
                files={name: Written(file["bytes"], file["sha256"]) for name, file in plain["files"].items()},
                beside=plain["beside"],
                best=None if plain.get("best") is None else (str(plain["best"][0]), str(plain["best"][1])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no manifest of a checkpoint: {error!r}") from error


def digest(text: str) -> str:
    """Of a text, as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _finite(value: float) -> float | str:
    return value if value - value == 0 else str(value)
