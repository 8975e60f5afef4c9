"""What the processes of a job tell each other: named messages in the key-value store of the process group.

Nothing here is a collective. Who says something goes on at once; who waits for something waits for a limited time.

A store may outlive its processes: torchrun starts them anew beside the store of those that were killed. So everything
that is said bears the time, and what was said before this process began is not heard. (All processes of a job begin
together and say nothing until all are there, seconds later, after torch's import and rendezvous: clocks that agree to a
second or so are enough.)
"""

import hashlib
import json
import logging
import os
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from shardline.errors import RankTimeoutError, ShardlineRuntimeError

log = logging.getLogger("shardline")

CHUNK = 2**20
"""Bytes of a value in the store: torch's servers take 8 MiB at most, and answer others between two chunks."""
_FIRST_NAP, _LONGEST_NAP = 0.002, 0.25  # seconds between two looks at the store
LOG_WAIT_AFTER = 10
"""Seconds of waiting for other ranks after which the log says for whom."""

# How often each topic was opened in this process, by process group: a new group has a new store.
_opened: "weakref.WeakKeyDictionary[Any, Counter[str]]" = weakref.WeakKeyDictionary()


def _began() -> float:
    """When this process began, by `time.time()`; where that is not known, when this module was imported."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux
        return time.time()


_BEGAN = _began()


def _begin_again() -> None:
    global _BEGAN
    _BEGAN = _began()


if hasattr(os, "register_at_fork"):  # a forked rank begins with its fork
    os.register_at_fork(after_in_child=_begin_again)


class RankChannel:
    """One conversation between `members` (global ranks; `me` is one, the first leads), about a `topic`.

    The topic is what all of them know, such as a path and options. Where it is opened several times, the first
    conversation of one member is the first of every other. `timeout`: seconds.
    """

    def __init__(self, members: Sequence[int], topic: Any, timeout: float) -> None:
        from torch.distributed import distributed_c10d  # not there in a torch built without it

        self.members = list(members)
        self.me = dist.get_rank()
        self.timeout = timeout
        text = json.dumps([self.members, topic], sort_keys=True)
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        counts = _opened.setdefault(dist.group.WORLD, Counter())
        self._store = distributed_c10d.PrefixStore(
            f"shardline/{name}/{counts[name]}", distributed_c10d._get_default_store()
        )
        counts[name] += 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that plans and compares for all."""
        return self.me == self.members[0]

    def put(self, key: str, data: bytes) -> None:
        """Says something, in chunks; the key itself comes last, so that who sees it can read all of it."""
        try:
            chunks = range(0, len(data), CHUNK)
            for i, start in enumerate(chunks):
                self._store.set(_chunk(key, i), data[start : start + CHUNK])  # type: ignore[arg-type] # bytes do
            self._store.set(key, f"{len(chunks)} {time.time():.6f}")
        except RuntimeError as error:
            raise _failed(error) from error

    def has(self, key: str) -> bool:
        """Whether it was said, since this process began."""
        try:
            return self._store.check([key]) and float(self._head(key)[1]) > _BEGAN
        except RuntimeError as error:
            raise _failed(error) from error

    def put_first(self, key: str, text: str) -> str:
        """What the first of all members to call this gave, since this process began. `text` is short."""
        mine = f"{time.time():.6f} {text}".encode()
        found = b""
        try:
            while True:
                now = bytes(self._store.compare_set(key, found.decode(), mine.decode()))
                if now == mine:
                    return text
                said, _, there = now.decode().partition(" ")
                if float(said) > _BEGAN:
                    return there
                found = now
        except RuntimeError as error:
            raise _failed(error) from error

    def wait(self, keys: Iterable[str], missing: str, who: str) -> None:
        """Until all were said; `who` is to say them, and is named in the log when that takes long.

        Raises:
            RankTimeoutError: `missing`, after `timeout` seconds.
        """
        begin = time.monotonic()
        left, nap, logged = list(keys), _FIRST_NAP, False
        while left:
            while left and self.has(left[0]):
                left.pop(0)
            waited = time.monotonic() - begin
            if left and waited >= self.timeout:
                raise RankTimeoutError(missing)
            if left and waited >= LOG_WAIT_AFTER and not logged:
                logged = True
                log.warning("waiting for %s since %d s, for %g s at most", who, LOG_WAIT_AFTER, self.timeout)
            if left:
                time.sleep(nap)
                nap = min(2 * nap, _LONGEST_NAP)

    def get(self, key: str) -> bytes:
        """What was said, which is known to be there."""
        try:
            return b"".join(self._store.get(_chunk(key, i)) for i in range(int(self._head(key)[0])))
        except RuntimeError as error:
            raise _failed(error) from error

    def forget_when_read(self, key: str) -> None:
        """Takes it out of the store once every other member has called this."""
        try:
            _, time_said = self._head(key)
            if self._store.add(_readers(key, time_said), 1) == len(self.members) - 1:
                self.forget(key)
        except RuntimeError:
            return

    def forget(self, key: str) -> None:
        """Takes it out of the store; a store that cannot delete keeps it."""
        try:
            count, time_said = self._head(key)
            for name in (key, _readers(key, time_said), *(_chunk(key, i) for i in range(int(count)))):
                self._store.delete_key(name)
        except RuntimeError:
            return

    def _head(self, key: str) -> tuple[str, str]:
        """(how many chunks, when it was said)."""
        count, time_said = self._store.get(key).decode().split(" ")
        return count, time_said


# No key begins as these do: a key may be another's with a number behind it, as a rank's word on what the first decides.


def _chunk(key: str, i: int) -> str:
    return f"chunk {i} of {key}"


def _readers(key: str, time_said: str) -> str:
    return f"readers of {key} of {time_said}"


def _failed(error: RuntimeError) -> ShardlineRuntimeError:
    return ShardlineRuntimeError(
        f"the key-value store of the process group failed ({error}): the process that holds it, mostly rank 0's, may "
        "have ended; rank= and num_ranks= need no store"
    )
