"""Speed beside mixing: `python benches/shuffle.py [--quick] [--rounds 5] [--no-training] [--draw]`.

Four million rows in the order of their ids, with labels in 100 runs, read by shardline and by other loaders that
shuffle, all in one run: rows a second, the time to the first batch, memory, and how far batches are from uniform ones.
Then a small training on rows sorted by label (`training.py`). Prints Markdown, writes docs/shuffle.png and
docs/shuffle-training.png, and keeps the figures in `.bench/results/shuffle/`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import child
import shuffle_plot
import training
from data import HOME, SPECS, Spec, data_set, plain
from machine import machine
from mixing import SAME_ORDER, SHUFFLED
from run import progress, say
from table import number, one_line

ROWS, GROUP, RUNS = 4_000_000, 125_000, 100
KEPT = HOME / "results" / "shuffle"
Result = dict[str, Any]

NOTES = """\
M rows/s: steady, from the first batch on, over whole passes or until the time limit (²); medians. First: from nothing
to the first batch. Peak: resident memory of the training process over its start, mapped files among it and that of
worker processes not. The other figures are of one whole pass: the standard deviation of batch means divided by a
uniform shuffle's (1.00 is uniform), for the ids, which are sorted, and for random labels that stand in 100, 1,000 and
10,000 runs; the correlation of neighbouring batches' mean ids; and the uniform batch that is as varied as these are,
for the worst label figure.
¹ converted to Arrow beforehand, which is not in the figures. ² cut by the time limit.
³ of the first batches of a pass, as many as came in {seconds:g} s."""


def sorted_rows(rows: int, seed: int, first: int) -> pa.Table:
    """Ids in order, labels in 100 runs of the whole, and 80 bytes of numbers: 96 bytes a row."""
    random = np.random.default_rng(seed)
    ids = np.arange(first, first + rows, dtype=np.int64)
    columns: dict[str, Any] = {"id": ids, "label": ids * RUNS // (rows * 4)}
    columns |= {f"x{i:02}": random.standard_normal(rows, dtype=np.float32) for i in range(16)}
    columns |= {f"y{i}": random.standard_normal(rows) for i in range(2)}
    return pa.table(columns)


def ids_alone(directory: Path, scale: float) -> None:
    """The same files with their ids alone: for readers that cannot leave columns out."""
    for path in data_set("S", scale).paths:
        pq.write_table(pq.read_table(path, columns=["id"]), directory / Path(path).name, row_group_size=GROUP)


SPECS["S"] = Spec("sorted ids, labels in 100 runs", plain(sorted_rows, ROWS, GROUP))
SPECS["S-ids"] = Spec("the ids of S", ids_alone)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds, one seed")
    parser.add_argument("--readers", help=f"of {','.join(SHUFFLED)}; all by default")
    parser.add_argument("--rounds", type=int, help="turns of each reader (5)")
    parser.add_argument("--seeds", type=int, help="trainings in each order (3)")
    parser.add_argument("--seconds", type=float, default=1.0, help="the least that one turn reads (1)")
    parser.add_argument("--limit", type=float, default=2.0, help="the most that it reads after its first batch (2)")
    parser.add_argument("--order-limit", type=float, default=25.0, help="the most that a pass for the order takes (25)")
    parser.add_argument("--no-training", action="store_true", help="leave out the training")
    parser.add_argument("--no-readers", action="store_true", help="leave out the readers")
    parser.add_argument("--draw", action="store_true", help="print and draw the last results again, measure nothing")
    parser.add_argument("--out", type=Path, default=HOME.parent / "docs", help="where the pictures go (docs/)")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seeds = options.seeds or (1 if options.quick else 3)
    options.readers = options.readers.split(",") if options.readers else list(SHUFFLED)
    return options


def measured(options: argparse.Namespace) -> dict[str, Result]:
    """Every reader: how it mixes, once, then its rate, in rounds that begin with another reader each."""
    data, ids = data_set("S"), data_set("S-ids")
    spec: Result = {"paths": data.paths, "id_paths": ids.paths, "rows": data.rows, "batch_size": 1024, "threads": 2}
    spec |= {"seconds": options.seconds, "limit": options.limit, "order_limit": options.order_limit}
    found: dict[str, Result] = {}
    for key in options.readers:
        absent = SHUFFLED[key].absent()
        found[key] = {"error": f"absent: {absent}"} if absent else ask(spec, "prepare", key)
        if "error" not in found[key] and key not in SAME_ORDER:
            progress(f"how it mixes: {key}")
            found[key] = ask(spec, "order", key)
    for key, other in SAME_ORDER.items():
        if key in found and "error" not in found[key]:
            found[key] = dict(found.get(other) or ask(spec, "order", other))
    turns = [key for key in options.readers if "error" not in found[key]]
    if not turns:
        return found
    results: dict[str, list[Result]] = {key: [] for key in turns}
    for path in data.paths:
        Path(path).read_bytes()
    for turn in range(options.rounds):
        for key in turns[turn % len(turns) :] + turns[: turn % len(turns)]:
            progress(f"round {turn + 1}/{options.rounds}: {key}")
            results[key].append(ask(spec, "rate", key))
    for key, rounds in results.items():
        found[key] = joined(found[key], rounds)
    return found


def ask(spec: Result, task: str, key: str) -> Result:
    return child.run("mixing", spec | {"task": task, "peer": key}, spec["threads"])


def joined(mixing: Result, rounds: list[Result]) -> Result:
    """A reader's figures: of its order, and medians of its turns."""
    errors = [result["error"] for result in rounds if "error" in result]
    if errors:
        return {"error": errors[0]}
    # A slow reader delivers fewer of the first batches than are compared.
    if any(result["first_ids"] != mixing["first_ids"][: len(result["first_ids"])] for result in rounds):
        return {"error": "with all columns, other batches came than with the ids alone"}
    rates = [result["rows"] / result["seconds"] for result in rounds]
    names = ("first_seconds", "peak_bytes")
    medians = {name: median(result[name] for result in rounds) for name in names}
    more = {"rate": median(rates), "lowest": min(rates), "highest": max(rates), "capped": rounds[0]["capped"]}
    return mixing | medians | more


def readers_table(readers: dict[str, Result]) -> str:
    names = ["reader", "M rows/s", "first, ms", "peak, MiB", "sorted ids", "neighbours"]
    names += ["labels in 100 / 1,000 / 10,000 runs", "effective batch"]
    lines = [f"| {' | '.join(names)} |", "|---" + "|---:" * (len(names) - 1) + "|"]
    for key, found in readers.items():
        if "error" in found:
            lines.append(f"| {SHUFFLED[key].label} | {one_line(found['error'])} | | | | | | |")
            continue
        cells = [
            number(found["rate"] / 1e6) + (" ²" if found["capped"] else ""),
            number(found["first_seconds"] * 1e3),
            number(found["peak_bytes"] / 2**20),
            *("" if found[name] is None else f"{found[name]:.2f}" for name in ("ids", "neighbours")),
            " / ".join(f"{ratio:.2f}" for ratio in found["labels"]) + ("" if found["whole"] else " ³"),
            f"{found['effective']:,.0f}",
        ]
        lines.append(f"| {SHUFFLED[key].label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    kept = KEPT / "latest.json"
    began = time.perf_counter()
    if options.draw:
        report = json.loads(kept.read_text())
    else:
        report = {"machine": machine(), "rounds": options.rounds, "rows": ROWS, "order_limit": options.order_limit}
        if not options.no_readers:
            report["readers"] = measured(options)
        if not options.no_training:
            report["training"] = training.measured(options.seeds, progress)
        KEPT.mkdir(parents=True, exist_ok=True)
        report["seconds"] = time.perf_counter() - began
        kept.write_text(json.dumps(report, indent=1))
        shutil.copy(kept, KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}.json")
    versions = ", ".join(" ".join(pair) for pair in report["machine"]["versions"].items())
    say(f"Machine: {report['machine']['text']}. {versions}.")
    if "readers" in report:
        text = f"{report['rows']:,} rows of 96 bytes in 32 row groups, batches of 1,024; one process, 2 threads"
        say(f"{text}; medians of {report['rounds']} interleaved rounds.")
        say(readers_table(report["readers"]) + "\n\n" + NOTES.format(seconds=report["order_limit"]))
        say(str(shuffle_plot.draw_readers(report, options.out / "shuffle.png")))
    if "training" in report:
        say(training.table(report["training"]))
        say(str(shuffle_plot.draw_training(report["training"], options.out / "shuffle-training.png")))
    say(f"It took {report['seconds']:.0f} s.")


if __name__ == "__main__":
    main()
