"""docs/verify.md: its commands print what it shows."""

import re
import shlex
from pathlib import Path

import pytest
from support.command import call
from support.quick import Quick

from shardline.verification import processes
from shardline.verification.faults import WORDS

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(400)  # six commands, each of which starts ten processes
def test_the_page_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "start", Quick)
    data = BLOCK.search((DOCS / "look-at-your-data.md").read_text())
    exec(compile(data[2], "look-at-your-data.md", "exec"), {})
    codes = []
    for kind, block in BLOCK.findall((DOCS / "verify.md").read_text()):
        first, _, rest = block.partition("\n")
        if kind == "python":
            Path(first.removeprefix("# ")).write_text(block)
            continue
        done = call(*shlex.split(first.removeprefix("$ shardline ")))
        assert "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n" == rest
        codes.append(done.exit_code)
    assert codes == [0, 1]


def test_the_page_has_a_line_for_every_fault():
    page = (DOCS / "verify.md").read_text()
    rows = re.findall(r"^\| (?!fault|---)", page, re.MULTILINE)
    assert len(rows) == len(WORDS) - 1  # "unknown" is none that is told from the others
