"""One listing for the job: the first rank plans and hands plan and seed to the others, through the store.

No collective is used, so that a loader that only some ranks build cannot hang the others.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from shardline import errors
from shardline._core import Plan, Selector
from shardline.arguments import CONTENT, DatasetArguments
from shardline.distributed.kv_store import RankChannel
from shardline.distributed.ranks import Ranks
from shardline.distributed.row_counts import count_shared
from shardline.planning.build import CountPart, count_rows, draw_seed, fit_plan, with_counts, with_tokens
from shardline.planning.listing import list_files
from shardline.settings import Settings
from shardline.signature import declared


class RankChannels(NamedTuple):
    """The conversations of the ranks that build one loader."""

    listing: RankChannel
    states: RankChannel


def open_channels(
    ranks: Ranks, paths: Sequence[str] | None, plan: Plan | None, settings: Settings
) -> RankChannels | None:
    """The same on every rank for the same path and options; None where there is nobody to talk to."""
    if not ranks.members:
        return None
    agreed = {"same", CONTENT} if settings.shuffle_seed is None else {"same"}
    names = [name for name, (_, each) in declared(DatasetArguments).items() if each.ranks in agreed]
    options = {name: _plain(getattr(settings, name)) for name in names} | {"rows": settings.row_filter.topic}
    if settings.table is not None:
        options["table"] = repr(settings.table)  # format, and which version
    where = list(paths) if paths is not None else plan.digest if plan is not None else None
    listing = RankChannel(ranks.listing, ["listing", where, options], settings.rank_timeout)
    return RankChannels(listing, RankChannel(ranks.members, ["states", where, options], settings.rank_timeout))


def _plain(value: Any) -> Any:
    """Options of columns as text: the same on every rank."""
    if isinstance(value, Mapping):
        return {key: _plain(of_key) for key, of_key in value.items()}
    return value if value is None or isinstance(value, (bool, int, str, list, tuple)) else repr(value)


def broadcast_plan(
    paths: Sequence[str] | None,
    plan: Plan | None,
    settings: Settings,
    channel: RankChannel,
    *,
    show_progress: bool = False,
) -> tuple[Plan, int]:
    """`build_plan` for all ranks: the same plan and seed on every rank, as is the error where there is one.

    The first rank lists the files and draws the seed; every rank counts a part of the rows that pass, and of the
    tokens.
    """
    plan, seed = _plan_and_seed(paths, plan, settings, channel)

    def count(plan: Plan, selector: Selector) -> list[int]:
        if settings.row_filter.filter is None:  # a sample is counted by arithmetic
            groups = list(range(plan.num_row_groups))
            return count_rows(plan, selector, groups, settings, show_progress=False)

        def count_part(groups: list[int], shown: bool) -> list[int]:
            return count_rows(plan, selector, groups, settings, show_progress=shown)

        return count_shared(
            plan.num_row_groups,
            channel,
            count_part,
            topic="counts",
            what="rows that pass the filter",
            show_progress=show_progress,
            message=_message,
            raise_message=_raise,
        )

    def share(total: int, count: CountPart, what: str) -> list[int]:
        return count_shared(
            total,
            channel,
            count,
            topic=what,
            what=what,
            show_progress=show_progress,
            message=_message,
            raise_message=_raise,
        )

    return with_tokens(with_counts(plan, settings.row_filter, count), settings, share), seed


def _plan_and_seed(
    paths: Sequence[str] | None, plan: Plan | None, settings: Settings, channel: RankChannel
) -> tuple[Plan, int]:
    """The plan, its passing rows not counted yet, and the seed; from the first rank unless both were given."""
    seed = settings.shuffle_seed
    if plan is not None:
        plan = fit_plan(plan, settings.row_filter)
        if seed is not None:
            return plan, seed

    def make() -> tuple[Plan, int]:
        made = list_files(paths or (), settings) if plan is None else plan
        return made, draw_seed() if seed is None else seed

    if channel.leads:
        return _hand_out(channel, make, with_plan=plan is None)
    return _take(channel, "a plan" if paths is None else ", ".join(paths[:3]), plan)


def _hand_out(channel: RankChannel, make: Callable[[], tuple[Plan, int]], *, with_plan: bool) -> tuple[Plan, int]:
    try:
        plan, seed = make()
        packed = zlib.compress(plan.to_bytes(), 1) if with_plan else b""
    except BaseException as error:
        channel.put("plan", _message(error))
        raise
    channel.put("plan", json.dumps({"seed": seed}).encode() + b"\n" + packed)
    return plan, seed


def _message(error: BaseException) -> bytes:
    """An error by the name and message that it has; one that is not shardline's, inside one that is."""
    name, text = type(error).__name__, str(error.args[0]) if error.args else str(error)
    if not isinstance(error, errors.ShardlineError) or name not in errors.__all__:
        name, text = "ShardlineRuntimeError", f"the rank that plans for all failed: {name}: {text}"
    return json.dumps({"error": name, "message": text}).encode() + b"\n"


def _raise(said: dict[str, Any]) -> NoReturn:
    kind: type[errors.ShardlineError] = getattr(errors, said["error"])
    raise kind(said["message"])


def _take(channel: RankChannel, where: str, given: Plan | None) -> tuple[Plan, int]:
    leader, ranks = channel.members[0], len(channel.members)
    channel.wait(
        ["plan"],
        f"timed out after {channel.timeout:g} seconds (rank_timeout) waiting for rank {leader}'s file list of {where}, "
        f"which the {ranks} processes of this job share. Causes:\n"
        f"  - rank {leader} has not built this loader: build it on every rank; or give rank= and num_ranks= (0 and 1 "
        "for a loader on one rank only), which asks nobody, with plan= if one list was saved for all\n"
        "  - it was built there with another path or other options: build it in the same way on every rank\n"
        "  - it is still listing: give a larger rank_timeout=",
        f"rank {leader}'s file list of {where}",
    )
    head, _, packed = channel.get("plan").partition(b"\n")
    channel.forget_when_read("plan")
    said = json.loads(head)
    if "error" in said:
        _raise(said)
    return Plan.from_bytes(zlib.decompress(packed)) if given is None else given, said["seed"]
