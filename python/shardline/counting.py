"""Counting the rows that pass a filter: once, in parallel, each rank its part of the row groups."""

import json
import zlib
from collections.abc import Callable
from typing import Any, NoReturn

from shardline._core import Plan, Selector
from shardline.channel import Channel


def count_rows(plan: Plan, selector: Selector, num_threads: int, *, show_progress: bool) -> list[int]:
    """How many rows of each row group pass, counted by this process; a bar by tqdm where asked for."""
    return _count(plan, selector, list(range(plan.num_row_groups)), num_threads, show_progress)


def _count(plan: Plan, selector: Selector, groups: list[int], num_threads: int, show_progress: bool) -> list[int]:
    if not show_progress:
        return selector.count(plan, groups, num_threads=num_threads)
    from tqdm.auto import tqdm

    with tqdm(total=len(groups), desc="counting rows that pass", unit="row group") as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        return selector.count(plan, groups, num_threads=num_threads, progress=progress)


def count_shared(
    plan: Plan,
    selector: Selector,
    num_threads: int,
    channel: Channel,
    *,
    show_progress: bool,
    message: Callable[[BaseException], bytes],
    raise_message: Callable[[dict[str, Any]], NoReturn],
) -> list[int]:
    """The same, each process of `channel` counting its part; the first puts the parts together for all.

    Where one cannot count its part, all raise its error.
    """
    place, size, total = channel.members.index(channel.me), len(channel.members), plan.num_row_groups
    mine = list(range(place * total // size, (place + 1) * total // size))
    try:
        said = json.dumps({"counts": _count(plan, selector, mine, num_threads, show_progress)}).encode()
    except BaseException as error:
        if not channel.leads:
            channel.put(f"counts/{channel.me}", zlib.compress(message(error)))
        else:
            channel.put("counts", zlib.compress(message(error)))
        raise
    if channel.leads:
        parts = [json.loads(said)]
        for member in channel.members[1:]:
            key = f"counts/{member}"
            channel.wait([key], _late(f"rank {member}", channel))
            parts.append(json.loads(zlib.decompress(channel.get(key))))
            channel.forget(key)
        failed = next((part for part in parts if "error" in part), None)
        whole = failed or {"counts": [count for part in parts for count in part["counts"]]}
        channel.put("counts", zlib.compress(json.dumps(whole).encode()))
    else:
        channel.put(f"counts/{channel.me}", zlib.compress(said))
        channel.wait(["counts"], _late(f"rank {channel.members[0]}", channel))
        whole = json.loads(zlib.decompress(channel.get("counts")))
        channel.forget_when_read("counts")
    if "error" in whole:
        raise_message(whole)
    counts: list[int] = whole["counts"]
    return counts


def _late(who: str, channel: Channel) -> str:
    return (
        f"{who} did not count its part of the rows that pass the filter within {channel.timeout:g} seconds "
        "(plan_timeout) after this rank had counted its own: give a larger plan_timeout=, or count once, save "
        "dataset.plan, and give it as plan= to all"
    )
