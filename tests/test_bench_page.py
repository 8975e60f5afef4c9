"""docs/bench.md: the command prints the lines that it shows. Figures are those of a machine: any will do."""

import re
import shlex
from pathlib import Path

from support.benched import report
from support.command import printed

PAGE = (Path(__file__).parents[1] / "docs" / "bench.md").read_text()
DATA, COMMAND = (block for _, block in re.findall(r"^```(python|console)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
NUMBER = re.compile(r"\d[\d.,]*( [GMk]\b)?( (m?s|KiB|MiB|bytes)\b)?%?")


def shape(text):
    """A text with any number for each."""
    return " ".join(NUMBER.sub("#", text).replace("rounds", "round").split())


def sentences():
    """All that a report can say."""
    found = [report(step=(waited, "x"), page=900) for waited in (0.001, 0.05, 0.5)]
    found.append(report(asked=(4000, 6000, 9000), step=(0.05, "x")))
    return {shape(each) for one in found for each in one.sentences}


def test_the_page_shows_the_lines_that_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(DATA.replace("500_000", "4_000"), "bench.md", "exec"), {})
    first, _, shown = COMMAND.partition("\n")
    comes = printed(*shlex.split(first.removeprefix("$ shardline ")), "--seconds", "1.5")
    heads = [
        text.splitlines().index(next(line for line in text.splitlines() if "rows/s  lowest" in line))
        for text in (shown, comes)
    ]
    (before, table, after), (before_, table_, _) = (
        cut(text, head) for text, head in zip((shown, comes), heads, strict=True)
    )
    assert shape(before) == shape(before_)
    assert [labels(line) for line in table] == [labels(line) for line in table_]
    said = re.split(r"(?<=\.)\n(?=\S)", after.strip() + "\n")
    assert {shape(each) for each in said if each.strip()} <= sentences()


def cut(text, head):
    """What is before the table, the table, and what is after it."""
    lines = text.splitlines()
    end = next(n for n in range(head, len(lines)) if not lines[n].startswith("  "))
    return "\n".join(lines[:head]), lines[head:end], "\n".join(lines[end:])


def labels(line):
    """The first cell, and how many there are."""
    cells = re.split(r"\s{2,}", line.strip())
    return cells[0], len(cells)
