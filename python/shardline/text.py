r"""Text for people: tables that fit a width, numbers, sizes.

>>> print("\n".join(table(["name", "rows"], [["a", "1"], ["bc", "200"]], 40, right=[1])))
  name  rows
  a        1
  bc     200
"""

import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any

WIDTH = 100
"""Columns of a text, where nothing says how many there are."""
_LEAST = 8
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes in words.

    >>> size(512), size(1536), size(128 << 20)
    ('512 bytes', '1.5 KiB', '128 MiB')
    """
    unit = 0
    while count >= 1023.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    digits = f"{count:.1f}" if unit and count < 10 and f"{count:.1f}"[-1] != "0" else f"{count:.0f}"
    return f"{digits} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """In s or ms.

    >>> duration(2.34), duration(0.0456), duration(0.000123)
    ('2.3 s', '46 ms', '0.12 ms')
    """
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.2g} ms"


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "file"), counted(2000, "row"), counted(2, "batch")
    ('1 file', '2,000 rows', '2 batches')
    """
    ending = "" if number == 1 else "es" if what.endswith("ch") else "s"
    return f"{number:,} {what}{ending}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names in a row, the first of many.

    >>> listed("abc", 2)
    'a, b and 1 more'
    """
    names = list(names)
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def printable(value: Any, most: int = 40) -> str:
    r"""A value in one short line, whatever it holds.

    >>> printable("two\nlines"), printable("x" * 50, 10), printable(1 / 3)
    ('two\\nlines', 'xxxxxxxxx…', '0.333333')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    text = repr(value) if isinstance(value, bytes) else str(value)
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def paragraph(text: str, width: int, first: str = "  ", indent: str = "  ") -> list[str]:
    """Lines of a text that fits the width."""
    width = max(width, len(indent) + _LEAST)
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH, *, right: Collection[int] = ()
) -> list[str]:
    """Lines of a table, indented by two. Cells are wrapped where it would be wider than `width`.

    Args:
        headers: The names of its columns; none for a table without a head.
        rows: The cells.
        width: Columns of the terminal.
        right: Columns, by number, that are aligned at their right.
    """
    lines = [list(headers), *rows] if headers else list(rows)
    if not lines:
        return []
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    while sum(widths) + 2 * len(widths) > width and max(widths) > _LEAST:
        widest = max(range(len(widths)), key=lambda column: (column not in right) * 1000 + min(widths[column], 999))
        if widths[widest] <= _LEAST or widest in right:
            widest = widths.index(max(widths))
        widths[widest] -= 1
    out = []
    for row in lines:
        cells = [
            textwrap.wrap(cell, fit, break_on_hyphens=False, drop_whitespace=len(cell) > fit) or [""]
            for cell, fit in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            placed = [
                part.rjust(fit) if column in right else part.ljust(fit)
                for column, (part, fit) in enumerate(zip(parts, widths, strict=True))
            ]
            out.append(("  " + "  ".join(placed)).rstrip())
    return out


def plain(value: Any) -> Any:
    """A value as JSON can hold it: dates and decimals as text, NaN and infinity as text too.

    >>> plain({"x": (1, float("nan"), b"a")})
    {'x': [1, 'nan', "b'a'"]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    return repr(value) if isinstance(value, bytes) else str(value)
