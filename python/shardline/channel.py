"""What the processes of a job tell each other: named messages in the key-value store of the process group.

Nothing here is a collective. Who says something goes on at once; who waits for something waits for a limited time.
"""

import hashlib
import json
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch.distributed as dist

from shardline.errors import RankTimeoutError, ShardlineRuntimeError

CHUNK = 2**20
"""Bytes of a value in the store: torch's servers take 8 MiB at most, and answer others between two chunks."""
_FIRST_NAP, _LONGEST_NAP = 0.002, 0.25  # seconds between two looks at the store

# How often each topic was opened in this process, by process group: a new group has a new store.
_opened: "weakref.WeakKeyDictionary[Any, Counter[str]]" = weakref.WeakKeyDictionary()


class Channel:
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
                self._store.set(f"{key}/{i}", data[start : start + CHUNK])  # type: ignore[arg-type] # bytes do
            self._store.set(key, str(len(chunks)))
        except RuntimeError as error:
            raise _failed(error) from error

    def has(self, key: str) -> bool:
        """Whether it was said."""
        try:
            return bool(self._store.check([key]))
        except RuntimeError as error:
            raise _failed(error) from error

    def wait(self, keys: Iterable[str], missing: str, grace: float = 0) -> None:
        """Until all were said; RankTimeoutError(`missing`) after `timeout` and `grace` more seconds."""
        left, end, nap = list(keys), time.monotonic() + self.timeout + grace, _FIRST_NAP
        while left:
            while left and self.has(left[0]):
                left.pop(0)
            if left and time.monotonic() >= end:
                raise RankTimeoutError(missing)
            if left:
                time.sleep(nap)
                nap = min(2 * nap, _LONGEST_NAP)

    def get(self, key: str) -> bytes:
        """What was said, which is known to be there."""
        try:
            count = int(self._store.get(key))
            return b"".join(self._store.get(f"{key}/{i}") for i in range(count))
        except RuntimeError as error:
            raise _failed(error) from error

    def forget_when_read(self, key: str) -> None:
        """Takes it out of the store once every other member has called this."""
        try:
            if self._store.add(f"{key}/read", 1) == len(self.members) - 1:
                self.forget(key)
        except RuntimeError:
            return

    def forget(self, key: str) -> None:
        """Takes it out of the store; a store that cannot delete keeps it."""
        try:
            count = int(self._store.get(key))
            for name in (key, f"{key}/read", *(f"{key}/{i}" for i in range(count))):
                self._store.delete_key(name)
        except RuntimeError:
            return


def _failed(error: RuntimeError) -> ShardlineRuntimeError:
    return ShardlineRuntimeError(
        f"the key-value store of the process group failed ({error}): the process that holds it, mostly rank 0's, may "
        "have ended; rank= and num_ranks= need no store"
    )
