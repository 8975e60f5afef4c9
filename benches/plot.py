"""Draws the last results as a bar chart: `python benches/plot.py [results.json] [--out docs/throughput.png]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data import HOME
from peers import PEERS

SHOWN = ("shardline", "shardline-row", "naive-rg", "polars", "hf", "tdu", "naive")
ROOT = HOME.parent


def latest() -> Path:
    files = sorted((HOME / "results").glob("*.json"))
    if not files:
        raise SystemExit("no results yet: run benches/run.py first")
    return files[-1]


def draw(report: dict[str, Any], out: Path) -> None:
    """A panel a data set that all of these were measured on, a bar a reader."""
    first = report["throughput"][0]["batch_size"]
    entries = [entry for entry in report["throughput"] if entry["batch_size"] == first]
    panels = [entry for entry in entries if all(key in entry["readers"] for key in SHOWN)]
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.6 * across + 1.6, 2.3 * down + 0.8))
    axes = figure.subplots(down, across, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for i, (axis, entry) in enumerate(zip(axes.flat, panels, strict=False)):
        readers = entry["readers"]
        values = [readers.get(key, {}).get("times_loop") or 0.0 for key in SHOWN]
        colours = ["#d1495b" if key.startswith("shardline") else "#8d99ae" for key in SHOWN]
        labels = [PEERS[key].label.replace("*", "") for key in SHOWN]
        bars = axis.barh(labels if i % across == 0 else range(len(SHOWN)), values, color=colours)
        axis.bar_label(
            bars,
            [f"{value:.1f}×" if value >= 0.1 else f"{value:.2g}×" if value else "–" for value in values],
            padding=2,
            fontsize=7,
        )
        axis.invert_yaxis()
        axis.set_title(f"{entry['dataset']}: {entry['about']}", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.set_xlim(0, max([*values, 1]) * 1.25)
        if i % across:
            axis.set_yticks([])
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Rows per second, × the hand-written loop (batches of {first:,}, {report['threads']} threads)", fontsize=9
    )
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "throughput.png")
    options = parser.parse_args()
    draw(json.loads((options.results or latest()).read_text()), options.out)
    print(options.out)


if __name__ == "__main__":
    main()
