"""Packed sequences (`mode="fit"`) in plain Python: nothing here is taken from shardline's own code.

A bundle is consecutive row groups, closed behind the one with which it has the tokens of 256 sequences, and before one
that would take it over 2**23. Its documents are placed the longest first, each in the sequence with the least room
that it fits in, the newest of several: that says how many sequences there are. Shuffled, they are placed in an order
drawn by (seed, epoch, bundle, digits), the longest first by that many binary digits: the fewest, from 3 on, that fill
no more sequences. In a sequence they stand in the order drawn.
"""

from collections.abc import Sequence

from support import packs, spec
from support.packs import Piece, slot

MOST = 2**23
"""The tokens of a bundle, at most."""
EXACT = 32
"""Binary digits that tell any two lengths apart."""


def bundles(files: Sequence[Sequence[packs.Lists]], pack: packs.Pack) -> list[list[tuple[int, range]]]:
    """Of each bundle its row groups, numbered through all files, with their rows."""
    found: list[list[tuple[int, range]]] = []
    held = None
    for number, lists in enumerate(lists for groups in files for lists in groups):
        tokens, rows = sum(slot(len(packs.document(each, pack)), pack) for each in lists), len(lists)
        if not tokens:
            continue
        parts = min(-(-tokens // MOST), rows)
        if parts > 1:
            found += [[(number, range(p * rows // parts, (p + 1) * rows // parts))] for p in range(parts)]
            held = None
            continue
        if held is not None and held + tokens <= MOST:
            found[-1].append((number, range(rows)))
            held += tokens
        else:
            found.append([(number, range(rows))])
            held = tokens
        if held >= 256 * pack.seq_len:
            held = None
    return found


def cut(groups: Sequence[packs.Lists], bundle: Sequence[tuple[int, range]], pack: packs.Pack) -> list[Piece]:
    """The pieces of a bundle's documents, in file order."""
    found = []
    for group, rows in bundle:
        for row in rows:
            length = kept = len(packs.document(groups[group][row], pack))
            if length > pack.seq_len:
                kept = {"split": length, "truncate": pack.seq_len, "drop": 0}[pack.long]
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


def draw_partners(
    pieces: Sequence[Piece], pack: packs.Pack, draw: tuple[int, int, int]
) -> tuple[list[Piece], list[int]]:
    """The pieces in the order drawn, and the sequence of each."""
    count = len(set(best_fit([slot(piece.end - piece.start, pack) for piece in pieces], pack.seq_len)))
    for digits in range(3, EXACT + 1):
        made = [pieces[i] for i in spec.permutation(spec.key("pack", *draw, digits), len(pieces))]
        placed = best_fit([slot(piece.end - piece.start, pack) for piece in made], pack.seq_len, digits)
        if len(set(placed)) > count:
            continue
        for piece in reversed(range(len(placed))):
            if len(set(placed)) < count and placed.count(placed[piece]) > 1:
                placed[piece] = len(set(placed))
        return made, placed
    raise AssertionError("all digits fill as many")


def arrange(pieces: Sequence[Piece], pack: packs.Pack, draw: tuple[int, int, int] | None) -> list[list[Piece]]:
    """The sequences of a bundle."""
    if draw is None:
        lengths = [slot(piece.end - piece.start, pack) for piece in pieces]
        ranked, placed = list(pieces), best_fit(lengths, pack.seq_len)
    else:
        ranked, placed = draw_partners(pieces, pack, draw)
    found: dict[int, list[Piece]] = {}
    for piece, sequence in zip(ranked, placed, strict=True):
        found.setdefault(sequence, []).append(piece)
    if draw is None:
        return list(found.values())
    return [found[i] for i in spec.permutation(spec.key("pack sequences", *draw), len(found))]


def sequences(
    files: Sequence[Sequence[packs.Lists]], pack: packs.Pack, draw: tuple[int, int] | None
) -> tuple[list[int], list[list[Piece]]]:
    """(How many sequences each row group has; the pieces of all, in the order of row groups.)"""
    groups = [lists for of_file in files for lists in of_file]
    counts, found = [0] * len(groups), []
    for number, bundle in enumerate(bundles(files, pack)):
        made = arrange(cut(groups, bundle, pack), pack, None if draw is None else (*draw, number))
        counts[bundle[0][0]] += len(made)
        found += made
    return counts, found
