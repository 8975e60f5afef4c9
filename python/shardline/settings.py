"""What the arguments of a dataset were set to, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from shardline._core import Storage
from shardline.arguments import ColumnsFrom, Format, MissingColumns, NewFiles
from shardline.filters.row_filter import RowFilter
from shardline.filters.sample import check_sample
from shardline.options import validate
from shardline.options.columns import ColumnOptions, Matrix
from shardline.options.pack import Pack, check_beside
from shardline.options.validate import OutputFormat
from shardline.sources.request import TableRequest, request_of

_NOT_PACKED: dict[str, Any] = {
    "columns": None,
    "column_options": {},
    "column_defaults": ColumnOptions(),
    "matrices": (),
    "row_id": False,
}
"""Arguments that say how columns are delivered, and what they are set to where they say nothing."""


@dataclass(frozen=True)
class Settings:
    """What a dataset's arguments were set to, checked. Plain and picklable; `None` is "not asked for"."""

    batch_size: int
    drop_last: bool
    format: Format | None
    table: TableRequest | None
    columns: tuple[str, ...] | None
    columns_from: ColumnsFrom
    missing_columns: MissingColumns
    widen_types: bool
    on_new_files: NewFiles
    row_filter: RowFilter
    shuffle: bool
    shuffle_seed: int | None
    shuffle_buffer_bytes: int | None
    shuffle_buffer_size: int | None
    shuffle_strands: int | None
    split_bytes: int | None
    split_rows: int | None
    output_format: OutputFormat
    column_options: Mapping[str, ColumnOptions]
    column_defaults: ColumnOptions
    matrices: tuple[Matrix, ...]
    pack: Pack | None
    row_id: bool
    transform: Callable[[Any], Any] | None
    rank: int
    num_ranks: int
    num_shards: int | None
    rank_timeout: float
    num_threads: int
    prefetch_bytes: int
    storage: Storage | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(values: Mapping[str, Any], *, rank: int, num_ranks: int, storage: Storage | None) -> "Settings":
        """The settings that checked arguments come to, of one rank."""
        check_beside(values["pack"], dict(values), _NOT_PACKED)
        sample = check_sample(values["sample"], values["subset"], values["sample_seed"], values["subset_by"])
        found = {
            **{each.name: values[each.name] for each in fields(Settings) if each.name in values},
            "rank": rank,
            "num_ranks": num_ranks,
            "num_shards": validate.check_num_shards(values["num_shards"], num_ranks),
            "row_filter": RowFilter(values["filters"], sample, values["partitioning"], storage),
            "storage": storage,
            "table": request_of(values),
        }
        return Settings(**found)

    @property
    def wants_tensors(self) -> bool:
        """Whether every column must have a tensor (torch and numpy output)."""
        return self.output_format in ("torch", "numpy")
