"""What columns cost that are not plain numbers: `python benches/columns.py [--rows 400000] [--threads 2]`.

Padded tokens beside a collate function in Python, dictionary strings beside plain ones, a matrix beside separate
columns and beside `torch.stack` of them: each in one run, medians over rounds that take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from shardline import ColumnOptions, DataLoader

BATCH = 1024
NAMES = [f"f{n}" for n in range(16)]


def write(folder: Path, rows: int) -> None:
    """Tokens (lists of int32, 500 on average), strings of 10,000 words, and 16 columns of float32."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, rows // 20)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("i4")
    tokens = pa.array((rng.zipf(1.3, int(offsets[-1])) % 50_000).astype("i4"))
    lists = pa.table({"t": pa.ListArray.from_arrays(offsets, tokens)})
    pq.write_table(lists, folder / "tokens.parquet", row_group_size=5_000)
    words = np.array([f"category number {n}" for n in range(10_000)])
    strings = pa.array(words[rng.zipf(1.2, rows) % 10_000])
    pq.write_table(pa.table({"s": strings}), folder / "plain.parquet", use_dictionary=False, row_group_size=50_000)
    pq.write_table(pa.table({"s": strings}), folder / "encoded.parquet", row_group_size=50_000)
    coded = pa.table({"s": strings.dictionary_encode()})
    pq.write_table(coded, folder / "dictionary.parquet", row_group_size=50_000)
    floats = {name: rng.standard_normal(rows * 4).astype("f4") for name in NAMES}
    pq.write_table(pa.table(floats), folder / "floats.parquet", row_group_size=125_000)
    plain = {"use_dictionary": False, "compression": "none"}
    pq.write_table(pa.table(floats), folder / "plain_floats.parquet", row_group_size=125_000, **plain)


def pad(batch: dict[str, Any]) -> dict[str, Any]:
    """As users collate tokens."""
    rows = batch["t"].unbind()
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return {"t": padded, "t__length": torch.tensor([len(row) for row in rows])}


def pad_samples(batch: list[list[int]]) -> dict[str, Any]:
    """As users collate tokens that come as a list of samples."""
    longest = max(map(len, batch))
    rows = [row + [0] * (longest - len(row)) for row in batch]
    return {"t": torch.tensor(rows, dtype=torch.int32), "t__length": torch.tensor([len(row) for row in batch])}


def samples(path: Path) -> Any:
    """Batches of samples, as pyarrow reads them."""
    for batch in pq.ParquetFile(path).iter_batches(BATCH):
        yield pad_samples(batch.column(0).to_pylist())


def stack(batch: dict[str, Any]) -> Any:
    """As users put columns beside one another."""
    return torch.stack(list(batch.values()), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.rows)
        for title, cases in tables(folder, options.threads).items():
            print(f"\n{title}\n\n| | seconds an epoch | rows/s |\n|---|---:|---:|")
            taken: dict[str, list[float]] = {case: [] for case in cases}
            for number in range(options.rounds + 1):
                for case, (batches, function) in cases.items():
                    begin = time.perf_counter()
                    for batch in batches():
                        function(batch)
                    if number:  # the first round warms up
                        taken[case].append(time.perf_counter() - begin)
            for case, seconds in taken.items():
                files = {"Tokens": "tokens", "Strings": "plain"}.get(title.split(",")[0], "floats")
                rows = pq.read_metadata(folder / f"{files}.parquet").num_rows
                print(f"| {case} | {median(seconds):.3f} | {rows / median(seconds):,.0f} |", flush=True)


Case = tuple[Callable[[], Any], Callable[[Any], Any]]


def tables(folder: Path, threads: int) -> dict[str, dict[str, Case]]:
    def loader(name: str, **more: Any) -> Callable[[], Any]:
        return lambda: DataLoader(folder / f"{name}.parquet", batch_size=BATCH, num_threads=threads, **more)

    def asked(column: str, **column_options: Any) -> dict[str, Any]:
        return {"column_options": {column: ColumnOptions(**column_options)}}

    def nothing(batch: Any) -> Any:
        return batch

    return {
        "Tokens, lists of int32 of 1 to 999": {
            "padded by shardline": (loader("tokens", **asked("t", lists="padded")), nothing),
            "padded to 512, cut": (
                loader("tokens", **asked("t", lists="padded", length=512, truncate="right")),
                nothing,
            ),
            "jagged, not padded": (loader("tokens"), nothing),
            "jagged, and pad_sequence in Python": (loader("tokens"), pad),
            "pyarrow, and lists padded in Python": (lambda: samples(folder / "tokens.parquet"), nothing),
        },
        "Strings, 10,000 different ones": {
            "list of str, PLAIN pages": (loader("plain"), nothing),
            "list of str, dictionary pages": (loader("encoded"), nothing),
            "codes of a dictionary column": (loader("dictionary"), nothing),
            "hashes, PLAIN pages": (loader("plain", **asked("s", encode="hash", buckets=2**20)), nothing),
            "hashes, dictionary pages": (loader("encoded", **asked("s", encode="hash", buckets=2**20)), nothing),
        },
        "16 columns of float32": {
            "separate": (loader("floats"), nothing),
            "a matrix (n, 16)": (loader("floats", matrices={"x": NAMES}), nothing),
            "separate, and torch.stack": (loader("floats"), stack),
        },
        "16 columns of float32, PLAIN and uncompressed": {
            "separate": (loader("plain_floats"), nothing),
            "a matrix (n, 16)": (loader("plain_floats", matrices={"x": NAMES}), nothing),
            "separate, and torch.stack": (loader("plain_floats"), stack),
        },
        "16 columns of float32, shuffled": {
            "separate": (loader("floats", shuffle=True), nothing),
            "a matrix (n, 16)": (loader("floats", shuffle=True, matrices={"x": NAMES}), nothing),
            "separate, and torch.stack": (loader("floats", shuffle=True), stack),
        },
    }


if __name__ == "__main__":
    main()
