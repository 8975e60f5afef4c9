"""What a rank of a very large job costs: its plan in memory, its time to begin and to deliver, at 1 and 1,000 ranks.

python benches/ranks.py [--files 100000]     (hard links to one small file stand for the data)
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import shardline

ROWS = 20


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def make(folder: Path, files: int) -> None:
    """A file may have some 65,000 names: a new one every 10,000 links."""
    table, first = pa.table({"i": np.arange(ROWS), "x": np.zeros(ROWS, "f4")}), folder
    for number in range(files):
        name = folder / f"part-{number:07}.parquet"
        if number % 10_000 == 0:
            first = name
            pq.write_table(table, first)
        else:
            os.link(first, name)


def one_rank(plan_file: str, rank: int, ranks: int) -> None:
    """One line of the table; in a process of its own, as a rank is one."""
    before, start = resident(), time.perf_counter()
    plan = shardline.Plan.load(plan_file)
    loaded, with_plan = time.perf_counter() - start, resident()
    start = time.perf_counter()
    loader = shardline.DataLoader(plan=plan, batch_size=8, shuffle=True, num_threads=1, rank=rank, num_ranks=ranks)
    built = time.perf_counter() - start
    state = loader.state_at(len(loader) // 2)
    start = time.perf_counter()
    loader.load_state_dict(state)
    next(iter(loader))
    resumed = time.perf_counter() - start
    print(
        f"| {ranks:,} | {rank:,} | {len(loader):,} | {1e3 * loaded:.0f} | {with_plan - before:.1f} | {1e3 * built:.0f} "
        f"| {1e3 * resumed:.0f} | {resident() - before:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rank", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        one_rank(given.rank[0], int(given.rank[1]), int(given.rank[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, plan_file = Path(name) / "data", str(Path(name) / "plan")
        folder.mkdir()
        make(folder, given.files)
        start = time.perf_counter()
        plan = shardline.StructuredDataset(folder).plan
        print(f"{given.files:,} files of {ROWS} rows, listed and planned once: {time.perf_counter() - start:.1f} s")
        start, data = time.perf_counter(), plan.to_bytes()
        packed = zlib.compress(data, 1)
        print(
            f"the plan: {len(data) / 2**20:.1f} MiB; {len(packed) / 2**20:.1f} MiB as it goes through the store, "
            f"packed in {time.perf_counter() - start:.2f} s\n"
        )
        plan.save(plan_file)
        print("| ranks | rank | steps | load plan, ms | plan, MiB | build loader, ms | first batch, ms | all, MiB |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for rank, ranks in ((0, 1), (0, 10), (0, 1_000), (500, 1_000), (999, 1_000)):
            subprocess.run(
                [sys.executable, __file__, "--rank", plan_file, str(rank), str(ranks)], check=True, timeout=300
            )


if __name__ == "__main__":
    main()
