"""`rewrite()` beside pyarrow's dataset writer: `python benches/rewrite.py [--rounds 3] [SET …]`.

Writers take turns, each in a process of its own; medians. pyarrow writes what it can of the same: the rows in order
(`pyarrow.dataset.write_dataset`, same codec, row groups and file sizes), with its own dictionaries ("as it is") and
without any but those that `rewrite()` chose ("told"); partitioned by a column. It neither verifies what it wrote, nor
shuffles, nor sorts in bounded memory. Then what the loader makes of the data before and after. Prints Markdown.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import child
import process
from data import HOME, data_set
from machine import machine
from run import progress, say

OUT = HOME / "rewritten"
Result = dict[str, Any]
PARTITION = {"D1": None, "L": "l_shipmode"}
SORT = {"D1": "user", "L": "l_shipdate"}
MIXED = {"D1": "id", "L": "l_orderkey"}
"""What the data are sorted by, before: how a layout mixes it."""


def rewritten(spec: Result) -> Result:
    """By shardline."""
    import shardline

    before, cpu, start = process.reset_peak(), process.cpu_seconds(), time.perf_counter()
    stages: dict[str, float] = {}

    def heard(told: Any) -> None:
        stages[told.stage] = time.perf_counter() - start

    report = shardline.rewrite(spec["paths"], spec["out"], overwrite=True, progress=heard, **spec["options"])
    return {
        "seconds": time.perf_counter() - start,
        "cpu": process.cpu_seconds() - cpu,
        "peak": process.peak() - before,
        "bytes": report.bytes,
        "groups": report.row_groups,
        "files": report.files,
        "stages": stages,
    }


def by_pyarrow(spec: Result) -> Result:
    """By pyarrow's dataset writer, in the row groups and files that shardline made."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    pa.set_cpu_count(2)
    before, cpu, start = process.reset_peak(), process.cpu_seconds(), time.perf_counter()
    shutil.rmtree(spec["out"], ignore_errors=True)
    format_ = ds.ParquetFileFormat()
    options = format_.make_write_options(
        compression="snappy", write_page_index=True, write_page_checksum=True, **spec["writer"]
    )
    data = ds.dataset(spec["paths"])
    if spec["partition"]:  # it cannot partition rows that hold views
        plain = [f.with_type(pa.string()) if f.type == pa.string_view() else f for f in data.schema]
        data = data.replace_schema(pa.schema(plain))
    ds.write_dataset(
        data,
        spec["out"],
        format=format_,
        file_options=options,
        partitioning=spec["partition"] and [spec["partition"]],
        partitioning_flavor="hive" if spec["partition"] else None,
        min_rows_per_group=spec["group"],
        max_rows_per_group=spec["group"],
        max_rows_per_file=spec["file"],
        preserve_order=not spec["partition"],
    )
    size = sum(path.stat().st_size for path in Path(spec["out"]).rglob("*.parquet"))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu": process.cpu_seconds() - cpu, "peak": process.peak() - before, "bytes": size}


def loaded(spec: Result) -> Result:
    """Rows a second of a pass in order and of a shuffled one, and how batches in order mix a column."""
    import shardline

    found: Result = {"bytes": sum(Path(path).stat().st_size for path in spec["paths"])}
    for shuffle in (False, True):
        best = 0.0
        for _ in range(3):
            loader = shardline.DataLoader(spec["paths"], batch_size=1024, shuffle=shuffle, num_threads=2)
            start, rows = time.perf_counter(), 0
            for batch in loader:
                rows += len(next(iter(batch.values())))
            best = max(best, rows / (time.perf_counter() - start))
        found["shuffled" if shuffle else "in order"] = best
    quality = shardline.shuffle_quality(shardline.DataLoader(spec["paths"], batch_size=1024), spec["column"])
    found["quality"] = quality.column_values
    return found


TASKS = {"rewritten": rewritten, "by_pyarrow": by_pyarrow, "loaded": loaded}


def writers(name: str) -> dict[str, Result]:
    """Of a data set: each writer's task and its options."""
    import pyarrow.parquet as pq

    data = data_set(name)
    paths, out = data.paths, str(OUT / name)
    common = {"paths": paths}
    progress(f"{name}: what shardline makes of it")
    child.run("rewrite", {"task": "rewritten", "paths": paths, "out": out, "options": {}}, 2)
    made = sorted(Path(out).rglob("*.parquet"))
    footer = pq.ParquetFile(made[0]).metadata
    group = footer.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    told = [c.path_in_schema for c in columns if c.has_dictionary_page]
    size = {"group": group.num_rows, "file": footer.num_rows, "partition": None}
    found = {
        "rewrite": {"task": "rewritten", "out": out, "options": {}},
        "pyarrow, as it is": {"task": "by_pyarrow", "out": out + "-pyarrow", "writer": {}, **size},
        "pyarrow, told": {
            "task": "by_pyarrow",
            "out": out + "-pyarrow",
            "writer": {"use_dictionary": told or False},
            **size,
        },
        "rewrite, shuffle": {"task": "rewritten", "out": out + "-shuffled", "options": {"shuffle": True, "seed": 7}},
        "rewrite, sort_by": {"task": "rewritten", "out": out + "-sorted", "options": {"sort_by": SORT[name]}},
    }
    if PARTITION[name]:
        options = {"partition_by": PARTITION[name]}
        found["rewrite, partition_by"] = {"task": "rewritten", "out": out + "-folders", "options": options}
        size = {**size, "partition": PARTITION[name]}
        found["pyarrow, partitioned"] = {"task": "by_pyarrow", "out": out + "-pyarrow", "writer": {}, **size}
    return {key: common | spec for key, spec in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SORT), help=f"of {', '.join(SORT)}; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    say(f"Machine: {machine()['text']}. Medians of {options.rounds} rounds.")
    for name in options.sets:
        data, specs = data_set(name), writers(name)
        for path in data.paths:
            Path(path).read_bytes()
        found: dict[str, list[Result]] = {key: [] for key in specs}
        for turn in range(options.rounds):
            keys = list(specs)
            for key in keys[turn % len(keys) :] + keys[: turn % len(keys)]:
                progress(f"{name}, round {turn + 1}: {key}")
                found[key].append(child.run("rewrite", specs[key], 2))
        say(f"{name} ({data.about}): {data.rows:,} rows in {len(data.paths)} files")
        print("| writer | s | M rows/s | of pyarrow, as it is | processor s | peak, MiB | MiB written |")
        print("|---|" + "---:|" * 6)
        base = [r["seconds"] for r in found["pyarrow, as it is"] if "seconds" in r]
        for key, results in found.items():
            errors = [r["error"] for r in results if "error" in r]
            if errors:
                print(f"| {key} | {errors[0]} | | | | | |")
                continue
            of = {one: median(r[one] for r in results) for one in ("seconds", "cpu", "peak", "bytes")}
            cells = [f"{of['seconds']:.2f}", f"{data.rows / of['seconds'] / 1e6:.2f}"]
            cells += [f"{median(base) / of['seconds']:.2f}" if base else "", f"{of['cpu']:.1f}"]
            cells += [f"{of['peak'] / 2**20:,.0f}", f"{of['bytes'] / 2**20:,.0f}"]
            print(f"| {key} | {' | '.join(cells)} |", flush=True)
        print("\n| layout | MiB | M rows/s in order | shuffled | batch means, in order |\n|---|---:|---:|---:|---:|")
        outs = {"before": data.paths} | {
            key: sorted(map(str, Path(spec["out"]).rglob("*.parquet")))
            for key, spec in specs.items()
            if key in ("rewrite", "rewrite, shuffle", "rewrite, sort_by")
        }
        for key, paths in outs.items():
            read = child.run("rewrite", {"task": "loaded", "paths": paths, "column": MIXED[name]}, 2)
            if "error" in read:
                print(f"| {key} | {read['error']} | | | |")
                continue
            cells = [f"{read['bytes'] / 2**20:,.0f}", f"{read['in order'] / 1e6:.2f}", f"{read['shuffled'] / 1e6:.2f}"]
            print(f"| {key} | {' | '.join(cells)} | {read['quality']:.2f} |", flush=True)
        print()


if __name__ == "__main__":
    main()
