"""What defines the rows of a run and their order: `rows`, one dict of the state.

All that decides which rows an epoch has, or where they stand, is in this dict. A reader that ignored any of it would
lose rows in silence, so a key that it does not know is refused. `source`, `pack` and `mixture` are written only where
they are used, so that older versions read the states without them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from shardline._core import ORDER_VERSION
from shardline.planning.shuffle import Shuffle
from shardline.planning.source import KEYS as SOURCE_KEYS
from shardline.planning.source import Source
from shardline.state.form import MAX, MISSING, Form, short
from shardline.state.mixed import SavedMixture, read_mixture

_KEYS: dict[str, frozenset[str]] = {
    "order": frozenset({"version", "seed", *(each.name for each in fields(Shuffle))}),
    "filter": frozenset({"rows", "folders", "counts"}),
    "sample": frozenset({"version", "columns", "low", "high", "seed"}),
    "left_out": frozenset(),
    "source": frozenset(SOURCE_KEYS),
    "pack": frozenset({"version", "mode", "column", "seq_len", "bos", "eos", "long", "align", "sequences", "counts"}),
    "mixture": frozenset({"version", "schedule", "asked", "end", "stop", "sources"}),
}
"""The keys of `rows`, and those of each that is a dict."""


@dataclass(frozen=True)
class SavedRows:
    """What a state says of its rows."""

    order_version: int
    seed: int
    shuffle: Shuffle
    """Of no meaning where the order has another version than this one."""
    filter: dict[str, Any] | None
    sample: dict[str, Any] | None
    left_out: frozenset[str]
    """Names of files whose rows are left out of their batches."""
    source: Source | None
    """The version of a table that the files are; None for plain files."""
    pack: dict[str, Any] | None = None
    """How documents are packed, where rows are sequences."""
    mixture: SavedMixture | None = None
    """What is mixed, where rows are of several sources."""


def build_rows(
    order: Mapping[str, Any],
    filter: Mapping[str, Any] | None,
    sample: Mapping[str, Any] | None,
    left_out: Collection[str],
    source: Source | None,
    pack: Mapping[str, Any] | None = None,
    mixture: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The dict of a state."""
    rows = {
        "order": dict(order),
        "filter": filter and {**filter, "folders": dict(filter["folders"])},
        "sample": sample and dict(sample),
        # Even if empty: torch.distributed.checkpoint loads only the keys that a fresh state has.
        "left_out": sorted(left_out),
    }
    if source is not None:
        rows["source"] = dict(source)
    if pack is not None:
        rows["pack"] = dict(pack)
    if mixture is not None:
        rows["mixture"] = dict(mixture)
    return rows


def unknown_keys(rows: Mapping[str, Any]) -> list[str]:
    """The keys that this version does not know; those of another version's order are not looked at."""
    found = [f"rows.{key}" for key in rows if key not in _KEYS]
    for name, known in _KEYS.items():
        part = rows.get(name)
        if isinstance(part, Mapping) and not (name == "order" and part.get("version") != ORDER_VERSION):
            found += [f"rows.{name}.{key}" for key in part if key not in known]
    return found


def read_rows(form: Form, rows: Mapping[str, Any]) -> SavedRows:
    """The dict's values, their form checked."""
    version, seed, shuffle = _order(form, rows.get("order", MISSING))
    kinds = {"rows": str, "folders": Mapping, "counts": str}
    return SavedRows(
        order_version=version,
        seed=seed,
        shuffle=shuffle,
        filter=form.part("rows.filter", rows.get("filter", MISSING), kinds),
        sample=_sample(form, rows.get("sample", MISSING)),
        left_out=_names(form, "rows.left_out", rows.get("left_out", MISSING)),
        source=_source(form, rows.get("source")),
        pack=_pack(form, rows.get("pack")),
        mixture=read_mixture(form, rows.get("mixture")),
    )


def _source(form: Form, value: Any) -> Source | None:
    if value is None:
        return None
    found = form.mapping("rows.source", value)
    for name, kinds in SOURCE_KEYS.items():
        if not isinstance(found.get(name, MISSING), kinds) or isinstance(found[name], bool):
            form.wrong.append(f"rows.source.{name} is missing, or not what it should be")
    return dict(found)


def _order(form: Form, value: Any) -> tuple[int, int, Shuffle]:
    """(version, seed, settings) of the order."""
    where = "rows.order"
    entry = form.mapping(where, value)
    version = form.integer(f"{where}.version", entry.get("version", MISSING)) if entry or not form.wrong else 0
    if version != ORDER_VERSION:  # its other keys are another version's
        return version, 0, Shuffle(False, 1, 0, 1, None, None, None, None)

    def number(name: str, low: int, high: int = MAX) -> int:
        return form.integer(f"{where}.{name}", entry.get(name, MISSING), low, high)

    def number_or_none(name: str, low: int) -> int | None:
        return None if entry.get(name, MISSING) is None else number(name, low)

    shuffle = Shuffle(
        shuffle=form.boolean(f"{where}.shuffle", entry.get("shuffle", MISSING)),
        strands=number("strands", 1),
        windows=number("windows", 0),
        split_bytes=number("split_bytes", 1),
        split_rows=number_or_none("split_rows", 1),
        asked_strands=number_or_none("asked_strands", 1),
        buffer_bytes=number_or_none("buffer_bytes", 1),
        buffer_rows=number_or_none("buffer_rows", 0),
    )
    return version, number("seed", 0, 2**64 - 1), shuffle


def _sample(form: Form, value: Any) -> dict[str, Any] | None:
    where = "rows.sample"
    found = form.part(where, value, {"version": int, "low": float, "high": float, "seed": int})
    if found is None or not isinstance(value, Mapping):
        return None
    columns = value.get("columns", MISSING)
    if columns is MISSING:
        form.wrong.append(f"{where}.columns is missing")
    elif columns is not None and not (isinstance(columns, list) and all(isinstance(each, str) for each in columns)):
        form.wrong.append(f"{where}.columns must be null or a list of names, not {short(columns)}")
    return {**found, "columns": columns}


def _pack(form: Form, value: Any) -> dict[str, Any] | None:
    where = "rows.pack"
    kinds = {"version": int, "mode": str, "column": str, "seq_len": int, "sequences": int, "counts": str}
    found = form.part(where, value, kinds)
    if found is None or not isinstance(value, Mapping):
        return None
    for name in ("bos", "eos"):
        token = value.get(name, MISSING)
        if token is not None and (not isinstance(token, int) or isinstance(token, bool)):
            form.wrong.append(f"{where}.{name} must be null or an integer, not {short(token)}")
    long = value.get("long")
    if long is not None and not isinstance(long, str):
        form.wrong.append(f"{where}.long must be text, not {short(long)}")
    more: dict[str, Any] = {} if long is None else {"long": long}
    align = value.get("align")
    if align is not None and (not isinstance(align, int) or isinstance(align, bool)):
        form.wrong.append(f"{where}.align must be an integer, not {short(align)}")
    more |= {} if align is None else {"align": align}
    return {**found, "bos": value.get("bos"), "eos": value.get("eos"), **more}


def _names(form: Form, where: str, value: Any) -> frozenset[str]:
    names = form.sequence(where, value) or ()
    if not all(isinstance(name, str) for name in names):
        form.wrong.append(f"{where} must be a list of names, not {short(value)}")
        return frozenset()
    return frozenset(names)
