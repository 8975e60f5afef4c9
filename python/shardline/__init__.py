"""shardline feeds Parquet files to PyTorch: fast, in an order that a seed fixes, resumable exactly at any batch."""

import warnings as _warnings

from shardline import plot
from shardline._core import DEBUG_BUILD as _DEBUG_BUILD
from shardline._core import Plan, __version__
from shardline.benchmark import BenchReport, bench
from shardline.checkpoint import Checkpointer, Restored, SavedCheckpoint
from shardline.compat.tdu import TduProgress, from_tdu
from shardline.compat.tdu import old_name as _old_name
from shardline.dataset import StructuredDataset
from shardline.errors import (
    CheckpointError,
    CheckpointMismatchError,
    ColumnNotFoundError,
    FileChangedError,
    RankTimeoutError,
    RowError,
    ShardlineError,
    ShardlineFileNotFoundError,
    ShardlineImportError,
    ShardlineOSError,
    ShardlinePermissionError,
    ShardlineRuntimeError,
    ShardlineTimeoutError,
    ShardlineTypeError,
    ShardlineValueError,
)
from shardline.footers.stats import ColumnStats, Stats
from shardline.iceberg_dataset import IcebergDataset
from shardline.images.transform import Images
from shardline.inspection import (
    Advice,
    BatchReport,
    Explanation,
    FilesReport,
    StateComparison,
    StateReport,
    compare_states,
    describe_batch,
    explain,
    inspect,
    read_state,
)
from shardline.iteration.report import EpochReport
from shardline.loader import DataLoader
from shardline.mixture.dataset import MixtureDataset
from shardline.mixture.mixture import Mixture
from shardline.mixture.schedule import At, Ramp
from shardline.mixture.source import Source
from shardline.mixture.view import MixtureView, SourceCount
from shardline.options.columns import ColumnOptions
from shardline.options.pack import Pack
from shardline.quality import ShuffleQuality, shuffle_quality
from shardline.rewrite import RewriteProgress, RewriteReport, rewrite, row_digest
from shardline.schema import ColumnSchema, Schema
from shardline.state.format import describe
from shardline.state.torchdata import job_state
from shardline.verification import ResumeFault, VerifyReport, verify

__all__ = [
    "Advice",
    "At",
    "BatchReport",
    "BenchReport",
    "CheckpointError",
    "CheckpointMismatchError",
    "Checkpointer",
    "ColumnNotFoundError",
    "ColumnOptions",
    "ColumnSchema",
    "ColumnStats",
    "DataLoader",
    "EpochReport",
    "Explanation",
    "FileChangedError",
    "FilesReport",
    "IcebergDataset",
    "Images",
    "Mixture",
    "MixtureDataset",
    "MixtureView",
    "Pack",
    "Plan",
    "Ramp",
    "RankTimeoutError",
    "Restored",
    "ResumeFault",
    "RewriteProgress",
    "RewriteReport",
    "RowError",
    "SavedCheckpoint",
    "Schema",
    "ShardlineError",
    "ShardlineFileNotFoundError",
    "ShardlineImportError",
    "ShardlineOSError",
    "ShardlinePermissionError",
    "ShardlineRuntimeError",
    "ShardlineTimeoutError",
    "ShardlineTypeError",
    "ShardlineValueError",
    "ShuffleQuality",
    "Source",
    "SourceCount",
    "StateComparison",
    "StateReport",
    "Stats",
    "StructuredDataset",
    "TduProgress",
    "VerifyReport",
    "__version__",
    "bench",
    "compare_states",
    "describe",
    "describe_batch",
    "explain",
    "from_tdu",
    "inspect",
    "job_state",
    "plot",
    "read_state",
    "rewrite",
    "row_digest",
    "shuffle_quality",
    "verify",
]


def __getattr__(name: str) -> type:
    """Names of torch-dataloader-utils."""
    return _old_name(name)


if _DEBUG_BUILD:
    _warnings.warn(
        "this is a debug build of shardline, and many times slower: build it with `maturin build --release`",
        RuntimeWarning,
        stacklevel=2,
    )
