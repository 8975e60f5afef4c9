"""Packed sequences (`mode="fit"`) in plain Python: nothing here is taken from shardline's own code.

A bundle is consecutive row groups of one file, closed before the one that would take it over the tokens of 256
sequences. Its documents are placed the longest first, each in the sequence with the least room that it fits in, the
newest of several: that says how many sequences there are. Shuffled, they are placed in an order drawn by (seed, epoch,
bundle, digits), the longest first by that many binary digits: the fewest, from 3 on, that fill no more sequences. In a
sequence they stand in the order drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

from support import packs, spec

MOST = 2**23
"""The tokens of a bundle, at most."""
EXACT = 32
"""Binary digits that tell any two lengths apart."""


class Piece(NamedTuple):
    """Tokens of a document."""

    group: int
    row: int
    start: int
    end: int


def bundles(files: Sequence[Sequence[packs.Lists]], pack: packs.Pack) -> list[list[tuple[int, range]]]:
    """Of each bundle its row groups, numbered through all files, with their rows."""
    most, number = min(256 * pack.seq_len, MOST), 0
    found: list[list[tuple[int, range]]] = []
    for groups in files:
        held = None
        for lists in groups:
            tokens, rows = sum(len(packs.document(each, pack)) for each in lists), len(lists)
            if tokens:
                parts = min(-(-tokens // MOST), rows)
                if parts > 1:
                    found += [[(number, range(p * rows // parts, (p + 1) * rows // parts))] for p in range(parts)]
                    held = None
                elif held is not None and held + tokens <= most:
                    found[-1].append((number, range(rows)))
                    held += tokens
                else:
                    found.append([(number, range(rows))])
                    held = tokens
            number += 1
    return found


def cut(groups: Sequence[packs.Lists], bundle: Sequence[tuple[int, range]], pack: packs.Pack, long: str) -> list[Piece]:
    """The pieces of a bundle's documents, in file order."""
    found = []
    for group, rows in bundle:
        for row in rows:
            length = kept = len(packs.document(groups[group][row], pack))
            if length > pack.seq_len:
                kept = {"split": length, "truncate": pack.seq_len, "drop": 0}[long]
            for start in range(0, kept, pack.seq_len):
                found.append(Piece(group, row, start, min(kept, start + pack.seq_len)))
    return found


def best_fit(lengths: Sequence[int], seq_len: int, digits: int = EXACT) -> list[int]:
    """The sequence of each piece, by a look at all sequences. Lengths are compared by their first `digits`."""
    ranks = [int(f"{length:b}"[:digits].ljust(length.bit_length(), "0"), 2) for length in lengths]
    rooms: list[int] = []
    since: list[int] = []
    sequences = [0] * len(lengths)
    for turn, piece in enumerate(sorted(range(len(lengths)), key=lambda piece: -ranks[piece])):
        fitting = [number for number, room in enumerate(rooms) if room >= lengths[piece]]
        number = min(fitting, key=lambda number: (rooms[number], -since[number]), default=len(rooms))
        if number == len(rooms):
            rooms.append(seq_len)
            since.append(0)
        rooms[number] -= lengths[piece]
        since[number] = turn
        sequences[piece] = number
    return sequences


def draw_partners(pieces: Sequence[Piece], seq_len: int, draw: tuple[int, int, int]) -> tuple[list[Piece], list[int]]:
    """The pieces in the order drawn, and the sequence of each."""

    count = len(set(best_fit([piece.end - piece.start for piece in pieces], seq_len)))
    for digits in range(3, EXACT + 1):
        made = [pieces[i] for i in spec.permutation(spec.key("pack", *draw, digits), len(pieces))]
        placed = best_fit([piece.end - piece.start for piece in made], seq_len, digits)
        if len(set(placed)) > count:
            continue
        for piece in reversed(range(len(placed))):
            if len(set(placed)) < count and placed.count(placed[piece]) > 1:
                placed[piece] = len(set(placed))
        return made, placed
    raise AssertionError("all digits fill as many")


def arrange(pieces: Sequence[Piece], seq_len: int, draw: tuple[int, int, int] | None) -> list[list[Piece]]:
    """The sequences of a bundle."""
    if draw is None:
        ranked, placed = list(pieces), best_fit([piece.end - piece.start for piece in pieces], seq_len)
    else:
        ranked, placed = draw_partners(pieces, seq_len, draw)
    found: dict[int, list[Piece]] = {}
    for piece, sequence in zip(ranked, placed, strict=True):
        found.setdefault(sequence, []).append(piece)
    if draw is None:
        return list(found.values())
    return [found[i] for i in spec.permutation(spec.key("pack sequences", *draw), len(found))]


def sequences(
    files: Sequence[Sequence[packs.Lists]], pack: packs.Pack, long: str, draw: tuple[int, int] | None
) -> tuple[list[int], list[list[Piece]]]:
    """(How many sequences each row group has; all of them, in the order of row groups.)"""
    groups = [lists for of_file in files for lists in of_file]
    counts, found = [0] * len(groups), []
    for number, bundle in enumerate(bundles(files, pack)):
        made = arrange(cut(groups, bundle, pack, long), pack.seq_len, None if draw is None else (*draw, number))
        counts[bundle[0][0]] += len(made)
        found += made
    return counts, found


def block(groups: Sequence[packs.Lists], pieces: Sequence[Piece], pack: packs.Pack) -> packs.Block:
    """A sequence, as it is delivered."""
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    for number, piece in enumerate(pieces, start=1):
        document = packs.document(groups[piece.group][piece.row], pack)
        tokens = document[piece.start : piece.end]
        positions += range(len(tokens))
        segments += [number] * len(tokens)
        ids += tokens
        if pack.labels == "input":
            labels += [packs.IGNORED, *tokens[1:]]
        elif pack.labels == "next":
            goes_on = pack.extra_token and len(ids) == pack.seq_len and piece.end < len(document)
            labels += [*tokens[1:], document[piece.end] if goes_on else packs.IGNORED]
    lengths = [piece.end - piece.start for piece in pieces]
    padding = pack.seq_len - len(ids)
    lengths += [padding] if padding else []
    fill = [0] * padding
    real = [packs.Token(token, 0, 0, 0) for token in ids]
    return packs.Block(
        ids + fill,
        labels + [packs.IGNORED] * (padding if pack.labels else 0),
        positions + fill,
        segments + fill,
        lengths,
        real,
    )
