"""The public arguments of a dataset, each declared once: type, default, check, and what it is.

A new argument is an entry of one of the TypedDicts below and a field of `settings.Settings`. The signatures, docstrings
and checks of `StructuredDataset` and `DataLoader` follow from the entry (`signature`).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from shardline._core import Plan
from shardline.filters.compile import check_filters
from shardline.filters.hive import check_partitioning
from shardline.filters.sample import check_key
from shardline.options import validate
from shardline.options.columns import ColumnOptions, check_column_defaults, check_column_options, check_matrices
from shardline.options.validate import MAX_ROWS, OutputFormat, choice, integer, optional, takes_value, unchecked
from shardline.sources.request import check_timestamp

ColumnsFrom = Literal["first", "all"]
MissingColumns = Literal["error", "null"]
NewFiles = Literal["keep", "refresh"]
Format = Literal["parquet", "delta"]


RanksAgree = Literal["same", "same if the seed is drawn", "own"]
OWN: RanksAgree = "own"
# Ranks of one loader may take different columns (the stages of a pipeline). A drawn seed makes loaders that differ in
# nothing else two, though, and to swap these would be to swap their seeds.
CONTENT: RanksAgree = "same if the seed is drawn"


class Argument(NamedTuple):
    """The declaration of an argument, beside its type."""

    default: Any
    check: Callable[[str, Any], Any]
    """Of (name, value): the value as it is used, or an error that names the argument and says what is accepted."""
    doc: str
    ranks: RanksAgree = "same"
    """Whether loaders of two ranks that differ in it are two loaders, which do not wait for each other."""


class _WhatToRead(TypedDict, total=False):
    """What to read."""

    format: Annotated[
        Format | None,
        Argument(
            None,
            optional(choice("parquet", "delta")),
            '`"delta"`: the path is the directory of a Delta table. `"parquet"`, said outright, reads files of a table '
            "as they are, rows included that the table has deleted; by default these are refused.",
            OWN,
        ),
    ]
    version: Annotated[
        int | None,
        Argument(None, optional(integer(0, 2**62)), "The version of the table. The newest by default.", OWN),
    ]
    timestamp: Annotated[
        datetime | str | None,
        Argument(
            None,
            optional(check_timestamp),
            'The version of the table that was the newest at this time: `"2026-01-31T12:00:00Z"`.',
            OWN,
        ),
    ]
    columns: Annotated[
        Sequence[str] | None,
        Argument(
            None,
            takes_value(validate.check_columns),
            'Names of columns, or dotted paths of fields (`"user.age"`), in the order of delivery. All by default.',
            CONTENT,
        ),
    ]
    columns_from: Annotated[
        ColumnsFrom,
        Argument(
            "first",
            choice("first", "all"),
            'Which files\' columns are delivered: those of the `"first"` file, or of `"all"` files.',
        ),
    ]
    missing_columns: Annotated[
        MissingColumns,
        Argument(
            "error",
            choice("error", "null"),
            'What a file that lacks a column is: an `"error"`, or rows in which the column is `"null"`.',
        ),
    ]
    widen_types: Annotated[
        bool,
        Argument(
            False,
            validate.check_bool,
            "Whether a column has the widest type that it has in any file. By default types must be equal.",
        ),
    ]
    partitioning: Annotated[
        Any,
        Argument(
            None,
            takes_value(check_partitioning),
            '`key=value` folders as columns: `"hive"` (types inferred), or a `pyarrow.Schema` of them.',
            OWN,
        ),
    ]
    storage_options: Annotated[
        Mapping[str, Any] | None,
        Argument(None, unchecked, "How the object store of the files is read. See docs/stores.md.", OWN),
    ]
    plan: Annotated[
        Plan | None,
        Argument(
            None,
            takes_value(validate.check_plan),
            "A file list made before (`dataset.plan` or `Plan.load(path)`), instead of a path.",
            OWN,
        ),
    ]
    on_new_files: Annotated[
        NewFiles,
        Argument(
            "keep",
            choice("keep", "refresh"),
            'What a resumed run does with files added since the state was saved: `"keep"` its own files, or '
            '`"refresh"` the list from the next epoch on.',
            OWN,
        ),
    ]


class _WhichRows(TypedDict, total=False):
    """Which rows."""

    filters: Annotated[
        Any,
        Argument(
            None,
            takes_value(check_filters),
            "Only rows that pass: conditions `(column, op, value)` in a list, or a `pyarrow.compute` expression.",
            OWN,
        ),
    ]
    sample: Annotated[
        float | None, Argument(None, unchecked, "A fraction of the rows, between 0 and 1. Filters apply after it.", OWN)
    ]
    subset: Annotated[
        Sequence[float] | None,
        Argument(
            None,
            unchecked,
            "An interval of fractions of the rows: `(0.0, 0.9)` and `(0.9, 1.0)` have no row in common.",
            OWN,
        ),
    ]
    subset_by: Annotated[
        str | Sequence[str] | None,
        Argument(
            None,
            optional(check_key),
            "The column, or columns, whose equal values stay together: `subset` and `sample` are then fractions of the "
            "distinct values, not of the rows.",
            OWN,
        ),
    ]
    sample_seed: Annotated[int, Argument(0, integer(0, 2**64 - 1), "Which rows `sample` and `subset` choose.", OWN)]


class _InWhichOrder(TypedDict, total=False):
    """In which order."""

    shuffle_seed: Annotated[
        int | None,
        Argument(
            42,
            optional(integer(0, 2**64 - 1)),
            "Fixes the shuffled order, together with the epoch. None draws a seed, logs it and keeps it in the state.",
        ),
    ]
    shuffle_buffer_bytes: Annotated[
        int | str | None,
        Argument(
            None,
            optional(validate.parse_bytes),
            "Decoded bytes of the rows that are mixed at a time, 128MiB by default. Data of up to twice as many are "
            "shuffled uniformly.",
        ),
    ]
    shuffle_buffer_size: Annotated[
        int | None,
        Argument(
            None,
            optional(integer(0, MAX_ROWS)),
            "Rows mixed at a time, instead of `shuffle_buffer_bytes`; 0 permutes whole splits only.",
        ),
    ]
    shuffle_strands: Annotated[
        int | None,
        Argument(
            None,
            optional(integer(1, 2**16)),
            "The number of distant places of the data that are mixed at a time, 32 by default, or down to 8 where many "
            "shards would read the data too often.",
        ),
    ]
    split_bytes: Annotated[
        int | str | None,
        Argument(
            None,
            optional(validate.parse_bytes),
            "The most bytes (uncompressed) that a shuffle moves as one piece, 128MiB by default.",
        ),
    ]
    split_rows: Annotated[
        int | None,
        Argument(None, optional(integer(1, MAX_ROWS)), "The most rows that a shuffle moves as one piece."),
    ]


class _Ranks(TypedDict, total=False):
    """Which rank's batches."""

    num_ranks: Annotated[
        int | None,
        Argument(
            None,
            unchecked,
            "The processes that share the batches, given together with `rank`. By default those of `mesh`, of "
            "`process_group`, or of the default process group; else 1.",
        ),
    ]
    rank: Annotated[int | None, Argument(None, unchecked, "This process, of `num_ranks`.", OWN)]
    mesh: Annotated[Any, Argument(None, unchecked, "A DeviceMesh of one dimension: the data-parallel ranks.", OWN)]
    process_group: Annotated[Any, Argument(None, unchecked, "A process group whose ranks share the batches.", OWN)]
    num_shards: Annotated[
        int | None,
        Argument(
            None,
            optional(integer(1, MAX_ROWS)),
            "A multiple of the ranks, and the ranks by default. The batches are the same for every number of ranks "
            "that divides it.",
        ),
    ]
    rank_timeout: Annotated[
        float,
        Argument(
            300, validate.check_seconds, "Seconds to wait for other ranks, of which the first lists the files.", OWN
        ),
    ]


class _HowFast(TypedDict, total=False):
    """How fast."""

    num_threads: Annotated[
        int | None,
        Argument(
            None,
            takes_value(validate.check_num_threads),
            "Threads that decode. By default the cores that this process may use.",
            OWN,
        ),
    ]
    prefetch_bytes: Annotated[
        int | str, Argument("256MiB", validate.parse_bytes, "The most bytes that are decoded ahead.", OWN)
    ]


class _AsWhat(TypedDict, total=False):
    """As what."""

    output_format: Annotated[
        OutputFormat,
        Argument(
            "torch",
            takes_value(validate.check_output_format),
            'What a batch is: a dict of tensors (`"torch"`), of arrays (`"numpy"`), of Python lists (`"dict"`), or a '
            '`pyarrow.RecordBatch` (`"arrow"`).',
            CONTENT,
        ),
    ]
    column_options: Annotated[
        Mapping[str, ColumnOptions] | None,
        Argument(
            None,
            takes_value(check_column_options),
            "How single columns are delivered, by name or by the dotted path of a field.",
            CONTENT,
        ),
    ]
    column_defaults: Annotated[
        ColumnOptions | None,
        Argument(
            None,
            takes_value(check_column_defaults),
            "The options of all columns where their own leave one open.",
            CONTENT,
        ),
    ]
    matrices: Annotated[
        Mapping[str, str | Sequence[str]] | None,
        Argument(
            None,
            takes_value(check_matrices),
            'Columns as one matrix (rows, columns) under a key: `{"x": ["f0", "f1"], "y": "label"}`.',
            CONTENT,
        ),
    ]
    row_id: Annotated[
        bool,
        Argument(
            False,
            validate.check_bool,
            "Whether each row says where it comes from: `row_id__file`, a number in `plan.files()`, and `row_id__row`, "
            "the number of the row in that file, both from 0.",
            CONTENT,
        ),
    ]
    transform: Annotated[
        Callable[[Any], Any] | None,
        Argument(
            None,
            validate.check_function,
            "A function of one batch. Random numbers in it depend on seed, epoch and batch only.",
            OWN,
        ),
    ]


class DatasetOptions(_WhatToRead, _WhichRows, _InWhichOrder, _Ranks, _HowFast, _AsWhat, total=False):
    """The arguments of a dataset that a loader passes on as they are."""


class _Batches(TypedDict, total=False):
    """Batches."""

    batch_size: Annotated[
        int,
        Argument(
            1024, integer(1, MAX_ROWS), "Rows of a batch. The last one of a shard has 1 to `batch_size` + 1 rows."
        ),
    ]
    shuffle: Annotated[bool, Argument(False, validate.check_bool, "Whether rows come in a random order.")]
    drop_last: Annotated[
        bool, Argument(False, validate.check_bool, "Whether every batch has exactly `batch_size` rows.")
    ]
    show_progress: Annotated[
        bool, Argument(False, validate.check_progress, "Whether rank 0 shows progress bars, by tqdm.", OWN)
    ]


class DatasetArguments(_Batches, DatasetOptions, total=False):
    """All arguments of a dataset, beside the path."""


GROUPS: tuple[type, ...] = (_Batches, _WhatToRead, _WhichRows, _InWhichOrder, _AsWhat, _Ranks, _HowFast)
"""The arguments as documentation groups them."""

NEEDS: dict[str, tuple[str, ...]] = {
    "shuffle_buffer_bytes": ("shuffle",),
    "shuffle_buffer_size": ("shuffle",),
    "shuffle_strands": ("shuffle",),
    "sample_seed": ("sample", "subset"),
    "subset_by": ("sample", "subset"),
}
"""Arguments that do nothing unless one of these is given too; `shuffle=False` will do."""

EXCLUDE: tuple[tuple[str, str], ...] = (("shuffle_buffer_bytes", "shuffle_buffer_size"), ("version", "timestamp"))
"""Arguments that say the same thing in two ways: at most one of them may be given."""

RENAMED = {
    "files": "on_new_files=",
    "groups": "matrices=",
    "plan_timeout": "rank_timeout=",
    "seed": "shuffle_seed= (and sample_seed= for sample= and subset=)",
    "schema": 'columns_from= ("first" or "all") and missing_columns= ("error" or "null")',
    "split": "subset=",
    "widen": "widen_types=",
}
"""What arguments of earlier versions are called now."""
