"""The processes of a verification: each is started anew, and ends with this one."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from shardline.errors import ShardlineRuntimeError
from shardline.options.function import pickled
from shardline.verification.job import Job, Outcome

_SAID = 4000
"""Characters of what a process said that are shown where it came to nothing."""
_NAP = 0.02


class Processes:
    """Runs jobs, each in a new process; `with` ends those that still run."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="shardline-verify-")
        self._running: list[Any] = []
        self._count = 0

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            _end(process)
        self._folder.cleanup()

    @property
    def started(self) -> int:
        """How many there were so far."""
        return self._count

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """All at the same time; what came of each.

        Raises:
            ShardlineRuntimeError: A process died, or took longer than the time limit.
            ShardlineTypeError: The arguments cannot be sent to a new process.
        """
        running = [self._start(job) for job in jobs]
        deadline = time.monotonic() + self._timeout
        for process, _, said in running:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise ShardlineRuntimeError(
                        f"a process was not done after {self._timeout:,.0f} s: give fewer batches (batches=), or more "
                        f"time (timeout=). It said:\n{_tail(said)}"
                    )
                time.sleep(_NAP)
        self._running.clear()
        return [self._outcome(*each) for each in running]

    def _start(self, job: Job) -> tuple[Any, Path, Path]:
        self._count += 1
        given, made, said = (Path(self._folder.name, f"{self._count}.{what}") for what in ("job", "outcome", "said"))
        body = pickled("what is verified", job)
        given.write_bytes(pickle.dumps([each or str(Path.cwd()) for each in sys.path]) + body)
        environ = dict(os.environ)
        if job.num_ranks > 1:
            names = {"RANK": job.rank, "LOCAL_RANK": job.rank, "WORLD_SIZE": job.num_ranks}
            environ |= {name: str(value) for name, value in names.items()}
        process = start(["-m", "shardline.verification.child", str(given), str(made)], environ, said)
        self._running.append(process)
        return process, made, said

    def _outcome(self, process: Any, made: Path, said: Path) -> Outcome:
        process.stdin.close()
        code = process.wait()
        if code or not made.exists():
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise ShardlineRuntimeError(f"a process of the verification {how}. It said:\n{_tail(said)}")
        outcome: Outcome = pickle.loads(made.read_bytes())
        return outcome


def start(arguments: Sequence[str], environ: dict[str, str], said: Path) -> Any:
    """A new Python, in a session of its own: Ctrl-C is this process's to answer. It writes to the file `said`."""
    with said.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end(process: Any) -> None:
    """And the workers that it has started, which are of its group; it has one once it is up."""
    for end in (os.killpg, os.kill) if process.poll() is None else ():
        with suppress(ProcessLookupError, PermissionError):
            end(process.pid, signal.SIGKILL)
    process.stdin.close()
    process.wait()


def _tail(said: Path) -> str:
    return said.read_text(errors="replace")[-_SAID:].strip() or "nothing"
