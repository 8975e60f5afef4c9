"""What a shuffle costs where it reads: `python benches/shuffled_reads.py [resume] [stores] [bytes] [--rounds 5]`.

resume: a state of 10, 50 and 90 % of an epoch of 16 M shuffled rows of 96 bytes, loaded, to its first batch; row groups
    of 125,000 and of 1 M rows, with and without a page index, at the default buffer and at 32 MiB.
stores: the same over a store of 30 ms a request and 100 MB/s in all; also without dictionaries, which are most of the
    bytes of such random numbers and which every part of a row group needs.
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
LATENCY, RATE, PAGE = 0.03, 100e6, 20_000
Result = dict[str, Any]


def files(rows: int, group: int, index: bool, dictionary: bool = True) -> list[Path]:
    """Rows of 96 bytes in files of 2 M rows, made once."""
    folder = FOLDER / f"{rows}-{group}-{'index' if index else 'plain'}{'' if dictionary else '-values'}"
    found = [folder / f"{number:03}.parquet" for number in range(rows // 2_000_000)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(found):
        if not path.exists():
            progress(f"making {path}")
            new = path.with_name("unfinished")
            # Of few different files, since their values take long to make.
            table = flat(2_000_000, number % 4, number * 2_000_000)
            pq.write_table(table, new, row_group_size=group, write_page_index=index, use_dictionary=dictionary)
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


def needed(loader: Any, share: float, made: list[Path], index: bool) -> float:
    """The bytes that the windows of a batch are stored in, if pages have 20,000 rows, as pyarrow writes them: the
    dictionary and the pages that hold rows of the windows, or without an index all before these."""
    dataset, step = loader.dataset, int(len(loader) * share)
    rows, windows = dataset.num_rows, dataset.measured()[0].shuffle.windows
    touched: dict[tuple[str, int], set[int]] = {}
    for window in {step * 1024 * windows // rows, min((step + 1) * 1024, rows) * windows // rows}:
        # Every tenth batch of a window has rows from all of its pages.
        for each in range(window * rows // windows // 1024 + 1, (window + 1) * rows // windows // 1024, 10):
            for name, group, first, end in dataset.rows_at(each):
                touched.setdefault((name, group), set()).update(range(first // PAGE, (end - 1) // PAGE + 1))
    found = 0.0
    metadata = {path.name: pq.read_metadata(path) for path in made}
    for (name, group), pages in touched.items():
        of = metadata[name].row_group(group)
        read = pages if index else range(max(pages) + 1)
        part = sum(min(PAGE, of.num_rows - page * PAGE) for page in read) / of.num_rows
        for column in map(of.column, range(of.num_columns)):
            size = column.total_compressed_size
            dictionary = column.data_page_offset - column.dictionary_page_offset if column.has_dictionary_page else 0
            found += dictionary + (size - dictionary) * part
    return found


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
    from shardline import DataLoader

    head("row groups", "dictionaries", "page index", "at 10 %", "at 50 %", "at 90 %, s", "MB fetched", "MB needed")
    for group, dictionary, index in product((125_000, 1_000_000), (True, False), (False, True)):
        made = files(16_000_000, group, index, dictionary)
        with serve(LATENCY, RATE, [("rows", 1, path) for path in made], RATE) as endpoint:
            options = {"storage_options": store_options(endpoint)}
            runs = {s: [ask("load", "s3://bench/rows", options, share=s) for _ in range(rounds)] for s in SHARES}
        cells = [f"{group:,}", "yes" if dictionary else "no", "yes" if index else "no"]
        cells += [f"{median(run['seconds'] for run in of):.2f}" for of in runs.values()]
        cells += [" ".join(f"{max(run['bytes'] for run in of) / 1e6:,.0f}" for of in runs.values())]
        loader = DataLoader(str(made[0].parent), batch_size=1024, shuffle=True)
        cells += [" ".join(f"{needed(loader, share, made, index) / 1e6:,.0f}" for share in SHARES)]
        print(f"| {' | '.join(cells)} |", flush=True)


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
