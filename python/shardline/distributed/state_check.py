"""Ranks that were loaded stand at the same place: compared once after a load, before the first batch.

Every rank says where it stands; the first compares and says what it found. Not a collective: see `channel`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from shardline.distributed.kv_store import RankChannel
from shardline.errors import CheckpointMismatchError, RankTimeoutError
from shardline.state.leg import Leg, delivered_batches

_NAMED = 64
_GRACE = 10.0  # seconds more than the first rank waits, to hear from it what it waited for in vain


class StateCheck:
    """The comparison of a dataset's states over the processes of `channel`; does nothing in a child process."""

    def __init__(self, channel: RankChannel) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._pending = False
        self._round = 0

    def loaded(self) -> None:
        """A state was loaded: the next `check` compares."""
        self._pending = True

    def check(self, state: Mapping[str, Any]) -> None:
        """CheckpointMismatchError on every rank, naming the place of each, where they differ.

        RankTimeoutError where a rank does not come. Compares again when called again, until they agree.
        """
        if os.getpid() != self._pid or not self._pending:
            return
        channel, prefix = self._channel, f"state/{self._round}"
        self._round += 1
        channel.put(f"{prefix}/{channel.me}", _place(state).encode())
        if channel.leads:
            try:
                fault = self._compare(prefix)
            except RankTimeoutError as error:
                channel.put(prefix, b"T" + str(error).encode())
                raise
            channel.put(prefix, fault.encode())
        else:
            leader = channel.members[0]
            channel.wait([f"{prefix}/{leader}"], self._late(f"rank {leader}"))
            channel.wait([prefix], self._late(f"rank {leader} (it came, and then ended)"), _GRACE)
            fault = channel.get(prefix).decode()
            channel.forget_when_read(prefix)
            if fault.startswith("T"):
                raise RankTimeoutError(fault[1:])
        if fault:
            raise CheckpointMismatchError(fault)
        self._pending = False

    def _late(self, who: str) -> str:
        return (
            f"{who} did not begin to iterate within {self._channel.timeout:g} seconds (rank_timeout) after the others "
            "had loaded a state: load the same state on every rank, or on none. If the loader is on some ranks only, "
            "give it rank= and num_ranks=, which compares nothing"
        )

    def _compare(self, prefix: str) -> str:
        """What is wrong, "" where nothing is."""
        channel = self._channel
        keys = {member: f"{prefix}/{member}" for member in channel.members}
        try:
            channel.wait(keys.values(), "")
        except RankTimeoutError:
            absent = [str(member) for member, key in keys.items() if not channel.has(key)]
            raise RankTimeoutError(self._late(f"rank {', '.join(absent)}")) from None
        places = {member: channel.get(key).decode() for member, key in keys.items()}
        for member, key in keys.items():
            if member != channel.me:  # by this rank's own, the others see that it came
                channel.forget(key)
        if len(set(places.values())) == 1:
            return ""
        lines = [f"  - rank {member}: {place}" for member, place in list(places.items())[:_NAMED]]
        if len(places) > _NAMED:
            lines.append(f"  - and {len(places) - _NAMED:,} more ranks")
        return (
            "the ranks loaded states that disagree, so that rows would be lost or come twice:\n"
            + "\n".join(lines)
            + "\nLoad the same state on every rank; that of any one rank is the state of the whole job. "
            "Nothing was delivered."
        )


def _place(state: Mapping[str, Any]) -> str:
    """A state for a person, with a digest of all of it except the names of files, which have their own."""
    parts = {**state, "files": {"digest": state["files"]["digest"]}}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    legs = list(map(Leg.of, state["legs"]))
    last = legs[-1]
    end = ", its end was seen" if state["ended"] else ""
    return (
        f"epoch {state['epoch']}, {delivered_batches(legs):,} batches of all ranks delivered{end} "
        f"(in {len(legs)} legs, the last of {last.num_shards:,} shards, batch_size {last.batch_size:,}"
        f"{', drop_last' if last.drop_last else ''}; seed {state['seed']}; files {state['files']['digest'][:8]}; "
        f"state {digest})"
    )
