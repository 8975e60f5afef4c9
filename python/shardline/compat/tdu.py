"""torch-dataloader-utils: its arguments, names and checkpoints, for scripts that move from it.

docs/how-to/torch-dataloader-utils.md says what differs.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.validate import check_seconds

_NO_STRATEGY = (
    "the order of rows is a pure function of the files, the seed and the epoch, and no rank or worker has files of its "
    "own: leave the strategy out, and give split_bytes= or split_rows= for smaller pieces"
)
_NO_ICEBERG = (
    "which files and rows a table has is for the table to say: IcebergDataset(table=, catalog_config=) asks it"
)


@dataclass
class DataFileInfo:
    """A file, where a path is taken; what else it says is read from the file itself.

    >>> import os
    >>> os.fspath(DataFileInfo("data/x.parquet", file_size=100))
    'data/x.parquet'
    """

    path: str
    file_size: int | None = None
    record_count: int | None = None

    def __fspath__(self) -> str:
        return self.path


class _Unused(type):
    """The type of names that can be imported, and that say why they are of no use when they are used."""

    def __new__(mcs, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> "_Unused":
        for base in bases:
            if isinstance(base, _Unused):
                raise ShardlineTypeError(f"{base.__name__} has no use here: {base.__doc__}")
        return super().__new__(mcs, name, bases, members)

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise ShardlineTypeError(f"{cls.__name__} has no use here: {cls.__doc__}")


_NAMES: dict[str, type] = {
    "DataFileInfo": DataFileInfo,
    **{
        name: _Unused(name, (), {"__doc__": why, "__module__": __name__})
        for name, why in {
            "SplitStrategy": _NO_STRATEGY,
            "RoundRobinSplitStrategy": _NO_STRATEGY,
            "SizeBalancedSplitStrategy": _NO_STRATEGY,
            "Split": _NO_STRATEGY,
            "IcebergDataFileInfo": _NO_ICEBERG,
        }.items()
    },
}


def old_name(name: str) -> type:
    """What a name of torch-dataloader-utils is here.

    Raises:
        AttributeError: It has no such name.
    """
    try:
        return _NAMES[name]
    except KeyError:
        raise AttributeError(f"module 'shardline' has no attribute {name!r}") from None


def loader_arguments(format: str | None, given: Mapping[str, Any]) -> tuple[dict[str, Any], float | None]:
    """The arguments of `DataLoader` that those of `create_dataloader` come to, and the seconds between progress.

    Raises:
        ShardlineValueError: A split strategy.

    >>> loader_arguments("parquet", {"batch_size": 8, "split_strategy": None, "progress_interval_sec": 5})
    ({'batch_size': 8, 'format': 'parquet'}, 5.0)
    """
    found = dict(given)
    if found.pop("split_strategy", None) is not None:
        raise ShardlineValueError(f"split_strategy= is not taken: {_NO_STRATEGY}")
    if format is not None:
        found["format"] = format
    if "num_workers" in found and found["num_workers"] is None:
        found["num_workers"] = max(1, (os.cpu_count() or 1) - 1)
    seconds = found.pop("progress_interval_sec", None)
    return found, None if seconds is None else check_seconds("progress_interval_sec", seconds)


def dataset_arguments(given: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The paths and arguments of a `StructuredDataset` that was given `files=[…]`.

    `num_workers` and `collate_fn` are the loader's, which that constructor took and did not use.

    >>> dataset_arguments({"files": [DataFileInfo("a.parquet")], "format": "parquet", "num_workers": 4})
    (['a.parquet'], {'format': 'parquet'})
    """
    found, _ = loader_arguments(None, given)
    for name in ("num_workers", "collate_fn"):
        found.pop(name, None)
    return [os.fspath(getattr(file, "path", file)) for file in found.pop("files")], found


@dataclass(frozen=True)
class TduProgress:
    """What a checkpoint of torch-dataloader-utils says. `print` it."""

    epoch: int
    """Which was under way; begin it at its start, by `loader.set_epoch(epoch)`."""
    shuffle_seed: int | None
    done: list[tuple[str, int | None, int | None]]
    """Ranges that it says are done: (path, first row, end); None and None where it is the whole file."""

    def __str__(self) -> str:
        ranges = [
            path if first is None else f"{path}, rows {first} to {'the end' if end is None else end - 1}"
            for path, first, end in self.done
        ]
        head = (
            f"epoch {self.epoch}, {len(ranges)} ranges said to be done, which come again when it is begun at its start:"
        )
        return "\n  ".join([head, *ranges])


def from_tdu(state: Mapping[str, Any]) -> TduProgress:
    """What a checkpoint of torch-dataloader-utils says: its epoch, which is to be begun at its start.

    Its rows stand in another order than shardline's, and it counts what was read, not what was delivered: rows of a
    range that it calls done may never have reached the training. So no range is skipped; they are listed.

    Args:
        state: What `state_dict()` of torch-dataloader-utils returned.

    Returns:
        The epoch, the seed and the ranges.

    Raises:
        ShardlineValueError: It is no such state.

    >>> old = from_tdu({"epoch": 3, "_num_workers": 2, "_shuffle_seed": 7, "completed_shards": []})
    >>> old.epoch, old.shuffle_seed, old.done
    (3, 7, [])
    """
    given: Any = state
    if not isinstance(given, Mapping) or not {"epoch", "completed_shards"} <= set(given):
        raise ShardlineValueError(
            "this is no state of torch-dataloader-utils, which has 'epoch' and 'completed_shards': give what its "
            "state_dict() returned"
        )
    try:
        done = [_range(split) for shard in _sequence(state["completed_shards"]) for split in _sequence(shard["splits"])]
        seed = state.get("_shuffle_seed")
        return TduProgress(int(state["epoch"]), None if seed is None else int(seed), done)
    except (KeyError, TypeError, ValueError) as error:
        raise ShardlineValueError(f"this state of torch-dataloader-utils is damaged ({error!r})") from error


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{value!r} is no list")
    return value


def _range(split: Mapping[str, Any]) -> tuple[str, int | None, int | None]:
    first, count = split.get("row_offset"), split.get("row_length")
    end = None if first is None or count is None else int(first) + int(count)
    return str(split["path"]), None if first is None else int(first), end
