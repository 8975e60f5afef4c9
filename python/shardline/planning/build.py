"""A plan: the file table that a run reads, from paths or from an earlier plan, with the passing rows counted.

Everything here is done by one process; `distributed.plan_broadcast` shares the result among ranks.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shardline._core import Plan, Projection, Selector
from shardline.errors import ShardlineValueError
from shardline.filters.hive import attach
from shardline.filters.row_filter import RowFilter, rule_in_words
from shardline.options.pack import pack_in_words
from shardline.planning.listing import list_files
from shardline.settings import Settings

log = logging.getLogger("shardline")

Count = Callable[[Plan, Selector], list[int]]
"""Counts the passing rows of each row group."""
CountPart = Callable[[list[int], bool], list[int]]
"""Counts of these row groups or bundles; and whether to show progress."""
Share = Callable[[int, CountPart, str], list[int]]
"""Has so many things counted, of a name: by this process alone, or by all ranks."""


def build_plan(
    paths: Sequence[str] | None, plan: Plan | None, settings: Settings, *, show_progress: bool = False
) -> tuple[Plan, int]:
    """The plan of `paths`, or `plan` fitted to the settings, with the passing rows counted; and the shuffle seed."""
    plan = list_files(paths or (), settings) if plan is None else fit_plan(plan, settings.row_filter)
    seed = draw_seed() if settings.shuffle_seed is None else settings.shuffle_seed
    return _counted(plan, settings, show_progress=show_progress), seed


def build_version(paths: Sequence[str], settings: Settings, version: int) -> Plan:
    """The plan of a version of the table that the settings are of, with the passing rows counted."""
    assert settings.table is not None
    request = replace(settings.table, version=version, timestamp=None, ref=None)
    return build_listed(list_files(paths, replace(settings, table=request)), settings)


def build_listed(plan: Plan, settings: Settings) -> Plan:
    """The plan of files that were listed, with the passing rows counted."""
    return _counted(plan, settings, show_progress=False)


def _counted(plan: Plan, settings: Settings, *, show_progress: bool) -> Plan:
    def count(plan: Plan, selector: Selector) -> list[int]:
        groups = list(range(plan.num_row_groups))
        return count_rows(plan, selector, groups, settings, show_progress=show_progress)

    def share(total: int, count: CountPart, what: str) -> list[int]:
        return count(list(range(total)), show_progress)

    return with_tokens(with_counts(plan, settings.row_filter, count), settings, share)


def fit_plan(plan: Plan, row_filter: RowFilter) -> Plan:
    """A given plan, with the folders' columns and without the files that the filter rules out.

    Raises:
        ShardlineValueError: The plan was made for other rows, so it lacks files that its own filter ruled out.
    """
    if plan.passing is not None:
        rule = plan.passing[0]
        if rule != row_filter.rule:
            raise ShardlineValueError(
                f"this plan was made for other rows ({rule_in_words(rule)}), and {row_filter} is asked for: give the "
                "plan of a dataset without filters, sample and subset, or the path"
            )
        return plan
    plan = attach(plan, row_filter.partitioning)
    if row_filter.partitioning is None or row_filter.filter is None:
        return plan
    names = [name for name, _, _ in plan.files()]
    kept = row_filter.kept_files(names, row_filter.partitioning.values(names))
    return plan if len(kept) == len(names) else plan.select(kept)


def with_counts(plan: Plan, row_filter: RowFilter, count: Count) -> Plan:
    """The plan with the passing rows of each row group, counted by `count` unless the plan has them."""
    if not row_filter.rule or plan.passing is not None:
        return plan
    selector = row_filter.selector(plan)
    assert selector is not None
    return plan.with_passing(row_filter.rule, count(plan, selector))


def count_rows(
    plan: Plan, selector: Selector, groups: list[int], settings: Settings, *, show_progress: bool
) -> list[int]:
    """The passing rows of each of `groups` (indices of row groups), read by this process's threads.

    A sample alone is counted by arithmetic: nothing is read, and no progress bar is shown.
    """
    if not show_progress or settings.row_filter.filter is None:
        return selector.count(plan, groups, num_threads=settings.num_threads)
    from tqdm.auto import tqdm

    with tqdm(total=len(groups), desc="counting rows that pass", unit="row group") as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        return selector.count(plan, groups, num_threads=settings.num_threads, progress=progress)


def with_tokens(plan: Plan, settings: Settings, share: Share) -> Plan:
    """The plan whose rows are packed sequences, where this is asked for. Tokens are counted unless the plan has them.

    Raises:
        ShardlineValueError: The plan was made for another pack, or for one where none is asked for.
    """
    pack = settings.pack
    rule = None if pack is None else pack.rule(settings.row_filter.rule)
    if plan.tokens is not None and plan.tokens[0] != rule:
        here = "pack= is not given" if rule is None else f"{pack_in_words(rule)} is asked for"
        raise ShardlineValueError(
            f"this plan was made for packed sequences ({pack_in_words(plan.tokens[0])}), and {here}: give the plan of "
            "a dataset with the same pack= and filters, or the path"
        )
    if pack is None or rule is None or plan.tokens is not None:
        return plan
    projection = pack.projection(plan)
    tokens = share(plan.num_row_groups, _count_of("tokens", plan, projection, settings), "tokens")
    sequences = None
    if pack.mode == "fit":
        bundles = projection.num_bundles(plan, tokens)
        sequences = share(bundles, _count_of("sequences", plan, projection, settings, tokens), "sequences")
    plan = plan.with_tokens(rule, projection, tokens, sequences)
    if plan.tokens is not None and plan.tokens[3] == 0:
        dropped = ", or dropped as too long" if pack.mode == "fit" and pack.long == "drop" else ""
        raise ShardlineValueError(
            f"column {pack.column!r} has no token: every list of the {plan.num_rows:,} rows is empty, null or left out "
            f"by filters={dropped}; name another column, or ask for more rows"
        )
    return plan


def recounted(plan: Plan, settings: Settings) -> Plan:
    """The plan of some of a plan's files, with the sequences counted of those bundles that came to be by it."""
    if plan.uncounted is None or settings.pack is None:
        return plan
    tokens, bundles = plan.uncounted
    count = _count_of("sequences", plan, settings.pack.projection(plan), settings, tokens)
    return plan.with_counted(count(bundles, False))


def _count_of(
    what: str, plan: Plan, projection: Projection, settings: Settings, tokens: list[int] | None = None
) -> CountPart:
    """Counts the tokens of row groups, or the sequences of bundles of row groups of so many tokens, by threads."""
    selector = settings.row_filter.selector(plan)

    def count(numbers: list[int], progress: Callable[[int], object] | None) -> list[int]:
        given: dict[str, Any] = {
            "num_threads": settings.num_threads,
            "selector": selector,
            "storage": settings.storage,
            "progress": progress,
        }
        if tokens is None:
            return projection.count_tokens(plan, numbers, **given)
        return projection.count_sequences(plan, tokens, numbers, **given)

    def count_part(numbers: list[int], show_progress: bool) -> list[int]:
        if not show_progress:
            return count(numbers, None)
        from tqdm.auto import tqdm

        with tqdm(total=len(numbers), desc=f"counting {what}", unit="row group" if tokens is None else "bundle") as bar:

            def progress(done: int) -> None:
                bar.update(done - bar.n)

            return count(numbers, progress)

    return count_part


def draw_seed() -> int:
    """A seed in [0, 2**63) from the operating system, logged; no global random generator is used."""
    seed = int.from_bytes(os.urandom(8), "little") >> 1
    log.warning("shuffle_seed=None: drew the seed %d; shuffle_seed=%d repeats this order", seed, seed)
    return seed
