"""Packed sequences: `python benches/packing.py [wrap] [fit] [resume] [--scale 0.2] [--rounds 5] [--threads 2]`.

- wrap: tokens a second of blocks of (16, 2048) with labels and borders, beside the same lists read without packing.
- fit: whole documents in sequences of 2,048 to 32,768, with the count of their lengths; how full they are, and how many
  documents are cut that need not be.
- resume: from a state at 90 % of an epoch to the first batch; tokens lost or repeated.

Readers take turns in rounds; a turn is an epoch from nothing, and figures are medians. The page cache is warm. A peer
that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import shardline
from data import SPECS, DataSet, Spec, data_set, lists, plain
from packing_readers import BATCH, Reader, fitted, peers_of, wrapped


def documents(rows: int, seed: int, _first: int) -> pa.Table:
    """list<int32> of lognormal lengths, 500 in the median."""
    random = np.random.default_rng(seed)
    lengths = np.maximum(1, random.lognormal(np.log(500), 1.0, rows)).astype(np.int64)
    values = (random.zipf(1.2, int(lengths.sum())) % 50_000).astype(np.int32)
    return pa.table({"tokens": lists(values, lengths)})


SPECS["D3l"] = Spec("list<int32>, lognormal lengths, zstd", plain(documents, 60_000, 6_000, compression="zstd"))


class Turn(NamedTuple):
    """What a reader delivered in an epoch."""

    seconds: float
    tokens: int
    places: int
    segments: int


def turn(reader: Reader, data: DataSet, length: int, threads: int) -> Turn:
    begin = time.perf_counter()
    tokens = places = segments = 0
    for batch in reader(data, length, threads):
        tokens, places, segments = tokens + batch[0], places + batch[1], segments + batch[2]
    return Turn(time.perf_counter() - begin, tokens, places, segments)


def rounds(
    readers: dict[str, Reader], data: DataSet, length: int, options: argparse.Namespace
) -> dict[str, list[Turn]]:
    """The turns of each reader, which begin with another one in each round."""
    found: dict[str, list[Turn]] = {name: [] for name in readers}
    names = list(readers)
    for number in range(options.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            found[name].append(turn(readers[name], data, length, options.threads))
    return found


def rate(turns: list[Turn]) -> float:
    """Million tokens a second."""
    return statistics.median(each.tokens / each.seconds for each in turns) / 1e6


def lengths_of(data: DataSet) -> np.ndarray:
    tables = (pq.read_table(path, columns=["tokens"])["tokens"] for path in data.paths)
    return np.concatenate([np.diff(chunk.offsets.to_numpy()) for table in tables for chunk in table.chunks])


def show_wrap(options: argparse.Namespace) -> None:
    found = rounds({**wrapped(), **peers_of("wrap")}, data_set("D3", options.scale), 2048, options)
    first = rate(next(iter(found.values())))
    print("| (16, 2048) blocks | million tokens/s | of the lists' rate |\n|---|---:|---:|")
    for name, turns in found.items():
        print(f"| {name} | {rate(turns):,.1f} | {rate(turns) / first:.3f} |")


def show_fit(options: argparse.Namespace) -> None:
    print("| lengths | L | reader | million tokens/s | of the lists' rate | tokens kept | fill | documents cut |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for data, words in ((data_set("D3", options.scale), "250 to 750"), (data_set("D3l", options.scale), "lognormal")):
        lengths = lengths_of(data)
        for length in (2048, 8192, 32768):
            found = rounds({**fitted(), **peers_of("fit")}, data, length, options)
            first = rate(next(iter(found.values())))
            whole = int((-(-lengths // length)).sum())  # pieces, if only longer documents are cut
            for name, turns in list(found.items())[1:]:
                last = turns[-1]
                kept, fill = last.tokens / int(lengths.sum()), last.tokens / last.places
                cut = f"{last.segments - whole:,}" if kept == 1 and last.segments else "–"
                print(
                    f"| {words} | {length:,} | {name} | {rate(turns):,.1f} | {rate(turns) / first:.3f} | {kept:.2%} | "
                    f"{fill:.2%} | {cut} |"
                )


def counted(batch: dict[str, Any]) -> torch.Tensor:
    """How often a batch has each token."""
    return torch.bincount(batch["input_ids"][batch["segment_ids"] > 0], minlength=50_000)


def show_resume(options: argparse.Namespace) -> None:
    print("| resume at 90 % | ms to the first batch | bytes of the state | tokens lost | repeated |")
    print("|---|---:|---:|---:|---:|")
    data = data_set("D3", options.scale)
    for mode in ("wrap", "fit"):
        for shuffle in (False, True):
            pack = shardline.Pack("tokens", seq_len=2048, mode=mode, labels="next")
            more: dict[str, Any] = {"pack": pack, "batch_size": BATCH, "num_threads": options.threads}
            more |= {"shuffle": True, "shuffle_seed": 1} if shuffle else {}
            first = shardline.StructuredDataset(data.directory, **more)
            stop, state, counts = len(first) * 9 // 10, {}, []
            for step, batch in enumerate(first, start=1):
                counts.append(counted(batch))
                if step == stop:
                    state = json.loads(json.dumps(first.state_dict()))
                    break
            times, after = [], []
            for _ in range(options.rounds):
                begin = time.perf_counter()
                again = shardline.StructuredDataset(plan=first.plan, **more)
                again.load_state_dict(state)
                batches = iter(again)
                after = [next(batches)]
                times.append(time.perf_counter() - begin)
            after.extend(batches)
            counts += [counted(each) for each in after]
            every = torch.zeros(50_000, dtype=torch.int64)
            for path in data.paths:
                ids = pq.read_table(path, columns=["tokens"])["tokens"].combine_chunks().flatten().to_numpy()
                every += torch.bincount(torch.from_numpy(ids.astype(np.int64)), minlength=50_000)
            missing = every - torch.stack(counts).sum(0)
            lost, repeated = int(missing.clamp(min=0).sum()), int(-missing.clamp(max=0).sum())
            name = f"{mode}, {'shuffled' if shuffle else 'in file order'}"
            ms, size = 1e3 * statistics.median(times), len(json.dumps(state))
            print(f"| {name} | {ms:,.0f} | {size:,} | {lost} | {repeated} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["wrap", "fit", "resume"], help="tables (all)")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data sets (1)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each reader (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads that each reader may use (2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, show in (("wrap", show_wrap), ("fit", show_fit), ("resume", show_resume)):
        if not options.what or name in options.what:
            show(options)
            print()


if __name__ == "__main__":
    main()
