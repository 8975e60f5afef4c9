"""What a dataset was asked for, checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from shardline._core import Plan, Storage
from shardline.filters.row_filter import RowFilter
from shardline.options.columns import ColumnOptions
from shardline.options.validate import OutputFormat


@dataclass(frozen=True)
class Settings:
    """What a dataset's constructor was asked, checked. Plain and picklable; `None` is "not asked"."""

    batch_size: int
    drop_last: bool
    columns: tuple[str, ...] | None
    shuffle: bool
    shuffle_seed: int | None
    shuffle_buffer_size: int | None
    shuffle_strands: int
    split_bytes: int
    split_rows: int | None
    num_shards: int | None
    rank: int
    num_ranks: int
    num_threads: int
    prefetch_bytes: int
    output_format: OutputFormat
    column_options: Mapping[str, ColumnOptions]
    column_defaults: ColumnOptions
    groups: tuple[tuple[str, tuple[str, ...], bool], ...]
    schema: str
    widen: bool
    files: str
    plan_timeout: float
    transform: Callable[[Any], Any] | None
    row_filter: RowFilter
    storage: Storage | None = field(default=None, repr=False, compare=False)

    @property
    def wants_tensors(self) -> bool:
        """Whether every column must have a tensor (torch and numpy output)."""
        return self.output_format in ("torch", "numpy")


class DatasetOptions(TypedDict, total=False):
    """The keywords of `StructuredDataset` that a loader passes on (beside batch_size, shuffle and drop_last)."""

    format: str
    columns: Sequence[str] | None
    filters: Any
    sample: float | None
    split: Sequence[float] | None
    sample_seed: int
    shuffle_seed: int | None
    shuffle_buffer_size: int | None
    shuffle_strands: int
    split_bytes: int | str
    split_rows: int | None
    output_format: OutputFormat
    column_options: Mapping[str, ColumnOptions] | None
    column_defaults: ColumnOptions | None
    groups: Mapping[str, str | Sequence[str]] | None
    storage_options: Mapping[str, Any] | None
    partitioning: Any
    transform: Any
    schema: str
    widen: bool
    files: str
    plan: Plan | None
    num_ranks: int | None
    rank: int | None
    mesh: Any
    process_group: Any
    plan_timeout: float
    num_shards: int | None
    num_threads: int | None
    prefetch_bytes: int | str
