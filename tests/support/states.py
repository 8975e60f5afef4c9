"""What tests of the state share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline import CheckpointMismatchError, DataLoader


def make_resumed(make: Callable[..., DataLoader], state: Mapping[str, Any], **options: Any) -> DataLoader:
    """A new loader that has loaded the state."""
    loader = make(**options)
    loader.load_state_dict(state)
    return loader


def write(path: Path, rows: int) -> None:
    """A file of as many rows."""
    pq.write_table(
        pa.table(
            {"i": np.arange(rows), "x": np.zeros(rows, "f4")},
            schema=pa.schema([("i", pa.int64()), ("x", pa.float32())]),
        ),
        path,
    )


def refused(loader: DataLoader, state: Any) -> str:
    """What the error says with which the state is refused."""
    with pytest.raises(CheckpointMismatchError) as caught:
        loader.load_state_dict(state)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, shardline.ShardlineError)
    return str(caught.value)
