"""What a state says, in figures and in words: the place, the order, and what resuming it needs."""

from dataclasses import asdict
from typing import Any

from shardline import text
from shardline._core import ORDER_VERSION, Legs
from shardline.errors import ShardlineError
from shardline.options.pack import PACK_KEYS, PACK_VERSION, Pack
from shardline.planning.source import describe_source
from shardline.sources.table_version import WORDS
from shardline.state.format import SavedState

_RANKS = 1024


def line_rows(saved: SavedState) -> int | None:
    """The rows, or sequences, of a state's line; None where the state does not say how many pass its filter."""
    if saved.rows.mixture is not None:
        return None  # its sources run on
    if saved.rows.pack is not None:
        return int(saved.rows.pack["sequences"])
    if saved.rows.filter is None and saved.rows.sample is None:
        return saved.files.rows - (saved.rows.source["deleted"] if saved.rows.source is not None else 0)
    return sum(sum(groups.passing) for groups in saved.files.groups.values()) or None


def figures_of(saved: SavedState) -> dict[str, Any]:
    """How far a state's epoch is, in numbers."""
    rows, last = line_rows(saved), saved.legs[-1]
    found: dict[str, Any] = {
        "epoch": saved.epoch,
        "ended": saved.ended,
        "num_shards": saved.num_shards,
        "batch_size": last.batch_size,
        "rows": rows,
        "files": saved.files.count,
        "ranks": _ranks(saved),
        "rows_to_come": None,
        "percent": None,
        "needs": {name: asdict(value) if name == "pack" else value for name, value in needs_of(saved).items()},
    }
    if rows:
        try:
            legs = Legs(rows, saved.legs)
        except (ShardlineError, OverflowError):
            return found
        to_come = sum(stop - start for start, stop in legs.left_over())
        over = saved.ended or legs.is_complete
        found["rows_to_come"] = 0 if over else to_come
        found["percent"] = 100.0 if over else round(100 * (1 - to_come / rows), 2)
    return found


def facts_of(saved: SavedState) -> list[tuple[str, str]]:
    """What a state says, as (what, words)."""
    figures, last = figures_of(saved), saved.legs[-1]
    where = f"epoch {saved.epoch}"
    if figures["percent"] is not None:
        where += f", {figures['percent']:g} % done, {text.counted(figures['rows_to_come'], 'row')} to come"
    delivered = sum(leg.delivered for leg in saved.legs)
    if saved.ended:
        where += "; its end was seen"
    found = [
        ("place", where),
        ("delivered", f"{text.counted(delivered, 'batch')} by all ranks, now of {last.batch_size:,} rows"),
        ("shards", f"{last.num_shards:,}; " + _resumes_on(figures["ranks"])),
    ]
    if len(saved.legs) > 1:
        found.append(("legs", f"{len(saved.legs):,}: ranks or batch size were changed in mid-epoch"))
    skipped = sum(stop - start for leg in saved.legs for start, stop in leg.skipped)
    if skipped:
        found.append(("skipped", f"{text.counted(skipped, 'batch')}, by seek()"))
    rows = saved.rows
    known = rows.order_version == ORDER_VERSION
    found.append(
        ("order", rows.shuffle.describe(rows.seed, figures["rows"]) if known else f"version {rows.order_version}")
    )
    if rows.pack is not None:
        found.append(("pack", f"sequences of {rows.pack['seq_len']:,} tokens of column {rows.pack['column']!r}"))
    if rows.filter is not None:
        found.append(("filter", str(rows.filter["rows"])))
    if rows.sample is not None:
        of = "" if rows.sample["columns"] is None else f" of the keys in {', '.join(rows.sample['columns'])}"
        found.append(("sample", f"{rows.sample['low']} to {rows.sample['high']}{of}, seed {rows.sample['seed']}"))
    if rows.source is not None:
        found.append(("source", describe_source(rows.source)))
    if rows.left_out:
        found.append(("left out", text.listed(sorted(rows.left_out))))
    if rows.mixture is not None:
        first, *of_sources = (line.strip() for line in rows.mixture.words())
        found.append(("mixture", "; ".join([first, *of_sources])))
    named = text.listed([name for name, _, _ in saved.files.table], 3) if saved.files.table else "by digest only"
    if rows.mixture is None:
        found.append(("files", f"{saved.files.count:,} ({named}), {text.counted(saved.files.rows, 'row')}"))
    needs = [f"{name}={value!r}" for name, value in needs_of(saved).items() if name != "filters"]
    found.append(("needs", ", ".join([*needs, *(["the filter"] if rows.filter is not None else [])])))
    return found


def needs_of(saved: SavedState) -> dict[str, Any]:
    """The arguments that a loader needs to resume it exactly; a filter as its text."""
    rows, last = saved.rows, saved.legs[-1]
    found: dict[str, Any] = {"batch_size": last.batch_size}
    if last.drop_last:
        found["drop_last"] = True
    if rows.order_version == ORDER_VERSION and rows.shuffle.shuffle:
        found |= {"shuffle": True, "shuffle_seed": rows.seed}
    if rows.source is not None and rows.source["kind"] in WORDS:
        found["format"] = rows.source["kind"]
    if rows.pack is not None and rows.pack["version"] == PACK_VERSION:
        kept = {name: rows.pack[name] for name in PACK_KEYS[1:] if name in rows.pack}
        found["pack"] = Pack(**kept)
    if rows.filter is not None:
        found["filters"] = str(rows.filter["rows"])
    if rows.sample is not None:
        found |= {"subset": (rows.sample["low"], rows.sample["high"]), "sample_seed": rows.sample["seed"]}
        if rows.sample["columns"] is not None:
            found["subset_by"] = rows.sample["columns"]
    return found


def _ranks(saved: SavedState) -> list[int]:
    """The numbers of ranks that resume exactly."""
    last = saved.legs[-1]
    most = min(last.num_shards, _RANKS)
    return [ranks for ranks in range(1, most + 1) if last.num_shards % ranks == 0 and last.delivered % ranks == 0]


def _resumes_on(ranks: list[int]) -> str:
    if ranks == [1]:
        return "resumes batch for batch on 1 rank, on others in a new leg"
    listed = text.listed(map(str, ranks), 8)
    return f"resumes batch for batch on {listed} ranks, on others in a new leg"
