"""The Markdown that the bench prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peers import PEERS, RESUMABLE

Result = Mapping[str, Any]

NOTES = """\
M rows/s: whole epochs from nothing (listing, footers, every batch), median of the rounds. GB/s: of decoded tensors.
× loop: the rate over that of the hand-written loop in the same rounds. Of pages: the rate over that of reading and
decompressing every page with the same threads, decoding nothing. Peak: resident memory above the start, after imports.
¹ converted beforehand, which is not in the figures. ² stopped by the time limit: the rate of the rows until then."""


def throughput(title: str, readers: Mapping[str, Result]) -> str:
    """One data set at one batch size."""
    lines = [
        f"### {title}",
        "",
        "| reader | M rows/s | GB/s | × loop | of pages | CPU s / M rows | peak MiB | first batch ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for key, found in readers.items():
        label = "*pages only: the limit*" if key == "pages-only" else PEERS[key].label
        lines.append(f"| {label} | {figures(found)} |")
    return "\n".join(lines)


def figures(found: Result) -> str:
    if "error" in found:
        return f"{one_line(found['error'])} | | | | | |"
    mark = " ²" if found.get("capped") else ""
    return " | ".join(
        [
            number(found["rows_per_second"] / 1e6) + mark,
            number(found["gb_per_second"]),
            number(found.get("times_loop")),
            number(found.get("share_of_pages")),
            number(found.get("cpu_seconds_per_million_rows")),
            number(found["peak_bytes"] / 2**20) if "peak_bytes" in found else "",
            number(found["first_seconds"] * 1e3) if "first_seconds" in found else "",
        ]
    )


def resumes(title: str, found: Mapping[str, Result]) -> str:
    """Resuming in mid-epoch."""
    names = (
        "reader",
        "at",
        "rounds",
        "load to first batch ms",
        "construction before it ms",
        "first batch of a fresh run ms",
    )
    lines = [
        f"### {title}",
        "",
        f"| {' | '.join(names)} | state bytes | the batch that comes next? |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for key, result in found.items():
        name, share = key.split()
        label = f"{RESUMABLE[name].label} | {share}"
        if "error" in result:
            lines.append(f"| {label} | {one_line(result['error'])} | | | | | |")
            continue
        cells = [number(result[name] * 1e3) for name in ("load_seconds", "built_seconds", "fresh_seconds")]
        exact = "yes" if result["exact"] else "**no**"
        lines.append(f"| {label} | {result['rounds']} | {' | '.join(cells)} | {result['state_bytes']:,} | {exact} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def one_line(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= 90 else text[:89] + "…"
