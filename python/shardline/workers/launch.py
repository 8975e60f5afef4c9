"""How a worker process is started, under each start method, and what is raised where it cannot be."""

import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

from shardline.errors import ShardlineFileNotFoundError, ShardlineOSError, ShardlineRuntimeError
from shardline.reading.transform import Functions
from shardline.workers.channel import Channel
from shardline.workers.last_words import LastWords
from shardline.workers.process import work
from shardline.workers.sendable import Sent, check_found_again, unsendable
from shardline.workers.signals import Mask, blocked

_SERVER_STARTS = 10.0  # seconds in which a fork server that was ended is started again
GUARD = (
    "under spawn, and under forkserver (the default over object stores), a script's loop must stand under "
    "`if __name__ == '__main__':`"
)
_WORDS = 5.0  # seconds that a process which takes no more has to say why


@dataclass(frozen=True)
class WorkerSettings:
    """How the processes are made: torch's arguments of the same names."""

    number: int
    context: Any
    prefetch_factor: int
    timeout: float
    init: Callable[[int], None] | None


class Launched(NamedTuple):
    """A process that was started, the caller's end of its channel, and what it says if it does not come up."""

    process: Any
    channel: Channel
    words: LastWords


class Launch(NamedTuple):
    """What one worker process is started with. `others`: the channels that a fork would inherit."""

    number: int
    settings: WorkerSettings
    functions: Functions
    key: bytes
    others: list[Channel]
    signals: Mask

    def start(self) -> Launched:
        """Starts the process, so that it outlives the job's signals from its beginning.

        It inherits a mask that holds them back until it ignores them. A fork server's children inherit that server's,
        and the server may have children of others too, who count on its mask: `WorkerHandle.restart` makes up for it.
        """
        method = self.settings.context.get_start_method()
        if method != "fork":
            check_found_again(self.functions, self.settings.init, method)
            _check_directory(method)
            with blocked(self.signals):  # started under it, the tracker outlives these signals too
                resource_tracker.ensure_running()
        if method != "forkserver":
            return self._once(method)
        deadline, nap = time.monotonic() + _SERVER_STARTS, 0.001
        while True:
            try:
                return self._once(method)
            except (ConnectionError, FileNotFoundError, EOFError):
                # The server was ended, by a signal of the job most likely. Once it is gone, a new one is started.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(nap)
                nap = min(2 * nap, 0.1)

    def _once(self, method: str) -> Launched:
        settings, fork = self.settings, method == "fork"
        try:
            words = LastWords(fork=fork)
            channel, theirs = Channel.pair()
        except OSError as error:
            raise self._failed(error) from error
        try:
            with blocked(() if method == "forkserver" else self.signals) as mask:
                process = settings.context.Process(
                    target=work,
                    args=(
                        *(theirs, self.number, settings.number, Sent(self.functions, settings.init), self.key),
                        *([channel, *self.others] if fork else [], self.signals),
                        None if method == "forkserver" else mask,
                    ),
                    name=words.name(f"shardline-worker-{self.number}"),
                    daemon=True,
                )
                process.start()
        except BaseException as error:
            channel.close()
            said = _wait_for(words) if isinstance(error, BrokenPipeError) else ""
            words.close()
            if said:
                raise ShardlineRuntimeError(f"shardline worker {self.number} could not start: {why(said)}") from None
            if isinstance(error, (pickle.PicklingError, AttributeError, TypeError)):
                raise unsendable(self.functions, settings.init, method, error) from error
            raise self._failed(error) from error
        finally:
            theirs.close()
        return Launched(process, channel, words)

    def _failed(self, error: BaseException) -> BaseException:
        """What to raise; the error itself where it is the fork server's end, or nothing that can be explained."""
        if isinstance(error, AssertionError) and "daemonic" in str(error):
            return ShardlineRuntimeError(
                "worker processes cannot be started in a daemonic process, such as a worker of torch's DataLoader or "
                "of multiprocessing.Pool: give num_workers=0 there"
            )
        if isinstance(error, OSError) and not isinstance(error, (ConnectionError, FileNotFoundError)):
            return ShardlineOSError(
                error.errno,
                f"shardline worker {self.number} of {self.settings.number} could not be started: {error.strerror}. "
                "Give fewer num_workers, or raise the limits on processes, open files and memory (`ulimit -a`)",
            )
        return error


def _check_directory(method: str) -> None:
    """A new process begins in this one's directory."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ShardlineFileNotFoundError(
            f"the working directory was removed, and worker processes started by {method!r} begin in it: call "
            "os.chdir() to another first, or give multiprocessing_context='fork'"
        ) from None


def why(said: str) -> str:
    """The traceback of a process that did not come up, and what to do about it."""
    return (
        "a new process imports the program's main module before it works, and raised\n\n"
        f"{said}\n\n"
        f"Mend that: {GUARD}. Or give multiprocessing_context='fork'"
    )


def _wait_for(words: LastWords) -> str:
    """What a process says that read no further: it may be about to."""
    deadline = time.monotonic() + _WORDS
    while not (said := words.read()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return said


def how_it_ended(code: int) -> str:
    """Of an exit code."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, perhaps: see the kernel's log)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"it exited with code {code}"
