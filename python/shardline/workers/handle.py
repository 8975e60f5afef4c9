"""One worker process as its caller sees it: the process, the channel, and the blocks that go to and fro."""

import os
import pickle
import signal
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

from shardline.errors import ShardlineRuntimeError, ShardlineTypeError
from shardline.reading.transform import Functions, key_of
from shardline.workers.channel import Channel
from shardline.workers.process import DONE, work
from shardline.workers.shared_memory import BatchLayout, BatchPacker, Bytes, SharedBlock, new_memory, round_up, unpack

_SPARE = 2  # free blocks beyond the requests under way
_MAX_FORGET = 256  # blocks that one message gives up
_ENDING = 1.0  # seconds that a process which closed its channel has to end

Heard = tuple[tuple[Any, ...], list[int]]
"""An answer as it came: the message, and the descriptors that came with it."""


@dataclass(frozen=True)
class WorkerSettings:
    """How the processes are made: torch's arguments of the same names."""

    number: int
    context: Any
    prefetch_factor: int
    timeout: float
    init: Callable[[int], None] | None


class WorkerHandle:
    """One worker as the caller sees it: its process, the channel, the blocks that go to and fro."""

    def __init__(
        self, number: int, settings: WorkerSettings, functions: Functions, seed: int, earlier: "list[WorkerHandle]"
    ) -> None:
        self.channel, theirs = Channel.pair()
        self.method = settings.context.get_start_method()
        inherited = [self.channel, *(worker.channel for worker in earlier)] if self.method == "fork" else []
        key = key_of(seed, 0, number, "worker")
        self.process = settings.context.Process(
            target=work,
            args=(theirs, number, settings.number, functions, settings.init, key, inherited),
            name=f"shardline-worker-{number}",
            daemon=True,
        )
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.channel.close()
            raise _unpicklable(functions, settings.init, self.method, error) from error
        finally:
            theirs.close()
        self.name = f"shardline worker {number} (pid {self.process.pid})"
        self._waiting: deque[tuple[str, int, SharedBlock]] = deque()  # name, number, block of each batch
        self._free: deque[SharedBlock] = deque()
        self._out: dict[int, weakref.ref[Bytes]] = {}
        self._forget: list[int] = []
        self._sent = 0
        self._made = 0
        self._want = 0
        self._layout_in: BatchLayout | None = None
        self._layout_out: BatchLayout | None = None

    @property
    def at(self) -> str:
        """What it works on."""
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
        return self.channel.receive(wait)

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
                pickle.loads(rest[0]).reraise()
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
        self.process.join(_ENDING)
        code = self.process.exitcode
        if code is None:
            return "it closed its channel"
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory, perhaps: see the kernel's log)" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}"
        hint = ""
        if self.method != "fork" and not self._made:
            hint = "; under spawn and forkserver a script's loop must stand under `if __name__ == '__main__':`"
        return f"it exited with code {code}, and what it printed stands above{hint}"


def _unpicklable(
    functions: Functions, init: Callable[[int], None] | None, method: str, error: Exception
) -> ShardlineTypeError:
    """Names the function that cannot be sent."""
    named = "transform, collate_fn or worker_init_fn"
    for name, function in (*functions._asdict().items(), ("worker_init_fn", init)):
        try:
            ForkingPickler.dumps(function)
        except Exception:
            named = f"{name} ({function!r})"
            break
    return ShardlineTypeError(
        f"{named} cannot be sent to a worker process started by {method!r}: {error}. Define it at the top level of a "
        "module (not as a lambda or inside a function), or give multiprocessing_context='fork'"
    )
