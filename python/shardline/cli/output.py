"""What a command prints: for people, or as JSON; on stdout what was asked for, on stderr what is said beside it."""

import json
import os
import shutil
import sys
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

_WIDTH = 100
"""Columns where there is no terminal and COLUMNS is not set."""


class Report(Protocol):
    """What the public functions return."""

    def text(self, width: int) -> str:
        """For people. Lines that begin at the margin are headings."""

    def to_dict(self) -> dict[str, Any]:
        """For machines: what JSON can hold."""


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def bars() -> bool:
    """Whether a progress bar may be shown, on stderr."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(report: Report, as_json: bool) -> None:
    """Prints a report."""
    if as_json:
        print(json.dumps(report.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        show_text(report.text(width()))


def show_text(text: str) -> None:
    """Prints lines for people; on a terminal, headings are bold."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal or console.no_color:
        print(text)
        return
    for line in text.splitlines():
        console.print(Text(line, style="bold" if line[:1].strip() else ""))


def complain(what: str, message: str) -> None:
    """Says an error or a warning on stderr; where stderr is closed, to nobody."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    style = {"error": "bold red", "warning": "yellow"}.get(what, "")
    try:
        console.print(Text.assemble((f"{what}: ", "" if console.no_color else style), message))
    except OSError:
        return
