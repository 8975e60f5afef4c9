"""Packed sequences (`mode="wrap"`) in plain Python: nothing here is taken from shardline's own code.

A document is a row's list with `bos` and `eos` around it; an empty or null list is no document. The documents end to
end in file order are the token line. Sequence s is the tokens s·L … (s + 1)·L of it, and a row of the row group that
holds its first token.
"""

from collections.abc import Sequence
from typing import NamedTuple

IGNORED = -100
"""The label of a place that no loss is taken at."""

Lists = Sequence[Sequence[int] | None]
"""The lists of a row group's rows that pass."""


class Token(NamedTuple):
    """A token of the line, and where it is from."""

    id: int
    group: int
    row: int
    """Among the rows that pass."""
    place: int
    """In its document, `bos` counted in."""


class Pack(NamedTuple):
    """The settings."""

    seq_len: int
    bos: int | None = None
    eos: int | None = None
    labels: str | None = None
    extra_token: bool = False


class Block(NamedTuple):
    """A sequence, as it is delivered."""

    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]
    segment_ids: list[int]
    lengths: list[int]
    """Of its segments; the padding, if there is any, is one of its own."""
    tokens: list[Token]
    """Those that are no padding."""


def document(tokens: Sequence[int] | None, pack: Pack) -> list[int]:
    """The tokens of a row."""
    if not tokens:
        return []
    before, after = ([] if one is None else [one] for one in (pack.bos, pack.eos))
    return [*before, *tokens, *after]


def token_line(groups: Sequence[Lists], pack: Pack) -> list[Token]:
    """All tokens, in file order."""
    return [
        Token(token, group, row, place)
        for group, lists in enumerate(groups)
        for row, tokens in enumerate(lists)
        for place, token in enumerate(document(tokens, pack))
    ]


def sequences(groups: Sequence[Lists], pack: Pack) -> list[int]:
    """How many sequences each row group has: those whose first token it holds."""
    firsts = [token.group for token in token_line(groups, pack)[:: pack.seq_len]]
    return [firsts.count(group) for group in range(len(groups))]


def block(line: Sequence[Token], number: int, pack: Pack) -> Block:
    """A sequence of the line."""
    start, length = number * pack.seq_len, pack.seq_len
    tokens = list(line[start : start + length])
    after = line[start + length : start + length + 1] if pack.extra_token else []
    ids, labels, positions, segments, lengths = [], [], [], [], []
    for i, token in enumerate(tokens):
        begins = i == 0 or token.place == 0
        if begins:
            lengths.append(0)
        positions.append(lengths[-1])
        lengths[-1] += 1
        segments.append(len(lengths))
        ids.append(token.id)
        following = [*tokens[i + 1 : i + 2], *(after if i + 1 == length else [])]
        if pack.labels == "input":
            labels.append(IGNORED if begins else token.id)
        elif pack.labels == "next":
            labels.append(following[0].id if following and following[0].place > 0 else IGNORED)
    if padding := length - len(tokens):
        lengths.append(padding)
        ids += [0] * padding
        positions += [0] * padding
        segments += [0] * padding
        labels += [IGNORED] * (padding if pack.labels else 0)
    return Block(ids, labels, positions, segments, lengths, tokens)


def cu_seqlens(blocks: Sequence[Block]) -> list[int]:
    """The borders of the segments of a batch, flattened."""
    found = [0]
    for each in blocks:
        for length in each.lengths:
            found.append(found[-1] + length)
    return found


def pieces(tokens: Sequence[Token]) -> list[tuple[int, int, int, int]]:
    """Of a sequence: the row group, the row, and the range of the document's tokens, piece by piece."""
    found: list[tuple[int, int, int, int]] = []
    for token in tokens:
        if found and found[-1][:2] == token[1:3]:
            found[-1] = (*found[-1][:3], token.place + 1)
        else:
            found.append((token.group, token.row, token.place, token.place + 1))
    return found
