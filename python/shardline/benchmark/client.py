"""The process that makes turns, as the one sees it that asked for it."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from shardline.benchmark.server import receive, send
from shardline.benchmark.turn import Failed, Result, Turn
from shardline.errors import ShardlineRuntimeError
from shardline.options.function import pickled

_SAID = 4000


class Server:
    """`with Server() as server`: started, and ended with all that it has started."""

    def __enter__(self) -> "Server":
        self._said: Any = tempfile.TemporaryFile()
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "shardline.benchmark.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is this process's to answer
        )
        try:
            self._ask([each or str(Path.cwd()) for each in sys.path])
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        process.stdin.close()  # its end; it ends the turn in hand with it
        try:
            process.wait(0.5 if error else 5)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        self._said.close()

    def run(self, turn: Turn, limit: float) -> Result | Failed:
        """A turn's result; `limit`: the seconds after which it is given up.

        Raises:
            ShardlineTypeError: The arguments cannot be sent to another process.
        """
        body = pickled("what is measured", turn)
        found: Result | Failed = self._ask((body, limit))
        return found

    def _ask(self, message: Any) -> Any:
        try:
            send(self._process.stdin.fileno(), message)
            found = receive(self._process.stdout.fileno())
        except BrokenPipeError:
            found = None
        if found is None:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")[-_SAID:].strip()
            raise ShardlineRuntimeError(f"the process that measures died. It said:\n{said or 'nothing'}")
        return found
