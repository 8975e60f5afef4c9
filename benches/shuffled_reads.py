"""What a shuffle costs where it reads: `python benches/shuffled_reads.py [resume] [stores] [bytes] [--rounds 5]`.

resume: a state of 10, 50 and 90 % of an epoch of 16 M shuffled rows of 96 bytes, loaded, to its first batch; row groups
    of 125,000 and of 1 M rows, with and without a page index, at the default buffer and at 32 MiB.
stores: the same over a store of 30 ms a request and 100 MB/s in all.
bytes: what an epoch of 40 M rows fetches from a store beside the bytes of the files, by shards and row groups.

The states are made by arithmetic (`state_at`); planning is not in the times. Medians over rounds. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

import child
from data import HOME, flat
from machine import machine
from run import progress, say
from stores import options as store_options
from stores import serve

FOLDER = HOME / "shuffled-reads"
SHARES = (0.1, 0.5, 0.9)
LATENCY, RATE, CONNECTIONS = 0.03, 100e6, 8
Result = dict[str, Any]


def files(rows: int, group: int, index: bool) -> list[Path]:
    """Rows of 96 bytes in files of 2 M rows, made once."""
    folder = FOLDER / f"{rows}-{group}-{'index' if index else 'plain'}"
    found = [folder / f"{number:03}.parquet" for number in range(rows // 2_000_000)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(found):
        if not path.exists():
            progress(f"making {path}")
            new = path.with_name("unfinished")
            # Of few different files, since their values take long to make.
            table = flat(2_000_000, number % 4, number * 2_000_000)
            pq.write_table(table, new, row_group_size=group, write_page_index=index)
            new.rename(path)
    return found


def load(spec: Result) -> Result:
    """A state of a share of the epoch, loaded in a loader that is built, to the first batch."""
    from shardline import DataLoader

    loader = DataLoader(spec["path"], batch_size=1024, shuffle=True, num_threads=2, **spec["options"])
    state = loader.state_at(int(len(loader) * spec["share"]))
    fresh = DataLoader(plan=loader.dataset.plan, batch_size=1024, shuffle=True, num_threads=2, **spec["options"])
    start = time.perf_counter()
    fresh.load_state_dict(state)
    next(iter(fresh))
    took = time.perf_counter() - start
    return {"seconds": took, "bytes": fresh.get_metrics().get("store_bytes", 0)}


def fetch(spec: Result) -> Result:
    """An epoch's bytes from a store."""
    from shardline import DataLoader

    loader = DataLoader(spec["path"], batch_size=4096, shuffle=True, num_threads=2, **spec["options"])
    begin, before = time.perf_counter(), loader.get_metrics().get("store_bytes", 0)
    for _ in loader:
        pass
    found: Result = {"bytes": loader.get_metrics()["store_bytes"] - before, "seconds": time.perf_counter() - begin}
    return found | {"strands": loader.dataset.measured()[0].shuffle.strands}


TASKS = {"load": load, "fetch": fetch}


def ask(task: str, path: object, options: Result, **more: Any) -> Result:
    found = child.run("shuffled_reads", {"task": task, "path": path, "options": options, **more}, 2)
    if "error" in found:
        raise SystemExit(f"{task}, {options}: {found['error']}")
    return found


def head(*names: str) -> None:
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def resume(rounds: int) -> None:
    head("row groups", "page index", "buffer", "at 10 %", "at 50 %", "at 90 %, ms")
    for group, buffer, index in product((125_000, 1_000_000), (None, "32MiB"), (False, True)):
        made = files(16_000_000, group, index)
        for path in made:
            path.read_bytes()
        options = {} if buffer is None else {"shuffle_buffer_bytes": buffer}
        runs = {s: [ask("load", str(made[0].parent), options, share=s) for _ in range(rounds)] for s in SHARES}
        cells = [f"{median(run['seconds'] for run in of) * 1e3:,.0f}" for of in runs.values()]
        print(f"| {group:,} | {'yes' if index else 'no'} | {buffer or '128 MiB'} | {' | '.join(cells)} |", flush=True)


def stores(rounds: int) -> None:
    head("row groups", "page index", "at 10 %", "at 50 %", "at 90 %, s", "MB fetched")
    for group, index in ((125_000, False), (125_000, True), (1_000_000, False), (1_000_000, True)):
        made = files(16_000_000, group, index)
        with serve(LATENCY, RATE / CONNECTIONS, [("rows", 1, path) for path in made]) as endpoint:
            options = {"storage_options": store_options(endpoint, max_requests=CONNECTIONS)}
            runs = {s: [ask("load", "s3://bench/rows", options, share=s) for _ in range(rounds)] for s in SHARES}
        cells = [f"{median(run['seconds'] for run in of):.2f}" for of in runs.values()]
        fetched = max(run["bytes"] for of in runs.values() for run in of)
        print(f"| {group:,} | {'yes' if index else 'no'} | {' | '.join(cells)} | {fetched / 1e6:,.0f} |", flush=True)


def fetched(_rounds: int) -> None:
    head("row groups", "page index", "shards", "strands", "fetched ÷ data", "by the formula")
    for rows, index, shards in ((40_000_000, False, 1), (40_000_000, False, 8), (40_000_000, False, 64),
                                (40_000_000, True, 1), (40_000_000, True, 8), (40_000_000, True, 64),
                                (4_000_000, False, 1), (4_000_000, False, 8), (4_000_000, True, 8)):  # fmt: skip
        made = files(rows, 125_000, index)
        size = sum(path.stat().st_size for path in made)
        with serve(0.0, 1e10, [("rows", 1, path) for path in made]) as endpoint:
            options = {"storage_options": store_options(endpoint), "num_shards": shards}
            found = ask("fetch", "s3://bench/rows", options)
        groups, strands = rows // 125_000, found["strands"]
        most = 1 + ((shards - 1) * min(strands, groups) + strands) / groups  # as docs/design.md says
        cells = [f"{groups} × 125,000", "yes" if index else "no", str(shards), str(strands)]
        cells += [f"{found['bytes'] / size:.2f}", f"{most:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


PARTS = {"resume": resume, "stores": stores, "bytes": fetched}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    say(f"Machine: {machine()['text']}. Medians of {options.rounds} rounds.")
    for part in options.parts:
        PARTS[part](options.rounds)
        print()


if __name__ == "__main__":
    main()
