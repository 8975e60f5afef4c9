"""Rows that pass a filter, or tokens, counted by all ranks together: each counts its part of the row groups."""

import json
import zlib
from collections.abc import Callable
from typing import Any, NoReturn

from shardline.distributed.kv_store import RankChannel


def count_shared(
    total: int,
    channel: RankChannel,
    count: Callable[[list[int], bool], list[int]],
    *,
    topic: str,
    what: str,
    show_progress: bool,
    message: Callable[[BaseException], bytes],
    raise_message: Callable[[dict[str, Any]], NoReturn],
) -> list[int]:
    """What `count` finds of each of `total` row groups or bundles.

    The first process of `channel` puts the parts together for all. Where one process cannot count its part, all raise
    its error. `count`: of row groups or bundles, and whether to show progress. `topic`: a name of what is counted,
    `what`: the same for a person.
    """
    place, size = channel.members.index(channel.me), len(channel.members)
    mine = list(range(place * total // size, (place + 1) * total // size))
    try:
        counts = count(mine, show_progress and channel.leads)
        said = json.dumps({"counts": counts}).encode()
    except BaseException as error:
        if not channel.leads:
            channel.put(f"{topic}/{channel.me}", zlib.compress(message(error)))
        else:
            channel.put(topic, zlib.compress(message(error)))
        raise
    if channel.leads:
        parts = [json.loads(said)]
        for member in channel.members[1:]:
            key = f"{topic}/{member}"
            channel.wait([key], _late(f"rank {member}", what, channel), f"rank {member}, which counts {what}")
            parts.append(json.loads(zlib.decompress(channel.get(key))))
            channel.forget(key)
        failed = next((part for part in parts if "error" in part), None)
        whole = failed or {"counts": [count for part in parts for count in part["counts"]]}
        channel.put(topic, zlib.compress(json.dumps(whole).encode()))
    else:
        channel.put(f"{topic}/{channel.me}", zlib.compress(said))
        leader = f"rank {channel.members[0]}"
        channel.wait([topic], _late(leader, what, channel), f"{leader}, which adds up the {what}")
        whole = json.loads(zlib.decompress(channel.get(topic)))
        channel.forget_when_read(topic)
    if "error" in whole:
        raise_message(whole)
    found: list[int] = whole["counts"]
    return found


def _late(who: str, what: str, channel: RankChannel) -> str:
    return (
        f"{who} did not count its part of the {what} within {channel.timeout:g} seconds "
        "(rank_timeout) after this rank had counted its own: give a larger rank_timeout=, or count once, save "
        "dataset.plan, and give it as plan= to all"
    )
