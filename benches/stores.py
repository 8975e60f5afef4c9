"""What a store costs: footers a second, and bytes a second of what its connections allow, beside fsspec with pyarrow.

    python benches/stores.py [--footers 5000] [--megabytes 400] [--latency 0.03] [--rate 50e6] [--connections 4]

The store is benches/slow_store.py, in a process of its own on the same machine: it takes its share of the cores. What
its connections allow is measured in every round too, by a client that fetches the same bytes and looks at nothing
(benches/bare.py). Figures are medians over rounds, in which the clients take turns; every value is checked first.
"""

import argparse
import resource
import statistics
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

import bare
import shardline

FILES = 8
REQUEST = 8 << 20
FOOTER_CONNECTIONS = 64


@contextmanager
def serve(latency, rate, objects, together=None):
    """The store of `(prefix, count, path)`: so many objects of a file each; `together`, the rate of all connections."""
    command = [sys.executable, str(Path(__file__).with_name("slow_store.py")), str(latency), str(rate)]
    command += [] if together is None else [str(together)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("".join(f"{prefix} {count} {path}\n" for prefix, count, path in objects) + "\n")
        process.stdin.flush()
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def options(endpoint, **more):
    return {"endpoint_url": endpoint, "anon": True, **more}


def rounds(count, clients):
    """Of every client, by name, the seconds that it took and the processor's seconds: medians over rounds."""
    taken = {name: [] for name in clients}
    for number in range(count):
        names = list(clients)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            clients[name]()
            took, now = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
            taken[name].append((took, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime))
    return {name: tuple(map(statistics.median, zip(*of, strict=True))) for name, of in taken.items()}


def paths(prefix, count):
    return [f"/bench/{prefix}/{number:06}.parquet" for number in range(count)]


def footers(arguments, folder):
    path = folder / "small.parquet"
    pq.write_table(pa.table({f"c{n}": np.arange(100.0) for n in range(8)}), path)
    size, count, some = path.stat().st_size, arguments.footers, min(400, arguments.footers)
    with serve(arguments.latency, 1e9, [("small", count, path)]) as endpoint:
        import fsspec

        web = fsspec.filesystem("http")

        def ours():
            plan = shardline.StructuredDataset("s3://bench/small", storage_options=options(endpoint)).plan
            assert (plan.num_files, plan.num_rows) == (count, 100 * count)

        def footer(path):
            with web.open(endpoint + path, block_size=1 << 16) as file:
                return pq.ParquetFile(file).metadata.num_rows

        def theirs():
            with ThreadPoolExecutor(FOOTER_CONNECTIONS) as pool:
                assert sum(pool.map(footer, paths("small", some))) == 100 * some

        def least():
            bare.fetch(endpoint, [(path, 0, size) for path in paths("small", count)], FOOTER_CONNECTIONS)

        took = rounds(arguments.rounds, {"ours": ours, "theirs": theirs, "least": least})
    print(f"footers/s at {arguments.latency * 1e3:g} ms a request, {FOOTER_CONNECTIONS} at once")
    print(f"  shardline, listing counted in: {count / took['ours'][0]:,.0f} ({count:,} files)")
    print(f"  fetched only, no listing:      {count / took['least'][0]:,.0f}")
    print(f"  fsspec + pyarrow, no listing:  {some / took['theirs'][0]:,.0f} ({some} files)")


def large(folder, megabytes):
    """Files of 8 columns of 8 bytes, one of which numbers the rows, and the values."""
    rows = int(megabytes * 1e6 / FILES / 64)
    whole = {"i": np.arange(FILES * rows)}
    whole |= {f"c{n}": np.random.default_rng(n).random(FILES * rows) for n in range(7)}
    for number in range(FILES):
        part = {name: values[number * rows : (number + 1) * rows] for name, values in whole.items()}
        options = {"compression": "none", "use_dictionary": False, "row_group_size": rows // 3 + 1}
        pq.write_table(pa.table(part), folder / f"{number:06}.parquet", **options)
    return whole


def verify(loader, whole):
    """Every value of an epoch."""
    batches = list(loader)
    found = {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in whole}
    order = np.argsort(found["i"])
    for name, values in whole.items():
        assert np.array_equal(found[name][order], values), name


def throughput(arguments, folder):
    whole, count = large(folder, arguments.megabytes), arguments.connections
    files = sorted(folder.glob("0*.parquet"))
    sizes = [path.stat().st_size for path in files]
    rows, size = len(whole["i"]), sum(sizes)
    with serve(arguments.latency, arguments.rate, [("large", 1, path) for path in files]) as endpoint:
        import fsspec

        web = fsspec.filesystem("http")

        def loader(shuffle):
            storage = options(endpoint, max_requests=count)
            return shardline.DataLoader("s3://bench/large", batch_size=4096, shuffle=shuffle, storage_options=storage)

        def ours(shuffle):
            assert sum(len(batch["i"]) for batch in loaders[shuffle]) == rows

        def table(path):
            with web.open(endpoint + path, block_size=REQUEST, cache_type="readahead") as file:
                return pq.ParquetFile(file, pre_buffer=True).read().num_rows

        def theirs():
            with ThreadPoolExecutor(count) as pool:
                assert sum(pool.map(table, paths("large", FILES))) == rows

        def least():
            ranges = [
                (path, start, min(start + REQUEST, of))
                for path, of in zip(paths("large", FILES), sizes, strict=True)
                for start in range(0, of, REQUEST)
            ]
            bare.fetch(endpoint, ranges, count)

        # Planning is the other measure.
        loaders = {shuffle: loader(shuffle) for shuffle in (False, True)}
        for read in loaders.values():
            verify(read, whole)
        clients = {
            "fetched only": least,
            "shardline, shuffle=False": lambda: ours(False),
            "shardline, shuffle=True": lambda: ours(True),
            "fsspec + pyarrow, tables and no batches": theirs,
        }
        took = rounds(arguments.rounds, clients)
        fetched = {shuffle: read.get_metrics()["store_bytes"] for shuffle, read in loaders.items()}
    allowed = size / took["fetched only"][0]
    print(
        f"{count} connections of {arguments.rate / 1e6:g} MB/s, {arguments.latency * 1e3:g} ms a request, "
        f"{size / 1e6:,.0f} MB; of {count * arguments.rate / 1e6:,.0f} MB/s, "
        f"{count * REQUEST / (arguments.latency + REQUEST / arguments.rate) / 1e6:,.0f} with a wait before each 8 MiB"
    )
    for name, (seconds, processor) in took.items():
        rate = size / seconds
        print(f"  {name}: {rate / 1e6:,.0f} MB/s, {rate / allowed:.0%} of fetched only; {processor:.1f} s of processor")
    for shuffle, of in fetched.items():
        print(f"  shuffle={shuffle} fetched {of / size:.0%} of the bytes: strands share the row groups between them")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footers", type=int, default=5000)
    parser.add_argument("--megabytes", type=float, default=400)
    parser.add_argument("--latency", type=float, default=0.03)
    parser.add_argument("--rate", type=float, default=50e6)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["footers", "throughput"])
    arguments = parser.parse_args()
    for measure in (footers, throughput):
        if arguments.only in (None, measure.__name__):
            with tempfile.TemporaryDirectory() as folder:
                measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
