"""What a command prints: for people, or as JSON; on stdout what was asked for, on stderr what is said beside it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from shardline.text import plain

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
        show_json(report.to_dict())
    else:
        show_text(report.text(width()))


def show_json(value: Any) -> None:
    """Prints JSON."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


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


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr, gone at its end: called with what is done and all there is; None where none may be."""
    if not bars():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, leave=False, delay=0.5) as shown:

        def progress(done: int, of: int) -> None:
            shown.total = of
            shown.update(done - shown.n)

        yield progress
