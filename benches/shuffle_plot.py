"""The pictures of shuffle.py: speed beside mixing, and the losses of its trainings."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training import ORDERS, SORTED

RED, GREY, DARK = "#c8283c", "#7a8699", "#2b2f36"
Result = dict[str, Any]

NAMES = {
    "shardline-none": ("shardline, in order", "above left"),
    "shardline": ("shardline, shuffle=True", "above"),
    "shardline-16": ("", ""),
    "shardline-8": ("16, 8 strands", "right"),
    "hf-random-batch": ("HF mapped, random", "right"),
    "hf-random-workers": ("the same, 2 workers", "right"),
    "hf-random-row": ("the same, row by row", "right"),
    "hf-1000": ("HF streaming, 1,000", "right"),
    "hf-large": ("HF streaming, 65,536", "right"),
    "hf-inputs": ("HF streaming, 65,536\nof 32 row groups", "left"),
    "tdu-splits": ("tdu, default", "above left"),
    "tdu-rows": ("tdu, 65,536", "below left"),
    "grain": ("Grain, 65,536", "right"),
    "loop": ("loop, 65,536", "below left"),
}
"""Short, for the points, and where beside them. Numbers: the rows of the shuffle buffer."""
PLACES = {
    "left": (-7, 0, "right", "center"),
    "right": (7, 0, "left", "center"),
    "above": (0, 8, "left", "bottom"),
    "above left": (4, 6, "right", "bottom"),
    "below left": (4, -6, "right", "top"),
}
PANELS = (
    ("labels in 100 runs", lambda found: found["labels"][0]),
    ("sorted ids", lambda found: found["ids"]),
)


def draw_readers(report: Result, out: Path) -> Path:
    """A panel a figure, a point a reader: best is at the top left."""
    figure = Figure(figsize=(11, 4.9), facecolor="white")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    readers = {key: found for key, found in report["readers"].items() if "error" not in found}
    rates = [found["rate"] for found in readers.values()]
    for axis, (title, ratio) in zip(axes, PANELS, strict=True):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlim(0.8, 60)
        axis.set_ylim(min(rates) / 2, max(rates) * 2.5)
        axis.axvline(1, color="#3a7d44", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axis.text(1.03, max(rates) * 1.6, "uniform", color="#3a7d44", fontsize=8, va="bottom")
        axis.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
        axis.set_xlabel(f"batch noise ÷ a uniform shuffle's: {title}", fontsize=9)
        label_points(axis, {key: (ratio(found), found["rate"]) for key, found in readers.items() if ratio(found)})
        tidy(axis)
    axes[0].set_yticks([1e3, 1e4, 1e5, 1e6, 1e7], ["1 k", "10 k", "100 k", "1 M", "10 M"])
    axes[0].set_ylabel("rows per second", fontsize=9)
    figure.suptitle(
        f"Speed beside mixing: {report['rows'] // 10**6} M sorted rows, batches of 1,024 (better: up and to the left)",
        fontsize=11,
        color=DARK,
    )
    return save(figure, out)


def label_points(axis: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Points with their names beside them."""
    for key, point in points.items():
        ours, (text, place) = key.startswith("shardline"), NAMES[key]
        colour = RED if ours else GREY
        axis.plot(*point, "o", color=colour, markersize=8 if ours else 6.5, markeredgecolor="white", zorder=3)
        if text:
            x, y, horizontal, vertical = PLACES[place]
            weight = "bold" if key == "shardline" else "normal"
            style = {"fontsize": 8, "color": colour if ours else DARK, "fontweight": weight}
            where = {"textcoords": "offset points", "ha": horizontal, "va": vertical}
            axis.annotate(text, point, (x, y), **style, **where)


def draw_training(found: list[Result], out: Path) -> Path:
    """A panel a way of sorting, a curve an order: means over seeds, and a band from the least to the most."""
    figure = Figure(figsize=(11, 4.4), facecolor="white")
    axes = figure.subplots(1, len(SORTED), sharey=True)
    colours = ["#3a7d44", "#8c1024", "#d9455a", "#f09ba6", "#3f6db5", GREY]
    for axis, (key, title) in zip(axes, SORTED.items(), strict=True):
        for (order, label), colour in zip(ORDERS.items(), colours, strict=True):
            runs = [run for run in found if (run["order"], run["sorted"]) == (order, key)]
            losses = np.array([run["losses"] for run in runs])
            steps = runs[0]["steps"]
            style = "--" if order == "in order" else "-"
            text = f"{label}: {mean(losses[:, -1]):.2f}"
            axis.plot(steps, losses.mean(0), style, color=colour, linewidth=1.7, label=text)
            axis.fill_between(steps, losses.min(0), losses.max(0), color=colour, alpha=0.12, linewidth=0)
        axis.set_yscale("log")
        axis.set_ylim(0.9, 15)
        axis.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        axis.set_yticks([], minor=True)
        axis.set_xlabel("step (batches of 256, two epochs)", fontsize=9)
        axis.set_title(title, fontsize=10, color=DARK)
        axis.legend(fontsize=8, frameon=False, loc="upper right", title="loss at the end", title_fontsize=8)
        tidy(axis)
    axes[0].set_ylabel("loss on held-out flights", fontsize=9)
    return save(figure, out)


def tidy(axis: Axes) -> None:
    axis.grid(color="#e8eaee", linewidth=0.8, zorder=-1)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def save(figure: Figure, out: Path) -> Path:
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=140)
    return out
