"""Packed sequences in plain Python: nothing here is taken from shardline's own code.

A document is a row's list with `bos` and `eos` around it, in a slot of a multiple of `align` places; an empty or null
list is no document. A sequence is pieces of documents, each in its slot, and padding. With `mode="wrap"` the slots end
to end in file order are the token line, and sequence s is the places s·L … (s + 1)·L of it, a row of the row group that
holds its first token. `support.fits` has `mode="fit"`.
"""

from collections.abc import Sequence
from typing import NamedTuple

IGNORED = -100
"""The label of a place that no loss is taken at."""

Lists = Sequence[Sequence[int] | None]
"""The lists of a row group's rows that pass."""


class Pack(NamedTuple):
    """The settings."""

    seq_len: int
    mode: str = "wrap"
    bos: int | None = None
    eos: int | None = None
    labels: str | None = None
    extra_token: bool = False
    long: str = "split"
    align: int = 1


class Piece(NamedTuple):
    """Tokens of a document."""

    group: int
    row: int
    """Among the rows that pass."""
    start: int
    """In its document, `bos` counted in."""
    end: int


class Block(NamedTuple):
    """A sequence, as it is delivered."""

    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]
    segment_ids: list[int]
    along: list[int]
    slots: list[int]
    """The places of its segments; the padding at its end, if there is any, is one of its own."""
    lengths: list[int]
    """The tokens of its segments."""
    meta: list[int]
    """A number of each segment."""
    num_tokens: int


def around(pack: Pack) -> tuple[list[int], list[int]]:
    """What stands before a list, and after it."""
    before, after = ([] if one is None else [one] for one in (pack.bos, pack.eos))
    return before, after


def document(tokens: Sequence[int] | None, pack: Pack) -> list[int]:
    """The tokens of a row."""
    if not tokens:
        return []
    before, after = around(pack)
    return [*before, *tokens, *after]


def slot(tokens: int, pack: Pack) -> int:
    """The places that so many tokens take."""
    return -(-tokens // pack.align) * pack.align


def token_line(groups: Sequence[Lists], pack: Pack) -> list[Piece]:
    """All places in file order, each as a piece of one token; empty in the padding behind a document."""
    line = []
    for group, lists in enumerate(groups):
        for row, tokens in enumerate(lists):
            length = len(document(tokens, pack))
            for place in range(slot(length, pack)):
                line.append(Piece(group, row, min(place, length), min(place + 1, length)))
    return line


def sequences(groups: Sequence[Lists], pack: Pack) -> tuple[list[int], list[list[Piece]]]:
    """(How many sequences each row group has: those whose first token it holds; the pieces of all.)"""
    line = token_line(groups, pack)
    firsts = [token.group for token in line[:: pack.seq_len]]
    found: list[list[Piece]] = []
    for start in range(0, len(line), pack.seq_len):
        pieces: list[Piece] = []
        for token in line[start : start + pack.seq_len]:
            if pieces and pieces[-1][:2] == token[:2]:
                pieces[-1] = pieces[-1]._replace(end=token.end)
            else:
                pieces.append(token)
        found.append(pieces)
    return [firsts.count(group) for group in range(len(groups))], found


def block(groups: Sequence[Lists], pieces: Sequence[Piece], pack: Pack, beside: "Beside | None" = None) -> Block:
    """A sequence of these pieces. `beside`: what other columns have of each row."""
    beside = Beside() if beside is None else beside
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    along: list[int] = []
    for number, piece in enumerate(pieces, start=1):
        document_ = document(groups[piece.group][piece.row], pack)
        tokens = document_[piece.start : piece.end]
        padding = [0] * (slot(len(tokens), pack) - len(tokens))
        before, after = around(pack)
        prompt = beside.prompt(piece.group, piece.row) + len(before)

        def label(place: int, document_: list[int] = document_, first: int = max(piece.start + 1, prompt)) -> int:
            return document_[place] if first <= place < len(document_) else IGNORED

        is_full = len(ids) + len(tokens) == pack.seq_len
        last = piece.end + 1 if pack.extra_token and is_full else piece.end
        if pack.labels == "input":
            labels += [label(place) for place in range(piece.start, piece.end)]
        elif pack.labels == "next":
            labels += [label(place) if place < last else IGNORED for place in range(piece.start + 1, piece.end + 1)]
        labels += [IGNORED for _ in padding if pack.labels]
        if values := beside.along(piece.group, piece.row):
            values = [values[0] for _ in before] + values + [values[-1] for _ in after]
        along += values[piece.start : piece.end] + padding
        ids += tokens + padding
        positions += range(len(tokens) + len(padding))
        segments += [number] * len(tokens) + padding
    lengths = [piece.end - piece.start for piece in pieces]
    slots = [slot(length, pack) for length in lengths]
    meta = [beside.number(piece.group, piece.row) for piece in pieces]
    rest = pack.seq_len - len(ids)
    fill = [0] * rest
    return Block(
        ids + fill,
        labels + [IGNORED for _ in fill if pack.labels],
        positions + fill,
        segments + fill,
        along + fill,
        slots + [rest] * (rest > 0),
        lengths + [0] * (rest > 0),
        meta + [0] * (rest > 0),
        sum(lengths),
    )


class Beside(NamedTuple):
    """Other columns of the same rows: of each row group, by row."""

    rows: Sequence[Sequence[int]] = ()
    """A number of each row."""
    values: Sequence[Sequence[list[int]]] = ()
    """A list of each row."""
    prompts: Sequence[Sequence[int]] = ()

    def number(self, group: int, row: int) -> int:
        return self.rows[group][row] if self.rows else 0

    def along(self, group: int, row: int) -> list[int]:
        return self.values[group][row] if self.values else []

    def prompt(self, group: int, row: int) -> int:
        return self.prompts[group][row] if self.prompts else 0


def cu_seqlens(blocks: Sequence[Block]) -> list[int]:
    """The borders of the segments of a batch, flattened."""
    found = [0]
    for each in blocks:
        for length in each.slots:
            found.append(found[-1] + length)
    return found
