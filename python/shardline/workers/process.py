"""What a worker process does: takes a batch out of its block, runs the functions, packs what they return.

The rows come ready; nothing here reads a file, and nothing touches the reader of a parent that was forked.
"""

import os
import pickle
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import parent_process
from typing import Any

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data._utils import worker as torch_worker

from shardline.errors import RowError, ShardlineRuntimeError
from shardline.reading.transform import Functions, seed_generators
from shardline.workers.channel import MAX_MESSAGE, Channel
from shardline.workers.sendable import CannotLoad, Sent
from shardline.workers.shared_memory import BatchLayout, BatchPacker, SharedBlock, new_memory, round_up, unpack
from shardline.workers.signals import Mask, ignore

READY = ("ready",)
"""The first message of a worker: from now on no signal that is meant for the job ends it.

In its stead, (the name of a function that could not be loaded, the traceback).
"""
DONE, FAILED = 0, 1
_NO_DATASET: Any = None  # it stays in the caller


def work(
    channel: Channel,
    number: int,
    count: int,
    sent: Sent,
    key: bytes,
    inherited: Sequence[Channel],
    signals: Mask,
    mask: Mask | None,
) -> None:
    """The process. `key` seeds it for `init`; `inherited`: what a fork brought along that is others'.

    `signals`: the caller's, which ends this process if it wants to. `mask`: see `signals.ignore`.
    """
    ignore(signals, mask)
    for other in inherited:
        other.close()
    try:
        functions, init = sent.load()
    except CannotLoad as error:
        which, text = error.args
        with suppress(OSError):
            channel.send((which, text[-MAX_MESSAGE // 4 :]))
        return
    with suppress(OSError):
        channel.send(READY)
    threading.Thread(target=_follow_trainer, daemon=True).start()
    torch.set_num_threads(1)
    seed_generators(key)
    seed = int.from_bytes(key[:7], "little")
    torch_worker._worker_info = torch_worker.WorkerInfo(id=number, num_workers=count, seed=seed, dataset=_NO_DATASET)
    failure = None
    try:
        if init is not None:
            init(number)
    except Exception:
        failure = _wrap(f"in worker_init_fn of {_name(number)}")
    with suppress(
        EOFError, BrokenPipeError, ConnectionResetError
    ):  # the caller is gone, or has no more use for this process
        _Worker(channel, number, functions, failure).run()


def _follow_trainer() -> None:
    """Ends this process when the one that trains ended in a way that leaves no time to say so.

    A fork server, the parent of what it starts, may end before. Elsewhere the parent is the process that trains; there
    its sentinel would not do, for whatever it forks holds that open.
    """
    trainer = parent_process()
    assert trainer is not None
    forked_by_server = os.getppid() != trainer.pid
    while trainer.is_alive() if forked_by_server else os.getppid() == trainer.pid:
        time.sleep(1)
    os._exit(1)


class _Worker:
    def __init__(self, channel: Channel, number: int, functions: Functions, failure: bytes | None) -> None:
        self._channel = channel
        self._number = number
        self._functions = functions
        self._failure = failure
        self._blocks: dict[int, SharedBlock] = {}
        self._made = 0
        self._layout_in: BatchLayout | None = None
        self._layout_out: BatchLayout | None = None

    def run(self) -> None:
        """Answers every request, in order, until there are no more."""
        while True:
            message, handles = self._channel.receive()
            if not message:
                return
            sequence, run, batch, key, number, size, layout, used, forget = message
            for old in forget:
                self._blocks.pop(old, None)
            try:
                if size:
                    self._map(number, handles, size)
                block = self._blocks[number]
                if layout is not None:
                    self._layout_in = pickle.loads(block.read(layout))
                answer, handle = self._answer(block, key, used)
            except Exception:
                failure = _wrap(f"in {_name(self._number)}, on {batch}")
                answer, handle = (FAILED, failure), None
            self._channel.send((sequence, run, *answer), handle)
            if handle is not None:
                os.close(handle)

    def _map(self, number: int, handles: list[int], size: int) -> None:
        if not handles:
            raise ShardlineRuntimeError("no descriptor of shared memory came: too many open files (see `ulimit -n`)")
        try:
            self._blocks[number] = SharedBlock(number, handles[0], size)
        finally:
            os.close(handles[0])

    def _answer(self, block: SharedBlock, key: bytes, used: int) -> tuple[tuple[Any, ...], int | None]:
        """(status, block, its size if new, the layout's place if new, whether the old block is left), a descriptor."""
        if self._failure is not None:
            return (FAILED, self._failure), None
        assert self._layout_in is not None
        lease, alive = block.lease()
        batch = unpack(self._layout_in, lease)
        del lease
        seed_generators(key)
        result = self._functions(batch)
        del batch
        parcel = BatchPacker(result)
        if alive() is None:  # the result has nothing of the block, and the functions kept nothing of it
            used = 0
        layout, end = parcel.place(used, block)
        blob = self._blob(layout)
        if end + len(blob) > block.size:
            layout, end = parcel.place(0)
            old, (block, handle) = block, self._new(end + len(blob) + 256)
            parcel.copy(block, layout)
            blob = self._blob(layout)
            del parcel, result
            kept = alive() is not None
            if kept:
                self._blocks.pop(old.number)
        else:
            parcel.copy(block, layout, block)
            del parcel, result
            handle, kept = None, alive() is not None
            if kept:  # the functions still have views of the block: the caller gets a copy, and the block is theirs
                old, (block, handle) = block, self._new(block.size)
                block.memory[: old.size] = old.memory
                self._blocks.pop(old.number)
        place = None
        if blob:
            place = block.write(end, blob)
            self._layout_out = layout
        return (DONE, block.number, block.size if handle is not None else 0, place, kept), handle

    def _blob(self, layout: BatchLayout) -> bytes:
        return b"" if layout == self._layout_out else pickle.dumps(layout, protocol=5)

    def _new(self, size: int) -> tuple[SharedBlock, int]:
        """A block of this side's making; the caller's numbers are positive."""
        self._made += 1
        size = round_up(size)
        handle = new_memory(size)
        block = SharedBlock(-self._made, handle, size)
        self._blocks[block.number] = block
        return block, handle


def _name(number: int) -> str:
    return f"shardline worker {number} (pid {os.getpid()})"


def _wrap(where: str) -> bytes:
    """The exception in hand, so that it can be raised again in the caller."""
    kind, error, _ = sys.exc_info()
    wrapped: Any = ExceptionWrapper(where=where)  # type: ignore[no-untyped-call]
    wrapped.exc_msg = wrapped.exc_msg[-MAX_MESSAGE // 2 :]
    wrapped.row = (error.row, error.rows) if isinstance(error, RowError) else None
    try:
        data = pickle.dumps(wrapped)
        pickle.loads(data)
    except Exception:  # its class is local, say
        assert kind is not None
        wrapped.exc_type = next((k for k in kind.__mro__ if k.__module__ == "builtins"), RuntimeError)
        data = pickle.dumps(wrapped)
    del error
    return data
