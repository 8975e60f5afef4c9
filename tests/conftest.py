"""What all tests share: how many cases hypothesis generates, and files to read."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported: threads of torch that wait for each other stand still where other tests run beside them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support import ids, write_rows
from support.bucket import BucketPath, WritableStore
from support.planted import plant
from support.quick import Quick
from support.store import Store

from shardline import DataLoader
from shardline.verification import processes

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile("ci", deadline=None, print_blob=True, suppress_health_check=_QUIET)
settings.register_profile("long", settings.get_profile("ci"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_ROOT = Path(__file__).parents[1]
_PLACES = [*map(str, (_ROOT, _ROOT / "tests", _ROOT / "examples")), os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _PLACES))  # processes that tests start find what tests find

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of frameworks are imported only where they are asked for, since the frameworks may not be installed."""
    marks = config.getoption("markexpr")
    asked = "frameworks" in marks and "not frameworks" not in marks
    return True if collection_path.name == "frameworks" and not asked else None


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


@pytest.fixture
def make(hundred: Path) -> Callable[..., DataLoader]:
    """A loader of 10 batches of 10 rows, shuffled, so that epochs differ."""
    return lambda **options: DataLoader(hundred, **{"batch_size": 10, "shuffle": True, **options})


@pytest.fixture
def epochs(make: Callable[..., DataLoader]) -> list[list[list[int]]]:
    """What a run of `make()` that is never stopped delivers, epoch by epoch."""
    loader = make()
    found = [ids(loader) for _ in range(4)]
    assert sorted(sum(found[0], [])) == list(range(100))
    assert found[0] != found[1] != found[2]
    return found


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """`say(text)`: a line at the end of pytest's report, if the test passes."""
    return lambda text: record_property("said", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == "said":
                terminalreporter.write_line(str(text))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """100 rows, 0 to 99, for a store."""
    return write_rows(tmp_path / "data", [[10, 20, 5], [25], [10, 10, 20]])


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    """A server that has them."""
    with Store(data) as server:
        yield server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableStore]:
    """An empty store that can be written to; the environment names it."""
    with WritableStore() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a verification start quickly."""
    monkeypatch.setattr(processes, "start", Quick)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`planted("own")`: the place of that transform, which has a fault."""
    monkeypatch.chdir(tmp_path)
    plant(tmp_path)
    return lambda name: f"planted.py:{name}"


@pytest.fixture(params=["disk", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | BucketPath:
    """A directory for checkpoints, on a disk and in a store: the laws are the same."""
    return tmp_path if request.param == "disk" else request.getfixturevalue("bucket").root / "run"
