"""Order version 1 as docs/order.md says it, in plain Python: nothing here is taken from shardline's own code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import xxhash

M32, M64 = 2**32 - 1, 2**64 - 1
Row = tuple[int, int]
"""A row group, numbered through all files, and a row in it."""


def key(purpose: str, *parts: int) -> int:
    """Docs: "Keys"."""
    data = b"shardline order 1\0" + purpose.encode() + b"\0" + b"".join(part.to_bytes(8, "little") for part in parts)
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


@dataclass
class Settings:
    shuffle: bool
    seed: int
    buffer: int | None
    strands: int
    split_bytes: int
    split_rows: int | None


def sample(rows: int, footer_hash: int, group: int, low: float, high: float, seed: int) -> list[int]:
    """The rows of a row group that are in a sample. Docs: "Samples"."""
    offset = key("sample offset", seed, footer_hash, group) & M64
    start, end = ((int(Fraction(fraction) * 2**64) * rows + offset) >> 64 for fraction in (low, high))
    places = permutation(key("sample", seed, footer_hash, group), rows)
    return [row for row in range(rows) if start <= places[row] < end]


def splits(
    files: Sequence[Sequence[tuple[int, int]]], settings: Settings, passing: Sequence[int] | None = None
) -> list[list[Row]]:
    """The rows of every split. `files`: of every file its row groups, (rows, bytes) each. Docs: "Splits".

    `passing`: of every row group, how many rows pass.
    """
    total = sum(rows for groups in files for rows, _ in groups)
    found: list[list[Row]] = []
    number = 0
    for groups in files:
        length = size = 0
        for rows, nbytes in groups:
            if rows:
                fits = (
                    length > 0
                    and size + nbytes <= settings.split_bytes
                    and (settings.split_rows is None or length + rows <= settings.split_rows)
                    and (not settings.shuffle or 64 * (length + rows) <= total)
                )
                if not fits:
                    found.append([])
                    length = size = 0
                length, size = length + rows, size + nbytes
                found[-1] += [(number, row) for row in range(rows if passing is None else passing[number])]
            number += 1
    return found


def default_buffer(files: Sequence[Sequence[tuple[int, int]]]) -> int:
    """Docs: "Windows"."""
    rows = sum(rows for groups in files for rows, _ in groups)
    nbytes = sum(nbytes for groups in files for _, nbytes in groups)
    return next((b for b in (2**e for e in range(16, 0, -1)) if b * nbytes < 2**28 * max(rows, 1)), 1)


def line(
    files: Sequence[Sequence[tuple[int, int]]], settings: Settings, epoch: int, passing: Sequence[int] | None = None
) -> list[Row]:
    """The rows of an epoch, in order; those of a row group are counted among its rows that pass."""
    pieces = splits(files, settings, passing)
    if settings.shuffle:
        pieces = [pieces[turn] for turn in permutation(key("splits", settings.seed, epoch), len(pieces))]
    places = [row for piece in pieces for row in piece]
    if not settings.shuffle or settings.buffer == 0:
        return places
    buffer = default_buffer(files) if settings.buffer is None else settings.buffer
    k = max(1, min(settings.strands, len(pieces), buffer))
    w, n = max(1, buffer // k), len(places)
    strands = [places[v * n // k : (v + 1) * n // k] for v in range(k)]
    found: list[Row] = []
    index = 0
    while len(found) < n:
        window = [row for strand in strands for row in strand[index * w : (index + 1) * w]]
        order = permutation(key("window", settings.seed, epoch, index), len(window))
        found += [window[row] for row in order]
        index += 1
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
