"""Ranks that loaded a state must stand at the same place: compared after a load, without anyone waiting.

Not a collective: a rank says where it stands at the first batch after a load, and compares with the rank that said so
first. Whoever finds a difference raises, and leaves word; the others look for it before their next batches.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from shardline.distributed.kv_store import LOG_WAIT_AFTER, RankChannel
from shardline.errors import CheckpointMismatchError, RankTimeoutError
from shardline.state.leg import Leg, delivered_batches

log = logging.getLogger("shardline")
_NAMED = 64
_FIRST_LOOK, _LONGEST_PAUSE = 0.05, 5.0  # seconds between two looks for word of a difference


class StateCheck:
    """The comparison of a dataset's states over the ranks of `channel`; does nothing in a child process."""

    def __init__(self, channel: RankChannel) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._pending = False
        self._round = 0
        self._fault: str | None = None
        self._began = self._next_look = self._pause = 0.0
        self._absence_logged = False
        self.watching = False
        """Whether `look` is to be called before the next batch."""

    def loaded(self) -> None:
        """A state was loaded: the next `check` compares."""
        self._pending, self._fault = True, None

    def check(self, state: Mapping[str, Any]) -> None:
        """At an iterator's first batch: says where this rank stands, and compares.

        Raises:
            CheckpointMismatchError: A rank that came before stands elsewhere. The message names the place of each.
        """
        if os.getpid() != self._pid:
            return
        if not self._pending:
            self._raise_fault()
            return
        self._pending = False
        self._round += 1
        channel, mine = self._channel, _place(state)
        channel.put(self._key(channel.me), mine.encode())
        first = channel.put_first(self._key("first"), mine)
        self._began = time.monotonic()
        self._pause, self._next_look = _FIRST_LOOK, self._began
        self.watching, self._absence_logged = True, False
        if first != mine:
            self._fault = self._describe()
            channel.put(self._key("fault"), self._fault.encode())
            self._raise_fault()
        self._clear(self._round - 2)

    def look(self) -> None:
        """Before a later batch: CheckpointMismatchError if another rank has found a difference. Cheap."""
        self._raise_fault()
        now = time.monotonic()
        if now < self._next_look or os.getpid() != self._pid:
            return
        self._next_look, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        channel, fault = self._channel, self._key("fault")
        if channel.has(fault):
            self._fault = channel.get(fault).decode()
            self._raise_fault()
        waited = now - self._began
        if waited > LOG_WAIT_AFTER and not self._absence_logged:
            self._absence_logged = True
            if absent := self._absent():
                log.warning("a state was loaded here, and not yet on rank %s: load it on every rank", absent)
        if waited > channel.timeout:
            self.watching = False
            if absent := self._absent():
                raise RankTimeoutError(
                    f"a state was loaded here, and within {channel.timeout:g} seconds (rank_timeout) not on rank "
                    f"{absent}: load the same state on every rank, or on none. If the loader is on some ranks only, "
                    "give it rank= and num_ranks=, which compares nothing"
                )

    def _absent(self) -> str:
        """The ranks that have not begun to iterate after a load. The first looks for all; the others, for the first."""
        channel = self._channel
        looked_for = channel.members if channel.leads else channel.members[:1]
        absent = [str(member) for member in looked_for if not channel.has(self._key(member))]
        return ", ".join(absent[:_NAMED])

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise CheckpointMismatchError(self._fault)

    def _key(self, what: object, number: int | None = None) -> str:
        return f"state/{self._round if number is None else number}/{what}"

    def _describe(self) -> str:
        channel = self._channel
        places = {}
        for member in channel.members[:_NAMED]:
            known = channel.has(self._key(member))
            places[member] = channel.get(self._key(member)).decode() if known else "not known yet"
        more = len(channel.members) - _NAMED
        return (
            "the ranks loaded states that disagree, so that rows would be lost or come twice:"
            + "".join(f"\n  - rank {member}: {place}" for member, place in places.items())
            + (f"\n  - and {more:,} more ranks" if more > 0 else "")
            + "\nLoad the same state on every rank; that of any one rank is the state of the whole job."
        )

    def _clear(self, number: int) -> None:
        """Takes an earlier round's words out of the store."""
        if number > 0:
            self._channel.forget(self._key(self._channel.me, number))


def _place(state: Mapping[str, Any]) -> str:
    """A state for a person, with a digest of all of it except the names of files, which have their own."""
    parts = {**state, "files": {"digest": state["files"]["digest"]}}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    legs = list(map(Leg.of, state["legs"]))
    last = legs[-1]
    end = ", its end was seen" if state["ended"] else ""
    seed = state["rows"]["order"]["seed"]
    return (
        f"epoch {state['epoch']}, {delivered_batches(legs):,} batches of all ranks delivered{end} "
        f"(in {len(legs)} legs, the last of {last.num_shards:,} shards, batch_size {last.batch_size:,}"
        f"{', drop_last' if last.drop_last else ''}; seed {seed}; files {state['files']['digest'][:8]}; "
        f"state {digest})"
    )
