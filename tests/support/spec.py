"""Order version 2 as docs/order.md says it, in plain Python: nothing here is taken from shardline's own code."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import xxhash

M32, M64 = 2**32 - 1, 2**64 - 1
Row = tuple[int, int]
"""A row group, numbered through all files, and a row in it."""


def key(purpose: str, *parts: int) -> int:
    """Docs: "Keys"."""
    data = b"shardline order 2\0" + purpose.encode() + b"\0" + b"".join(part.to_bytes(8, "little") for part in parts)
    return int.from_bytes(xxhash.xxh3_128_digest(data), "big")


def philox(key: int) -> Iterator[int]:
    """Docs: "Random words"."""
    block = 0
    while True:
        x = [block & M32, block >> 32, key >> 64 & M32, key >> 96]
        k0, k1 = key & M32, key >> 32 & M32
        for _ in range(10):
            left, right = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
            x = [right >> 32 ^ x[1] ^ k0, right & M32, left >> 32 ^ x[3] ^ k1, left & M32]
            k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
        yield from x
        block += 1


def permutation(key: int, n: int) -> list[int]:
    """Docs: "Permutations"."""
    words, places = philox(key), list(range(n))
    for last in range(n - 1, 0, -1):
        bound = last + 1
        product = next(words) * bound
        while product & M32 < 2**32 % bound:
            product = next(words) * bound
        other = product >> 32
        places[last], places[other] = places[other], places[last]
    return places


class Group(NamedTuple):
    """A row group."""

    rows: int
    nbytes: int
    """Uncompressed."""
    decoded: int
    passing: int


@dataclass
class Settings:
    shuffle: bool
    seed: int
    buffer_bytes: int | None = None
    buffer_rows: int | None = None
    strands: int | None = None
    split_bytes: int = 2**27
    split_rows: int | None = None


def group_of(meta: Any) -> Group:
    """A row group of numbers, of which all rows pass, from pyarrow's metadata of it."""
    types = [meta.column(column).physical_type for column in range(meta.num_columns)]
    width = sum({"INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}.get(kind, 0) for kind in types)
    return Group(meta.num_rows, meta.total_byte_size, meta.num_rows * width, meta.num_rows)


Files = Sequence[Sequence[Group]]
"""Of every file its row groups."""


def sample(rows: int, footer_hash: int, group: int, low: float, high: float, seed: int) -> list[int]:
    """The rows of a row group that are in a sample. Docs: "Samples"."""
    offset = key("sample offset", seed, footer_hash, group) & M64
    start, end = ((int(Fraction(fraction) * 2**64) * rows + offset) >> 64 for fraction in (low, high))
    places = permutation(key("sample", seed, footer_hash, group), rows)
    return [row for row in range(rows) if start <= places[row] < end]


def splits(files: Files, settings: Settings) -> list[list[Row]]:
    """The rows of every split. Docs: "Splits"."""
    total = sum(group.rows for groups in files for group in groups)
    found: list[list[Row]] = []
    number = 0
    for groups in files:
        length = size = 0
        for group in groups:
            if group.rows:
                fits = (
                    length > 0
                    and size + group.nbytes <= settings.split_bytes
                    and (settings.split_rows is None or length + group.rows <= settings.split_rows)
                    and (not settings.shuffle or 64 * (length + group.rows) <= total)
                )
                if not fits:
                    found.append([])
                    length = size = 0
                length, size = length + group.rows, size + group.nbytes
                found[-1] += [(number, row) for row in range(group.passing)]
            number += 1
    return found


def ceil(a: int, b: int) -> int:
    return -(-a // b)


def strata(files: Files, settings: Settings, k: int) -> list[list[list[Row]]]:
    """The pieces of every stratum. Docs: "Strata"."""
    whole = [split for split in splits(files, settings) if split]
    n = sum(map(len, whole))
    pieces = []
    for split in whole:
        p = len(split)
        c = ceil(p * k, n) if p * k > n else 1
        pieces += [split[i * p // c : (i + 1) * p // c] for i in range(c)]
    borders = [0, *itertools.accumulate(map(len, pieces))]
    begins = [0]
    for j in range(1, k):
        begins.append(min(range(len(borders)), key=lambda i: (abs(borders[i] - j * n // k), i)))
    begins.append(len(pieces))
    return [pieces[a:b] for a, b in itertools.pairwise(begins) if a < b]


def resolve(files: Files, settings: Settings, num_shards: int) -> tuple[int, int]:
    """(k, T). Docs: "Strands and windows"."""
    every = [group for groups in files for group in groups]
    m, n, d = (sum(group[field] for group in every) for field in (0, 3, 2))
    g = sum(group.passing > 0 for group in every)
    s, w, v = 2**27 if settings.buffer_bytes is None else settings.buffer_bytes, settings.buffer_rows, num_shards
    if not settings.shuffle or w == 0:
        return 1, 0
    if n <= 1 or (n <= w if w is not None else d <= 2 * s and m <= 2**22):
        return 1, 1
    k = settings.strands
    if k is None:
        k = 32
        b = s if w is None else w * d // m
        while k > 8 and d // v + (d * (v - 1) // v) * min(k, g) // g > max(d // v + d // v // 2, 4 * b):
            k //= 2
    k = min(k, n)
    if w is None:
        widest = {number: ceil(group.decoded, group.rows) for number, group in enumerate(every) if group.rows}
        weight = 0
        for stratum in strata(files, settings, k):
            rows = [row for piece in stratum for row in piece]
            weight += len(rows) * max(widest[group] for group, _ in rows)
        t = max(ceil(d * max(8, v), 8 * s), ceil(m, 2**20), ceil(weight, 2 * s))
    else:
        t = ceil(n, w)
    return k, min(ceil(t, v) * v, n)


def line(files: Files, settings: Settings, epoch: int, resolved: tuple[int, int]) -> list[Row]:
    """The rows of an epoch, in order; those of a row group are counted among its rows that pass. Docs: "The line"."""
    k, t = resolved
    in_file_order = [row for split in splits(files, settings) for row in split]
    n = len(in_file_order)
    if not settings.shuffle:
        return in_file_order
    if t == 1:
        return [in_file_order[i] for i in permutation(key("window", settings.seed, epoch, 0), n)]
    strands = []
    for j, pieces in enumerate(strata(files, settings, k)):
        order = permutation(key("splits", settings.seed, epoch, j), len(pieces))
        rows = [row for turn in order for row in pieces[turn]]
        if t == 0:
            return rows
        begin = (key("phase", settings.seed, epoch, j) & M64) * len(rows) >> 64
        strands.append(rows[begin:] + rows[:begin])
    taken = sorted(
        (Fraction(2 * x + 1, 2 * len(rows)), j, row) for j, rows in enumerate(strands) for x, row in enumerate(rows)
    )
    found: list[Row] = []
    for window in range(t):
        # A stable sort by strand: each strand's rows stay in its order.
        rows = sorted(taken[window * n // t : (window + 1) * n // t], key=lambda each: each[1])
        order = permutation(key("window", settings.seed, epoch, window), len(rows))
        found += [rows[i][2] for i in order]
    return found


def batches(n: int, num_shards: int, batch_size: int, drop_last: bool) -> list[range]:
    """The positions of the job's batches of a fresh epoch, in order. Docs: "Shards and batches"."""
    shortest = n // num_shards
    each = shortest // batch_size if drop_last else -(-shortest // batch_size)
    found = []
    for g in range(each * num_shards):
        shard, index = g % num_shards, g // num_shards
        begin, end = shard * n // num_shards, (shard + 1) * n // num_shards
        start = begin + index * batch_size
        is_last = index == each - 1 and not drop_last
        found.append(range(start, end if is_last else start + batch_size))
    return found
