"""One worker process as its caller sees it: the process, the channel, and the blocks that go to and fro."""

import os
import pickle
import signal
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

import torch

from shardline.errors import RowError, ShardlineRuntimeError
from shardline.reading.transform import Functions, key_of
from shardline.workers.channel import Channel
from shardline.workers.launch import GUARD, Launch, WorkerSettings, how_it_ended, why
from shardline.workers.process import DONE, READY
from shardline.workers.sendable import not_loaded
from shardline.workers.shared_memory import BatchLayout, BatchPacker, Bytes, SharedBlock, new_memory, round_up, unpack
from shardline.workers.signals import job_signals

_SPARE = 2  # free blocks beyond the requests under way
_MAX_FORGET = 256  # blocks that one message gives up
_ENDING = 1.0  # seconds that a process which closed its channel has to end
_STARTS = 3  # of one worker, which a signal that comes while it starts may end
_SERVER_GONE = 255  # multiprocessing's exit code where the fork server, which would know it, has ended

Heard = tuple[tuple[Any, ...], list[int]]
"""An answer as it came: the message, and the descriptors that came with it."""


class WorkerHandle:
    """One worker as the caller sees it: its process, the channel, the blocks that go to and fro."""

    def __init__(
        self, number: int, settings: WorkerSettings, functions: Functions, seed: int, earlier: "list[WorkerHandle]"
    ) -> None:
        self.channel: Channel
        self.method = settings.context.get_start_method()
        self.ready = False
        self._number, self._starts = number, 0
        self._signals = job_signals()
        others = [worker.channel for worker in earlier] if self.method == "fork" else []
        key = key_of(seed, 0, number, "worker")
        self._launch = Launch(number, settings, functions, key, others, self._signals)
        self.start()
        self._waiting: deque[tuple[str, int, SharedBlock]] = deque()  # name, number, block of each batch
        self._free: deque[SharedBlock] = deque()
        self._out: dict[int, weakref.ref[Bytes]] = {}
        self._forget: list[int] = []
        self._sent = 0
        self._made = 0
        self._want = 0
        self._layout_in: BatchLayout | None = None
        self._layout_out: BatchLayout | None = None

    def start(self) -> None:
        """Starts the process."""
        self.process, self.channel, self._words = self._launch.start()
        self._starts += 1
        self.name = f"shardline worker {self._number} (pid {self.process.pid})"

    def restart(self) -> bool:
        """Starts the process again where one of the job's signals ended it before it was ready; whether it did."""
        ended = self.process
        ended.join(_ENDING)
        code = ended.exitcode
        if self.ready or self._starts >= _STARTS or code is None:
            return False
        if code != _SERVER_GONE and -code not in self._signals:
            return False
        self.channel.close()
        self._words.close()
        self.start()
        ended.close()
        return True

    def is_alive(self) -> bool:
        """Whether the process lives. Where its fork server has ended, the channel tells."""
        code = self.process.exitcode
        return code is None or (self._lost_server(code) and not self.channel.is_closed())

    def _lost_server(self, code: int) -> bool:
        return self.method == "forkserver" and code == _SERVER_GONE

    def dismiss(self) -> None:
        """Asks the process to end."""
        self._words.close()
        with suppress(OSError):
            self.channel.send(())
        if self.method == "forkserver":
            self.channel.finish()
        else:
            self.channel.close()

    def end(self, deadline: float) -> None:
        """Waits for the process to end; it is killed if it has not by then (of `time.monotonic`)."""
        left, process = max(0.0, deadline - time.monotonic()), self.process
        if self.method == "forkserver":  # whose exit code may be known no more
            if not self.channel.wait_closed(left):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            self.channel.close()
            process.join(_ENDING)
        else:
            process.join(left)
            if process.is_alive():
                process.kill()
                process.join()
        if process.exitcode is not None:
            process.close()

    @property
    def at(self) -> str:
        """What it works on."""
        if not self.ready:
            return "its start"
        return self._waiting[0][0] if self._waiting else "no batch"

    @property
    def pending(self) -> int:
        """Batches that were sent and not yet received, of earlier runs too."""
        return len(self._waiting)

    def send(self, run: int, n: int, name: str, key: bytes, batch: Any) -> None:
        """Hands the n-th batch of a run over, in a block."""
        parcel = BatchPacker(batch)
        layout, end = parcel.place(0)
        blob = b"" if layout == self._layout_out else pickle.dumps(layout, protocol=5)
        block, handle = self._take(end + len(blob))
        try:
            parcel.copy(block, layout)
            place = None
            if blob:
                place = block.write(end, blob)
            forget, self._forget = tuple(self._forget), []
            size = 0 if handle is None else block.size
            self.channel.send((self._sent, run, name, key, block.number, size, place, end, forget), handle)
        finally:
            if handle is not None:
                os.close(handle)
        self._sent += 1
        self._layout_out = layout
        self._waiting.append((name, n, block))

    def hear(self, wait: float) -> Heard:
        """The next answer, to be opened; TimeoutError after `wait` seconds, EOFError where the process is gone."""
        if not self._waiting:
            raise self.lost()
        self.greet(wait)
        return self.channel.receive(wait)

    def greet(self, wait: float) -> None:
        """Takes the first message, which says that the process is ready. Raises as `hear` does, or what it lacks."""
        if not self.ready:
            message, _ = self.channel.receive(wait)
            if message != READY:
                raise not_loaded(self.name, self.method, *message)
            self.ready = True
            self._words.close()

    def lost(self) -> ShardlineRuntimeError:
        """Ctrl-C came between hearing and opening an answer: nothing is skipped in silence."""
        return ShardlineRuntimeError(
            f"an answer of {self.name} was lost when waiting for it was interrupted: call "
            "load_state_dict(state_dict()) and then iter() to go on with the batch after the last one delivered"
        )

    def open(self, heard: Heard, run_now: int) -> tuple[int, int, Any]:
        """(the run, the batch's number in it, the value) of the oldest request.

        Raises what the functions raised, if the run is the present one: nobody waits for those before.
        """
        message, handles = heard
        sequence, run, status, *rest = message
        if sequence != self._sent - len(self._waiting):
            raise self.lost()
        _, n, block = self._waiting.popleft()
        if status != DONE:
            self._forget.append(block.number)  # the functions may have kept views of it
            if run == run_now:
                _raise_again(pickle.loads(rest[0]))
            return run, n, None
        number, size, place, kept = rest
        if size:
            if not handles:
                raise ShardlineRuntimeError(
                    "no descriptor of shared memory came: too many open files (see `ulimit -n`)"
                )
            try:
                answer = SharedBlock(number, handles[0], size)
            finally:
                os.close(handles[0])
            if not kept:
                self._free.append(block)
            self._want = max(self._want, size)
        else:
            answer = block
        if place is not None:
            self._layout_in = pickle.loads(answer.read(place))
        assert self._layout_in is not None
        out, free = self._out, self._free

        def ended(_: Any) -> None:
            free.append(answer)
            out.pop(answer.number, None)

        lease, self._out[answer.number] = answer.lease(ended)
        with torch.inference_mode(False):
            return run, n, unpack(self._layout_in, lease)

    def _take(self, need: int) -> tuple[SharedBlock, int | None]:
        """A free block that is large enough, or a new one and its descriptor."""
        need = self._want = max(self._want, need)
        spare = len(self._waiting) + _SPARE
        while self._free:
            block = self._free.popleft()
            if block.size >= need and len(self._free) <= spare:
                return block, None
            self._forget.append(block.number)
            if len(self._forget) >= _MAX_FORGET:
                break
        self._made += 1
        size = round_up(need)
        handle = new_memory(size)
        return SharedBlock(self._made, handle, size), handle

    def cause(self) -> str:
        """Why the process ended."""
        with suppress(TimeoutError, EOFError, OSError):
            self.greet(0.001)  # it may have come up, and ended before this side looked
        self.process.join(_ENDING)
        code, said = self.process.exitcode, self._words.read()
        if said:
            return why(said)
        if code is None:
            return "it closed its channel"
        if self._lost_server(code):
            return "how is not known, for the fork server that started it has ended too"
        hint = ""
        if code >= 0:
            hint = ", and what it printed stands above"
            if self.method != "fork" and not self.ready:
                hint += f"; {GUARD}"
        return how_it_ended(code) + hint


def _raise_again(failure: Any) -> None:
    """What a worker's functions raised, with the row that it is about."""
    try:
        failure.reraise()
    except RowError as error:
        error.row, error.rows = failure.row or (None, None)
        raise
