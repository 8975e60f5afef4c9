"""What the ranks of a job say to each other when they save or restore: rounds, in which the first rank decides for all.

A round is no collective: every rank sends what it has to the key-value store, the first waits for all, decides, and
answers all, an error too. Who is missing is named within `timeout` seconds, and nobody waits longer; only while the
first rank is at work (it says so, once a second) do the others go on waiting.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch.distributed as dist

from shardline import errors
from shardline.distributed.kv_store import LOG_WAIT_AFTER, RankChannel
from shardline.errors import RankTimeoutError, ShardlineError, ShardlineRuntimeError, ShardlineValueError

_BEAT, _FIRST_NAP, _LONGEST_NAP, _GRACE = 1.0, 0.001, 0.05, 10.0

log = logging.getLogger("shardline")


class Message(NamedTuple):
    """What one rank sends in a round: plain values, and bytes."""

    plain: dict[str, Any]
    data: bytes = b""

    def pack(self) -> bytes:
        """As bytes."""
        return json.dumps(self.plain).encode() + b"\n" + self.data

    @staticmethod
    def unpack(packed: bytes) -> "Message":
        """The inverse."""
        plain, _, data = packed.partition(b"\n")
        return Message(json.loads(plain), data)


def check_group() -> None:
    """ShardlineValueError where this is one process of several, and none of them would know of the others."""
    world = os.environ.get("WORLD_SIZE", "1")
    if world.isdigit() and int(world) > 1 and not (dist.is_available() and dist.is_initialized()):
        raise ShardlineValueError(
            f"WORLD_SIZE={world} says that this is one process of several, but no process group was made yet, so that "
            "all would write the same checkpoints: call torch.distributed.init_process_group() first"
        )


class Coordinator:
    """The conversation of a checkpointer's ranks; with one rank, it decides alone."""

    def __init__(self, group: Any, topic: Any, timeout: float) -> None:
        self.rank, self.ranks, self.group = 0, 1, group
        self._channel: RankChannel | None = None
        if dist.is_available() and dist.is_initialized():
            if dist.get_rank(group) < 0:
                raise ShardlineValueError(
                    "this process is not in process_group: make the Checkpointer on its ranks only"
                )
            members = dist.get_process_group_ranks(group) if group is not None else list(range(dist.get_world_size()))
            self.rank, self.ranks = dist.get_rank(group), len(members)
            if self.ranks > 1:
                self._channel = RankChannel(members, ["checkpoint", topic], timeout)
        self._timeout = timeout
        self._round = 0
        self._beaten = 0.0

    @property
    def leads(self) -> bool:
        """Whether this rank decides, and writes what is the same on all."""
        return self.rank == 0

    def round(self, what: str, message: Message, decide: Callable[[list[Message]], dict[str, Any]]) -> dict[str, Any]:
        """What the first rank's `decide` makes of all messages, in the order of ranks; its error, on every rank.

        `what`: the call that this is, for a person. It must be the same on all ranks: ShardlineRuntimeError says who
        called what else. RankTimeoutError names the ranks that do not come.
        """
        if self._channel is None:
            return decide([message])
        self._round += 1
        key = f"round/{self._round}"
        mine = Message({"what": what, **message.plain}, message.data)
        if not self.leads:
            self._channel.put(f"{key}/{self.rank}", mine.pack())
            return _answer(self._hear(key, what))
        try:
            messages = self._gather(key, mine, what)
            answer = decide(messages)
        except Exception as error:
            # the others must not wait for one that failed, whatever it was
            known = type(error).__name__ if isinstance(error, ShardlineError) else "CheckpointError"
            text = str(error) if isinstance(error, ShardlineError) else f"rank 0 failed: {error!r}"
            self._channel.put(key, json.dumps({"error": known, "text": text}).encode())
            raise
        self._channel.put(key, json.dumps({"answer": answer}).encode())
        return answer

    def _gather(self, key: str, mine: Message, what: str) -> list[Message]:
        channel = self._channel
        assert channel is not None
        keys = {rank: f"{key}/{rank}" for rank in range(1, self.ranks)}
        self._wait(keys.values(), lambda: _late(channel, keys, what, self._timeout), 0.0)
        messages = [mine, *(Message.unpack(channel.get(one)) for one in keys.values())]
        for one in keys.values():
            channel.forget(one)
        calls = {rank: message.plain["what"] for rank, message in enumerate(messages)}
        if len(set(calls.values())) > 1:
            lines = "".join(f"\n  - rank {rank}: {call}" for rank, call in list(calls.items())[:64])
            raise ShardlineRuntimeError(
                f"the ranks do not do the same with their checkpoints:{lines}\n"
                "save(), step() and restore() are to be called on every rank, with the same step"
            )
        return messages

    def beat(self) -> None:
        """The first rank is at work, and the others are to go on waiting. Cheap."""
        if self._channel is not None and self.leads and time.monotonic() - self._beaten > _BEAT:
            self._beaten = time.monotonic()
            self._channel.put("beat", repr(time.time()).encode())

    def _hear(self, key: str, what: str) -> bytes:
        assert self._channel is not None
        self._wait([key], lambda: f"{what}: rank 0 did not come, or ended, within {self._timeout:g} seconds", _GRACE)
        data = self._channel.get(key)
        self._channel.forget_when_read(key)
        return data

    def _wait(self, keys: Iterable[str], missing: Callable[[], str], grace: float) -> None:
        channel, left, nap = self._channel, list(keys), _FIRST_NAP
        assert channel is not None
        begin, logged = time.monotonic(), False
        end, beat = begin + self._timeout + grace, b""
        while left:
            while left and channel.has(left[0]):
                left.pop(0)
            if not left:
                return
            if not logged and time.monotonic() - begin > LOG_WAIT_AFTER:
                logged = True
                log.warning("still waiting after %d s: %s", LOG_WAIT_AFTER, missing())
            if time.monotonic() >= end:
                newest = channel.get("beat") if not self.leads and channel.has("beat") else beat
                if newest == beat:
                    raise RankTimeoutError(missing())
                end, beat = time.monotonic() + self._timeout, newest
            time.sleep(nap)
            nap = min(2 * nap, _LONGEST_NAP)

    # What the first rank announces at the border of a step, without waiting for anyone

    def announce(self, number: int, plain: dict[str, Any]) -> None:
        """The first rank's word at its `number`-th border."""
        if self._channel is not None:
            self._channel.put(f"border/{number}", json.dumps(plain).encode())

    def heed(self, number: int, what: str) -> dict[str, Any]:
        """The same, on another rank."""
        heard: dict[str, Any] = json.loads(self._hear(f"border/{number}", what))
        return heard

    def call_out(self, what: str) -> None:
        """Leaves word for the first rank, from any."""
        if self._channel is not None:
            self._channel.put(f"word/{what}", b"")

    def called_out(self, what: str) -> bool:
        """Whether any rank did."""
        return self._channel is not None and self._channel.has(f"word/{what}")


def _late(channel: RankChannel, keys: dict[int, str], what: str, timeout: float) -> str:
    absent = [str(rank) for rank, key in keys.items() if not channel.has(key)]
    return (
        f"{what}: rank {', '.join(absent[:64])} did not come within {timeout:g} seconds (timeout). save(), step() and "
        "restore() of a Checkpointer are to be called on every rank, not on rank 0 only"
    )


def _answer(data: bytes) -> dict[str, Any]:
    heard = json.loads(data)
    if "error" in heard:
        kind = getattr(errors, heard["error"], errors.CheckpointError)
        raise kind(heard["text"])
    answer: dict[str, Any] = heard["answer"]
    return answer
