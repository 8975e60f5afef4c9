"""What a store costs: footers a second, and bytes a second of what its connections allow, beside fsspec with pyarrow.

    python benches/stores.py [--footers 5000] [--megabytes 400] [--latency 0.03] [--rate 50e6] [--connections 4]

The store is benches/slow_store.py, in a process of its own on the same machine: it takes its share of the cores.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import shardline


@contextmanager
def serve(latency, rate, objects):
    command = [sys.executable, str(Path(__file__).with_name("slow_store.py")), str(latency), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("".join(f"{count} {path}\n" for count, path in objects) + "\n")
        process.stdin.flush()
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def options(endpoint, **more):
    return {"endpoint_url": endpoint, "anon": True, **more}


def fsspec_files(endpoint, folder, count):
    import fsspec

    store = fsspec.filesystem("http")
    return [(store, f"{endpoint}/bench/{folder}/{number:06}.parquet") for number in range(count)]


def fsspec_footer(place):
    store, url = place
    with store.open(url, block_size=1 << 16) as file:
        return pq.ParquetFile(file).metadata.num_rows


def footers(arguments, folder):
    path = folder / "small.parquet"
    columns = {f"c{n}": np.arange(100.0) for n in range(8)}
    pq.write_table(pa.table(columns), path)
    with serve(arguments.latency, 1e9, [(arguments.footers, path)]) as endpoint:
        begin = time.perf_counter()
        plan = shardline.StructuredDataset("s3://bench/small", storage_options=options(endpoint)).plan
        ours = plan.num_files / (time.perf_counter() - begin)
        some = fsspec_files(endpoint, "small", min(400, arguments.footers))
        begin = time.perf_counter()
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(fsspec_footer, some))
        theirs = len(some) / (time.perf_counter() - begin)
    print(
        f"footers/s at {arguments.latency * 1e3:g} ms a request, listing counted in: shardline {ours:,.0f} "
        f"({plan.num_files:,} files)"
    )
    print(f"  fsspec + pyarrow, 64 threads: {theirs:,.0f} ({len(some)} files, no listing)")


def throughput(arguments, folder):
    files = 8
    rows = int(arguments.megabytes * 1e6 / files / 64)
    path = folder / "large.parquet"
    columns = {f"c{n}": np.random.default_rng(n).random(rows) for n in range(8)}
    pq.write_table(pa.table(columns), path, compression="none", use_dictionary=False, row_group_size=rows // 3 + 1)
    size, count = files * path.stat().st_size, arguments.connections
    request = 8 << 20
    bare = count * arguments.rate
    allowed = count * request / (arguments.latency + request / arguments.rate)
    print(
        f"{count} connections of {arguments.rate / 1e6:g} MB/s: {bare / 1e6:,.0f} MB/s; "
        f"{allowed / 1e6:,.0f} with a wait before each 8 MiB"
    )
    with serve(arguments.latency, arguments.rate, [(files, path)]) as endpoint:
        for shuffle in (False, True):
            storage = options(endpoint, max_requests=count)
            loader = shardline.DataLoader("s3://bench/large", batch_size=4096, shuffle=shuffle, storage_options=storage)
            begin = time.perf_counter()
            found = sum(len(batch["c0"]) for batch in loader)
            took = time.perf_counter() - begin
            assert found == rows * files
            read = loader.get_metrics()["store_bytes"]
            print(
                f"  shardline, shuffle={shuffle}: {size / took / 1e6:,.0f} MB/s of data, "
                f"{read / took / 1e6:,.0f} MB/s fetched: "
                f"{read / took / allowed:.0%} of what the connections allow ({read / took / bare:.0%} bare)"
            )

        def table(place):
            store, url = place
            with store.open(url, block_size=request, cache_type="readahead") as file:
                return pq.ParquetFile(file, pre_buffer=True).read().num_rows

        begin = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            found = sum(pool.map(table, fsspec_files(endpoint, "large", files)))
        took = time.perf_counter() - begin
        assert found == rows * files
        print(
            f"  fsspec + pyarrow, {count} files at a time, tables and no batches: {size / took / 1e6:,.0f} MB/s: "
            f"{size / took / allowed:.0%}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footers", type=int, default=5000)
    parser.add_argument("--megabytes", type=float, default=400)
    parser.add_argument("--latency", type=float, default=0.03)
    parser.add_argument("--rate", type=float, default=50e6)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        footers(arguments, Path(folder))
        throughput(arguments, Path(folder))


if __name__ == "__main__":
    main()
