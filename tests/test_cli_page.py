"""docs/look-at-your-data.md: its commands print what it shows."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from support.command import printed

PAGE = Path(__file__).parents[1] / "docs" / "look-at-your-data.md"
BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
WRITER = re.compile(r"parquet-cpp-arrow version ([\d.]+)")


def perform(page: str) -> list[tuple[str, str]]:
    """(what the page shows, what comes) of every command and printed text, run in the current folder."""
    said, names, found = "", {}, []
    for kind, block in BLOCK.findall(page):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, PAGE.name, "exec"), names)
            said = out.getvalue()
        elif kind == "text":
            found.append((block, said))
        else:
            command, _, shown = block.partition("\n")
            words = shlex.split(command.removeprefix("$ shardline "))
            found.append((shown, printed(*words) + "\n"))
    return found


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    monkeypatch.chdir(tmp_path)
    found = perform(page)
    assert len(found) >= 8
    writer = WRITER.search(page)
    assert writer is not None
    for shown, comes in found:
        if writer[1] != pa.__version__:  # another pyarrow writes files of other sizes
            shown, comes = (re.sub(r"[\d.,]+|\s+", " ", text) for text in (shown, comes))
        assert comes == shown
