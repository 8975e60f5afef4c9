"""How documents are packed into sequences, checked when it is asked.

>>> Pack("input_ids", seq_len=4096, mode="wrap", eos=2)  # doctest: +NORMALIZE_WHITESPACE
Pack(column='input_ids', seq_len=4096, mode='wrap', bos=None, eos=2, labels=None, extra_token=False,
     along=(), meta=(), prompt_length=None, long='split', align=1, length=None, count='footers')
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from shardline._core import Plan, Projection
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.near import NamesChecked
from shardline.options.validate import check_bool, check_choice, check_int

PACK_VERSION = 1
"""The version of the rules that say which tokens a sequence has."""
MAX_SEQ_LEN = 2**20
PACK_KEYS = ("version", "mode", "column", "seq_len", "bos", "eos", "long", "align")
"""What says which tokens a sequence has; `long` where documents are packed whole, `align` where it is not 1."""
_OF_BATCHES = (
    "input_ids",
    "labels",
    "position_ids",
    "segment_ids",
    "cu_seqlens",
    "segment_lengths",
    "max_seqlen",
    "num_tokens",
)
"""The keys of a batch of packed sequences."""


@dataclass(frozen=True)
class Pack(metaclass=NamesChecked):
    """Documents, each a row's list of token ids, packed into sequences of `seq_len` tokens. See docs/how-to/pack.md.

    With `mode="wrap"` the documents stand end to end in file order, and sequence s is the tokens s·L … (s + 1)·L. With
    `mode="fit"` documents of up to L tokens are packed whole, those of a bundle of row groups together; what is left of
    a sequence is padding. An empty or null list is no document.

    Args:
        column: The column of lists, or the dotted path of a field: of int8 to int64, or of uint8 to uint32.
        seq_len: L, the tokens of a sequence, 1 to 1,048,576.
        mode: `"wrap"` or `"fit"`.
        bos: The id put before each document.
        eos: The id put after each document.
        labels: `"next"` (or True): the next token of the same document in the same sequence. `"input"`: the token
            itself, but for the first of each document in the sequence, for models that shift labels by one themselves,
            as those of Hugging Face do. Elsewhere labels are -100.
        extra_token: Whether the token after a sequence is read too, so that its last place has a label: for
            `labels="next"`.
        along: Columns of lists of numbers, as long as the documents' lists: a mask of the loss, token types. Each is
            delivered as (batch, L) under its name. `bos` has the first number of its list, `eos` the last one; padding
            has 0. Where a list is not as long as its document's, an error names file, row and column.
        meta: Columns that have a number in each row. Each is delivered under its name as one number a segment, in the
            order of `cu_seqlens`; segments of padding have 0.
        prompt_length: A column that says how many first tokens of each list are a prompt, which has no labels: the
            first label is the token after it.
        long: With `mode="fit"`, what becomes of a document of more than L tokens: `"split"` cuts it in pieces of L, of
            which the last may be shorter; `"truncate"` keeps its first L tokens; `"drop"` leaves it out; `"error"`
            refuses it by file and row.
        align: Each document has a slot of a multiple of so many places; it must divide `seq_len`. Padding in a slot
            belongs to its document's segment in `cu_seqlens` and `position_ids`, which go on in it; `segment_ids` are 0
            there and labels -100. `segment_lengths` then has the tokens of each segment, without padding. For context
            parallelism over n ranks, 2·n.
        length: A column that has the number of tokens of each list, without `bos` and `eos`. Then lengths are counted
            from it, at a few bytes a row, rather than from the lists. A length that is not its list's is refused by
            file and row when the row is read.
        count: How the tokens of each row group are counted: `"footers"`, where they tell, else as with `"lists"`, by
            reading the column once.
    """

    column: str
    seq_len: int = field(kw_only=True)
    mode: Literal["wrap", "fit"] = field(kw_only=True)
    bos: int | None = field(default=None, kw_only=True)
    eos: int | None = field(default=None, kw_only=True)
    labels: Literal["next", "input"] | bool | None = field(default=None, kw_only=True)
    extra_token: bool = field(default=False, kw_only=True)
    along: Sequence[str] = field(default=(), kw_only=True)
    meta: Sequence[str] = field(default=(), kw_only=True)
    prompt_length: str | None = field(default=None, kw_only=True)
    long: Literal["split", "truncate", "drop", "error"] = field(default="split", kw_only=True)
    align: int = field(default=1, kw_only=True)
    length: str | None = field(default=None, kw_only=True)
    count: Literal["footers", "lists"] = field(default="footers", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise ShardlineTypeError(f"Pack(column) must be the name of a column, not {self.column!r}")
        labels = {True: "next", False: None}.get(cast(bool, self.labels), self.labels)
        if labels is not None:
            check_choice("labels of Pack()", labels, ("next", "input"))
        plain: dict[str, Any] = {
            "seq_len": check_int("seq_len of Pack()", self.seq_len, 1, MAX_SEQ_LEN),
            "mode": check_choice("mode of Pack()", self.mode, ("wrap", "fit")),
            "labels": labels,
            "extra_token": check_bool("extra_token of Pack()", self.extra_token),
            "long": check_choice("long of Pack()", self.long, ("split", "truncate", "drop", "error")),
            "count": check_choice("count of Pack()", self.count, ("footers", "lists")),
            "align": check_int("align of Pack()", self.align, 1, MAX_SEQ_LEN),
            **{name: _names(name, getattr(self, name)) for name in ("along", "meta")},
        }
        for name in ("bos", "eos"):
            if getattr(self, name) is not None:
                plain[name] = check_int(f"{name} of Pack()", getattr(self, name), -(2**63), 2**63 - 1)
        if self.extra_token and labels != "next":
            raise ShardlineValueError(
                'extra_token=True of Pack() gives the last place of a sequence its label: give labels="next" too'
            )
        if self.mode == "wrap" and self.long != "split":
            raise ShardlineValueError(
                f'long={self.long!r} of Pack() is for mode="fit": with mode="wrap" documents of any length stand end '
                "to end; leave long= out"
            )
        for name in ("prompt_length", "length"):
            if not isinstance(getattr(self, name), str | None):
                raise ShardlineTypeError(f"{name} of Pack() must be the name of a column, not {getattr(self, name)!r}")
        if self.prompt_length is not None and labels is None:
            raise ShardlineValueError(
                'prompt_length= of Pack() takes labels from prompts, and there are none: give labels="next" or "input"'
            )
        if plain["seq_len"] % plain["align"]:
            raise ShardlineValueError(
                f"align={self.align} of Pack() does not divide seq_len={self.seq_len}, so that documents could not end "
                "where sequences do: give a seq_len that is a multiple of it"
            )
        if self.length is not None and self.count == "lists":
            raise ShardlineValueError(
                'length= of Pack() is a column that is counted from, and count="lists" says to count the lists: give '
                "one of them"
            )
        delivered = [*_OF_BATCHES, *plain["along"], *plain["meta"]]
        if twice := next((name for name in delivered if delivered.count(name) > 1), None):
            raise ShardlineValueError(
                f"Pack() would deliver two things as {twice!r}: name a column once in along= and meta=, and none that "
                "has the name of a key of packed batches"
            )
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def projection(self, plan: Plan) -> Projection:
        """The core's projection of a plan.

        Raises:
            ColumnNotFoundError: There is no such column.
            ShardlineTypeError: It is no column of lists of integers.
            ShardlineValueError: `bos` or `eos` is no value of its integers.
        """
        return Projection.packed(
            plan,
            self.column,
            seq_len=self.seq_len,
            bos=self.bos,
            eos=self.eos,
            labels=cast(str | None, self.labels),
            extra_token=self.extra_token,
            fit=self.long if self.mode == "fit" else None,
            by_reading=self.count == "lists",
            align=self.align,
            along=self.along,
            meta=self.meta,
            prompt_length=self.prompt_length,
            length=self.length,
        )

    def rule(self, rows: str) -> str:
        """What tokens were counted of, as JSON. `rows`: the rule of the rows that pass."""
        return json.dumps(
            {
                "version": PACK_VERSION,
                "mode": self.mode,
                "column": self.column,
                "seq_len": self.seq_len,
                "bos": self.bos,
                "eos": self.eos,
                **({"long": self.long} if self.mode == "fit" else {}),
                **({"align": self.align} if self.align > 1 else {}),
                "count": self.count,
                **({} if self.length is None else {"length": self.length}),
                "rows": rows,
            }
        )


def _names(argument: str, value: Any) -> tuple[str, ...]:
    """`value`, if it is names of columns."""
    names = () if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else None
    if not names and (isinstance(value, str) or names is None):
        raise ShardlineTypeError(f"{argument} of Pack() must be a list of names of columns, not {value!r}")
    if wrong := next((name for name in names if not isinstance(name, str)), None):
        raise ShardlineTypeError(f"{argument} of Pack() must be a list of names of columns, and holds {wrong!r}")
    return names


def check_pack(name: str, value: Any) -> Pack:
    """`value`, if it is a `Pack`."""
    if not isinstance(value, Pack):
        raise ShardlineTypeError(f"{name} must be a shardline.Pack(column, seq_len=…, mode=…), not {value!r}")
    return value


def check_beside(pack: Pack | None, values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """The arguments beside `pack`: those that say how columns are delivered are refused, since it delivers its own.

    Raises:
        ShardlineValueError: An argument has no meaning for sequences.
    """
    if pack is None:
        return
    for name, default in defaults.items():
        if values[name] != default:
            raise ShardlineValueError(
                f"{name}= says how columns are delivered, and pack= delivers the sequences of its column only: leave "
                f"{name} out"
            )
    if values["output_format"] not in ("torch", "numpy"):
        raise ShardlineValueError(
            f'output_format={values["output_format"]!r} has no form for pack=: take "torch" or "numpy"'
        )
    if values["batch_size"] * pack.seq_len >= 2**31:
        raise ShardlineValueError(
            f"batch_size={values['batch_size']:,} sequences of seq_len={pack.seq_len:,} are over 2**31 tokens a batch, "
            "which cu_seqlens cannot number: give a smaller batch_size"
        )


def pack_entry(plan: Plan) -> dict[str, Any] | None:
    """The pack of a plan as a state holds it."""
    if plan.tokens is None:
        return None
    rule, digest, _, sequences = plan.tokens
    said = json.loads(rule)
    kept = {name: said[name] for name in PACK_KEYS if name in said}
    return {**kept, "sequences": sequences, "counts": digest}


def pack_in_words(rule: str) -> str:
    """The rule of a plan's counts, for a person."""
    said = json.loads(rule)
    names = ("column", "seq_len", "mode", "bos", "eos", "long", "align", "count", "length")
    return ", ".join(f"{name}={said[name]!r}" for name in names if name in said)
