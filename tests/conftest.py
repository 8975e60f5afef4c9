"""What all tests share: how many cases hypothesis generates, and files to read."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import write_rows

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile("ci", deadline=None, print_blob=True, suppress_health_check=_QUIET)
settings.register_profile("long", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Path]:
    """`rows([[10, 10], [5]])`: a folder of two files with these row groups."""
    count = iter(range(1000))

    def write(groups: list[list[int]], start: int = 0) -> Path:
        return write_rows(tmp_path / f"data-{next(count)}", groups, start)

    return write


@pytest.fixture
def hundred(rows: Callable[..., Path]) -> Path:
    """100 rows, 0 to 99, in 3 files and 7 row groups."""
    return rows([[10, 20, 5], [25], [10, 10, 20]])
