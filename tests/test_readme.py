"""The README does what it says: its Python compiles, its loop runs and resumes, and its links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import programs

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    for number, block in enumerate(blocks(page.read_text())):
        compile(block, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_commands_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pages = "\n".join(page.read_text() for page in PAGES)
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", pages, re.MULTILINE)
    assert {a or b for a, b in named} >= {"demo", "test"}
    assert {a or b for a, b in named} <= set(targets)


def test_loop_is_that_of_the_example() -> None:
    """What is the same in every training loop stands in both, in the same order."""
    [loop] = [block for block in blocks(README) if "for epoch" in block]
    example = (ROOT / "examples" / "flights.py").read_text()
    place = 0
    for line in loop[loop.index("step = ck") :].splitlines():
        if re.match(r"\s*(step|for epoch|loader|optimizer|scheduler|loss\.|ck\.)", line):
            generic = line.strip().replace("3)", "args.epochs)")
            place = example.index(generic, place) + len(generic)


def write_flights(path: Path) -> None:
    path.mkdir()
    rng = np.random.default_rng(1)
    for i in range(4):
        n = 30_000 + i
        columns = {"dep_delay": rng.integers(-20, 200, n), "distance": rng.integers(80, 3000, n)}
        columns["arr_delay"] = columns["dep_delay"] + rng.integers(-20, 20, n)
        pq.write_table(pa.table(columns), path / f"{i}.parquet", row_group_size=4_000)


def test_loop_runs_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [loop] = [block for block in blocks(README) if "for epoch" in block]
    assert len([line for line in loop.splitlines() if line]) <= 25
    for directory in (tmp_path / "whole", tmp_path / "stopped"):
        directory.mkdir()
        write_flights(directory / "flights")

    # Uninterrupted, in this process; 118 steps an epoch.
    monkeypatch.chdir(tmp_path / "whole")
    torch.manual_seed(0)
    whole: dict[str, Any] = {}
    exec(compile(loop, "README.md", "exec"), whole)
    assert whole["epoch"] == 2
    assert whole["step"] == 3 * 118

    # Left at the first checkpoint of epoch 1, in a process of its own, and run again in another.
    monkeypatch.chdir(tmp_path / "stopped")
    script = "import torch; torch.manual_seed(0)\n"
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    saves = "        ck.step(step)\n"
    assert saves in loop
    first.write_text(
        script + loop.replace(saves, "        if ck.step(step) and epoch == 1:\n            raise SystemExit\n")
    )
    second.write_text(script + loop + 'torch.save(model.state_dict(), "end.pt")\n')
    for path in (first, second):
        done = programs.run(path)
        assert done.returncode == 0, done.stderr
    resumed = torch.load("end.pt", weights_only=True)
    assert all(torch.equal(value, resumed[name]) for name, value in whole["model"].state_dict().items())
