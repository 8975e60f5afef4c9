"""The end-to-end bench: `python benches/run.py [--quick] [--datasets D1,D3] [--batch 1024] [--rounds 5]`.

Makes the data sets (once), verifies every value that shardline delivers, then measures it beside its peers: rounds in
which each reader has one turn, every turn a process of its own, the page cache warm. Prints a Markdown table and keeps
the figures under `.bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import child
import stats
import table
from data import HOME, SPECS, DataSet, data_set
from machine import machine
from peers import PEERS, RESUMABLE
from resume import LATE, SHARES, resume

EXTRA_BATCHES = ("D1",)
"""The data sets measured at every batch size; the others at the first one only."""
WHOLE = ("D1", "D3")
"""The data sets measured with every reader, at the first batch size."""
MAIN = ("naive", "naive-rg", "polars", "shardline", "shardline-split", "shardline-row")
"""The readers measured on every data set and at every batch size: the others differ less between these."""
VERIFIED = ("shardline", "shardline-split", "shardline-row", "shardline-workers")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, two rounds, one batch size")
    parser.add_argument("--datasets", help=f"of {','.join(SPECS)}; all by default")
    parser.add_argument("--peers", help=f"of {','.join(PEERS)}; all by default")
    parser.add_argument("--batch", help="batch sizes; the first is measured on all data sets (1024,256,8192)")
    parser.add_argument("--rounds", type=int, help="turns of each reader (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads that each reader may use (2)")
    parser.add_argument("--scale", type=float, help="size of the data sets (1)")
    parser.add_argument("--seconds", type=float, default=1.0, help="the least that one turn reads (1)")
    parser.add_argument("--limit", type=float, default=3.0, help="the most that one turn reads (3)")
    parser.add_argument("--json", type=Path, help="where to keep the figures, beside .bench/results/")
    parser.add_argument("--no-resume", action="store_true", help="leave out the resumes")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.scale = options.scale or (0.1 if options.quick else 1.0)
    options.batch = [int(size) for size in (options.batch or ("1024" if options.quick else "1024,256,8192")).split(",")]
    options.datasets = names(options.datasets, list(SPECS), parser)
    options.named = options.peers.split(",") if options.peers else []
    options.peers = names(options.peers, list(PEERS), parser)
    return options


def names(given: str | None, known: list[str], parser: argparse.ArgumentParser) -> list[str]:
    chosen = given.split(",") if given else known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def verified(options: argparse.Namespace) -> bool:
    """Whether shardline delivers what is in the files. Nothing is measured where it does not."""
    wanted = [peer for peer in VERIFIED if peer in options.peers]
    if not wanted:
        return True
    for batch_size, name in measured_sets(options):
        peers = [peer for peer in wanted if name in (PEERS[peer].only or (name,))]
        command = [sys.executable, str(child.HERE / "verify.py"), "--peer", ",".join(peers)]
        command += ["--datasets", name, "--scale", str(options.scale), "--batch", str(batch_size)]
        command += ["--threads", str(options.threads)]
        if subprocess.run(command, env=child.environment(options.threads), check=False).returncode:
            return False
    return True


def measured_sets(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """Every batch size, with the names of the data sets that are measured at it."""
    for batch_size in options.batch:
        for name in options.datasets:
            if batch_size == options.batch[0] or name in EXTRA_BATCHES:
                yield batch_size, name


def measured(data: DataSet, batch_size: int, program: str | None, options: argparse.Namespace) -> dict[str, Any]:
    """Every reader on one data set at one batch size."""
    spec: dict[str, Any] = {"paths": data.paths, "columns": data.columns, "rows": data.rows, "batch_size": batch_size}
    spec |= {"threads": options.threads, "seconds": options.seconds, "limit": options.limit}
    failed: dict[str, Any] = {}
    turns = [key for key in options.peers if data.name in (PEERS[key].only or (data.name,))]
    if batch_size != options.batch[0] or data.name not in WHOLE:
        turns = [key for key in turns if key in MAIN or key in options.named]
    order = list(turns)
    for key in order:
        reason = PEERS[key].absent()
        found = (
            {"error": f"absent: {reason}"}
            if reason
            else child.run("measure", spec | {"task": "prepare", "peer": key}, options.threads)
        )
        if "error" in found:
            failed[key] = found
            turns.remove(key)
    if program:
        turns.append("pages-only")
    for path in data.paths:
        Path(path).read_bytes()
    results: dict[str, list[Any]] = {key: [] for key in turns}
    for turn in range(options.rounds):
        for key in turns[turn % len(turns) :] + turns[: turn % len(turns)] if turns else []:
            if any("error" in result for result in results[key]):
                continue
            progress(f"{data.name} batch {batch_size} round {turn + 1}/{options.rounds}: {key}")
            if key == "pages-only" and program:
                results[key].append(child.pages_only(program, spec, options.threads))
            else:
                results[key].append(child.run("measure", spec | {"task": "measure", "peer": key}, options.threads))
    readers = {key: failed.get(key) or stats.summary(results[key], data) for key in order}
    if program:
        readers["pages-only"] = stats.summary(results["pages-only"], data)
    stats.relate(readers)
    return readers


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    progress("")
    print(text + "\n", flush=True)


def main() -> int:
    options = arguments()
    sets = {name: data_set(name, options.scale) for name in options.datasets}
    if not verified(options):
        print("A value was wrong: nothing is measured.", file=sys.stderr)
        return 1
    program, why = child.build_pages_only()
    if program is None:
        say(f"pages only: absent, {why}")
    report: dict[str, Any] = {"machine": machine(), "threads": options.threads, "rounds": options.rounds}
    report |= {"scale": options.scale, "throughput": [], "resume": []}
    files = [HOME / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.json", *([options.json] if options.json else [])]
    versions = ", ".join(" ".join(pair) for pair in report["machine"]["versions"].items())
    text = f"Machine: {report['machine']['text']}; {options.threads} threads, medians of {options.rounds} rounds."
    say(f"{text} {versions}.")
    for batch_size, name in measured_sets(options):
        data = sets[name]
        readers = measured(data, batch_size, program, options)
        title = f"{name}: {data.about} ({data.rows:,} rows), batches of {batch_size:,}"
        say(table.throughput(title, readers))
        facts = {"dataset": name, "about": data.about, "rows": data.rows, "batch_size": batch_size}
        report["throughput"].append(facts | {"readers": readers})
        keep(report, files)
    if not options.no_resume:
        data, batch_size = sets[options.datasets[0]], options.batch[0]
        found = {}
        for key in RESUMABLE:
            for share in SHARES if key in VERIFIED else (LATE,):
                progress(f"resume: {key} at {share:.0%}")
                found[f"{key} {share:.0%}"] = resume(key, data, share, batch_size, options.threads, options.rounds)
        say(table.resumes(f"Resume in an epoch of {data.name}, batches of {batch_size:,}", found))
        report["resume"].append({"dataset": data.name, "batch_size": batch_size, "readers": found})
        keep(report, files)
        wrong = [key for key in found if key.split()[0] in VERIFIED and not found[key].get("exact", False)]
        if wrong:
            print(f"Another batch came than comes next: {', '.join(wrong)}", file=sys.stderr)
            return 1
    say(table.NOTES)
    return 0


def keep(report: dict[str, Any], files: list[Path]) -> None:
    """Writes what there is so far: a run takes long, and may be stopped."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(main())
