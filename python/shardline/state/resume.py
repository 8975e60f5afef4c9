"""Whether a saved state fits a dataset, and what the dataset then does: go on in the state's leg, or cut a new one."""

from dataclasses import dataclass
from typing import Any

from shardline._core import ORDER_VERSION, Legs, Plan
from shardline.errors import ShardlineValueError
from shardline.options.pack import PACK_KEYS
from shardline.planning.build import recounted
from shardline.planning.epoch_order import EpochOrder
from shardline.planning.shuffle import Shuffle
from shardline.planning.source import Source, describe_source, source_of
from shardline.settings import Settings
from shardline.sources.table_version import WORDS
from shardline.state.format import Difference, SavedState, mismatch
from shardline.state.leg import legs_of
from shardline.state.match_files import match_files
from shardline.state.rows import SavedRows

_SAMPLE_NAMES = {
    "low": "subset (from)",
    "high": "subset or sample (up to)",
    "seed": "sample_seed",
    "columns": "subset_by",
}


_SOURCE_NAMES = {"deleted": "rows deleted", "deletes": "which rows are deleted"}
_OTHER_DELETES = "the table's log or delete files were altered: restore them, or start afresh"
_SOURCE_CURES = {
    "version": "give {}={}",
    "schema": "the table's schema was altered without a new version: restore it, or start afresh",
    "reading": "give the options that the run began with",
    "deleted": _OTHER_DELETES,
    "deletes": _OTHER_DELETES,
}


@dataclass(frozen=True)
class Resumption:
    """All that a load changes. Made before anything is changed, so that a failed load changes nothing."""

    order: EpochOrder
    fresh: EpochOrder
    """The line of the epochs after this one."""
    num_shards: int
    first: Legs
    epoch: int
    legs: Legs
    ended: bool
    what: str
    """ "goes on", "new leg", "over" (fewer rows left than ranks), or "ended" where it was delivered to its end."""
    added: list[str]
    sentence: str
    asked: int | None

    @property
    def over(self) -> bool:
        """Whether too few rows are left for the ranks."""
        return self.what == "over"


def resume(
    saved: SavedState,
    order: EpochOrder,
    listed: Plan,
    settings: Settings,
    *,
    strict: bool = False,
    leave_out: frozenset[str] = frozenset(),
    version: Plan | None = None,
) -> Resumption:
    """The dataset's line, shards and legs after loading `saved`; CheckpointMismatchError where it does not fit.

    `order`: the present one; `listed`: all files that were found, of which an earlier state may have taken only some.
    `strict`: the batches to come must be those that the saved run would have delivered. `leave_out`: files to be left
    out beside those that the state and the present order leave out. `version`: the plan of the table's
    version that the state is of, if it is not the present one.
    """
    rows = saved.rows
    if rows.mixture is not None:
        names = ", ".join(repr(each.name) for each in rows.mixture.sources[:5])
        cure = "give a Mixture of the same sources in place of the path"
        raise mismatch([Difference("mixture", f"a mixture of {names}", "one data set", cure)])
    left_out = rows.left_out | order.left_out | leave_out
    is_known = rows.order_version == ORDER_VERSION
    ordered = not settings.shuffle and is_known and not rows.shuffle.shuffle  # no row's place depends on the seed
    seed = rows.seed if (settings.shuffle_seed is None or ordered) and is_known else order.seed
    differences: list[Difference | str] = []
    if is_known:
        if rows.seed != seed:
            differences.append(Difference("seed", rows.seed, seed, f"give shuffle_seed={rows.seed}"))
        differences += shuffle_differences(rows.shuffle, settings)
    else:
        differences.append(
            Difference("order version", rows.order_version, ORDER_VERSION, "use the shardline that saved the state")
        )
    differences += _row_differences(rows, order)
    if source := source_difference(rows.source, order.source if version is None else source_of(version)):
        raise mismatch([*differences, source])
    if strict:
        differences += _batch_differences(saved, settings)
    candidates = (order.plan, listed) if version is None else (version, version)
    plan, added, file_differences = match_files(saved.files, *candidates, settings.row_filter, left_out)
    if plan is None:
        raise mismatch(differences + file_differences)
    if not differences:
        plan = recounted(plan, settings)
    if is_known and (plan is not order.plan or seed != order.seed or rows.shuffle != order.shuffle):
        order = _order_of(saved, plan, settings, seed)
    if order.plan is plan:
        then, now = (entry and entry["counts"] for entry in (rows.filter, order.filter))
        if then and now and then != now:
            cure = "the files' contents differ, though their footers do not: put the old ones back, or start afresh"
            differences.append(Difference("rows that pass", then, now, cure))
        then, now = (entry and entry["counts"] for entry in (rows.pack, order.pack))
        if then and now and then != now and not differences:
            cure = "the files' tokens are others, though their footers are not: put the old files back, or start afresh"
            differences.append(Difference("tokens of the row groups", then, now, cure))
    if differences:
        raise mismatch(differences)
    order = order.leaving_out(left_out)
    fresh = order
    if settings.on_new_files == "refresh" and plan is not listed:
        shuffle = Shuffle.resolve(listed, settings, run_shards(saved, settings), run=rows.shuffle)
        fresh = EpochOrder(listed, settings.row_filter, shuffle, seed)
    found = _place(saved, order, fresh, settings, added)
    if strict and found.what not in ("goes on", "ended"):
        last = saved.legs[-1]
        anew = (
            f"ranks: {settings.num_ranks} cannot go on from here, with {last.delivered:,} batches delivered from "
            f"{last.num_shards:,} shards; give ranks that divide both, or strict=False to cut the rest of the epoch "
            "anew"
        )
        raise mismatch([anew])
    return found


def _row_differences(saved: SavedRows, order: EpochOrder) -> list[Difference]:
    """Settings that say which rows stand on the line."""
    found: list[Difference] = []

    def compare(what: str, then: object, now: object, cure: str) -> None:
        if then != now:
            found.append(Difference(what, then, now, cure))

    then, now = saved.filter or {}, order.filter or {}
    compare("filters", then.get("rows"), now.get("rows"), "give filters= as it was")
    if not found:
        compare(
            "types of the folders' columns", then.get("folders"), now.get("folders"), "give partitioning= as it was"
        )
    was, here = saved.sample or {}, order.sample or {}
    if was and here:
        compare("sample version", was["version"], here["version"], "use the shardline that saved the state")
    for name, called in _SAMPLE_NAMES.items():
        compare(
            called, was.get(name), here.get(name), "give sample= or subset=, subset_by= and sample_seed=, as it was"
        )
    return [*found, *pack_differences(saved.pack, order.pack)]


def pack_differences(saved: dict[str, Any] | None, here: dict[str, Any] | None) -> list[Difference]:
    """How documents are packed."""
    if saved is None or here is None:
        if saved is here:
            return []
        cure = (
            "leave pack= out" if saved is None else f"give pack=Pack({saved['column']!r}, seq_len=…, mode=…) as it was"
        )
        then, now = ("none" if each is None else f"sequences of {each['column']!r}" for each in (saved, here))
        return [Difference("pack", then, now, cure)]
    cures = {"version": "use the shardline that saved the state"}
    return [
        Difference(
            f"{name} of pack",
            saved.get(name),
            here.get(name),
            cures.get(name, f"give {name}={saved.get(name)!r} as it was"),
        )
        for name in PACK_KEYS
        if saved.get(name) != here.get(name)
    ]


def source_difference(saved: Source | None, here: Source | None) -> Difference | None:
    """Why the files are not a version of the table that the state's were, or are one with other rows."""
    if saved == here:
        return None
    if saved is None or here is None or (saved["kind"], saved["table"]) != (here["kind"], here["table"]):
        was, now = (describe_source(each) if each else "plain files" for each in (saved, here))
        return Difference("table", was, now, "give the path and format= of the table that the run began with")
    for name, cure in _SOURCE_CURES.items():
        if saved[name] != here[name]:
            word = WORDS[saved["kind"]].version if saved["kind"] in WORDS else name
            called = word if name == "version" else _SOURCE_NAMES.get(name, name)
            return Difference(called, saved[name], here[name], cure.format(word, saved[name]))
    return None


def _batch_differences(saved: SavedState, settings: Settings) -> list[Difference]:
    """Settings that make the batches to come others than the saved run's."""
    last = saved.legs[-1]
    return [
        Difference(name, then, now, f"give {name}={then}, or strict=False to cut the rest of the epoch anew")
        for name, then, now in (
            ("batch_size", last.batch_size, settings.batch_size),
            ("drop_last", last.drop_last, settings.drop_last),
            ("num_shards", saved.num_shards, run_shards(saved, settings)),
        )
        if then != now
    ]


def run_shards(saved: SavedState, settings: Settings) -> int:
    """The run's holds unless another was asked for or the ranks do not divide it."""
    ranks = settings.num_ranks
    return settings.num_shards or max(ranks, saved.num_shards // ranks * ranks)


def shuffle_differences(saved: Shuffle, settings: Settings) -> list[Difference]:
    """Settings that alter the line, where they were asked for; without shuffling none but `shuffle` does."""
    if saved.shuffle != settings.shuffle:
        return [Difference("shuffle", saved.shuffle, settings.shuffle, f"give shuffle={saved.shuffle}")]
    if not saved.shuffle:
        return []
    strands = saved.strands if saved.asked_strands is None else saved.asked_strands
    compared = [
        ("shuffle_buffer_bytes", saved.buffer_bytes, settings.shuffle_buffer_bytes),
        ("shuffle_buffer_size", saved.buffer_rows, settings.shuffle_buffer_size),
        ("shuffle_strands", strands, settings.shuffle_strands),
        ("split_bytes", saved.split_bytes, settings.split_bytes),
        ("split_rows", saved.split_rows, settings.split_rows),
    ]
    return [
        Difference(name, then, now, f"leave {name} out, so that the state's holds")
        for name, then, now in compared
        if now is not None and now != then
    ]


def _order_of(saved: SavedState, plan: Plan, settings: Settings, seed: int) -> EpochOrder:
    """The order of the saved run; CheckpointMismatchError where its numbers cannot be those of these rows."""
    try:
        return EpochOrder(plan, settings.row_filter, saved.rows.shuffle, seed)
    except (ShardlineValueError, OverflowError) as error:
        raise mismatch([f"order: {error}; the state is damaged: start afresh"]) from error


def _place(saved: SavedState, order: EpochOrder, fresh: EpochOrder, settings: Settings, added: list[str]) -> Resumption:
    """Cuts the legs."""
    ranks, rows, num_shards = settings.num_ranks, order.num_rows, run_shards(saved, settings)
    try:
        legs = Legs(rows, saved.legs)
    except (ShardlineValueError, OverflowError) as error:
        raise mismatch(
            [f"the position saved is not one of these {rows:,} rows: {error}; the state is damaged"]
        ) from error
    try:
        first = Legs.start(fresh.num_rows, num_shards, settings.batch_size, settings.drop_last)
    except (ShardlineValueError, OverflowError) as error:
        raise mismatch(
            [f"later epochs have no step with the saved num_shards={num_shards}: {error}; give num_shards="]
        ) from error
    what = "ended"
    done = (legs.delivered_before + legs.delivered) // ranks
    if saved.ended:
        sentence = f"begins epoch {saved.epoch + 1}: the end of epoch {saved.epoch} was seen"
    elif legs.is_complete:
        sentence = (
            f"stands at the end of epoch {saved.epoch}, which was not seen yet: the next iteration delivers nothing"
        )
    else:
        legs, what = legs.resume(
            ranks,
            saved.num_shards,
            num_shards=settings.num_shards,
            batch_size=settings.batch_size,
            drop_last=settings.drop_last,
        )
        if what == "over":
            left = _count(legs.left_over())
            short = f"full batches of {settings.batch_size:,} rows" if settings.drop_last else "rows"
            sentence = f"ends epoch {saved.epoch}: fewer {short} are left (of {left:,} rows) than ranks ({ranks})"
        elif what == "goes on":
            to_come = legs.num_batches - legs.delivered
            sentence = (
                f"goes on in its leg: epoch {saved.epoch}, step {done:,}, {to_come:,} batches of all ranks to come"
            )
        else:
            cut = legs_of(legs)[-1]
            left = _count(legs.left_over())
            sentence = (
                f"cuts a new leg: what epoch {saved.epoch} has left after step {done:,}, "
                f"{left:,} rows, in {cut.num_shards:,} shards and batches of {cut.batch_size:,} rows"
                f"{' (drop_last)' if cut.drop_last else ''}"
            )
    return Resumption(
        order, fresh, num_shards, first, saved.epoch, legs, saved.ended, what, added, sentence, saved.asked
    )


def _count(intervals: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in intervals)
