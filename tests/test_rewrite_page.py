"""docs/rewrite.md: its code runs, and its command prints what the page shows, but for the time."""

import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.command import printed

PAGE = Path(__file__).parents[1] / "docs" / "rewrite.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
VARIES = re.compile(r"  time .*|[\d,.]+ [KM]iB$", re.MULTILINE)  # sizes depend on pyarrow's version


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names, compared = {}, 0
    for kind, block in BLOCK.findall(PAGE.read_text()):
        if kind == "python":
            exec(compile(block, PAGE.name, "exec"), names)
            continue
        command, _, shown = block.partition("\n")
        comes = printed(*shlex.split(command.removeprefix("$ shardline "))) + "\n"
        assert VARIES.sub("", comes) == VARIES.sub("", shown)
        compared += 1
    assert compared == 1
    report = names["report"]
    assert pq.read_schema("train/part-00000.parquet").field("vector").type.list_size == 4
    assert f"digest {report.digest}" in PAGE.read_text()
