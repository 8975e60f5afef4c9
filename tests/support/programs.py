"""Python programs in processes of their own, each a fork of one that has imported torch, and nothing of ours.

To import torch takes seconds, which a fork saves. All else is as when Python is started: a `__main__` of its own, the
arguments, environment, directory and warnings that it is given, and an end of the interpreter as any other.
"""

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LIMIT = 100.0
PRELOADED = ["torch._dynamo", "torch.distributed.run", "torch.utils.data", "pyarrow.csv", "pyarrow.dataset", "tqdm"]
_server: tuple[subprocess.Popen[bytes], socket.socket] | None = None


class Program:
    """A process that was started: what there is of it is as in `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[object], cwd: Any, env: Any, warn: Sequence[str], session: bool) -> None:
        server = _start()
        given = {
            "arguments": [str(one) for one in arguments],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "warn": list(warn),
            "session": session,
        }
        (out, stdout), (error, stderr), (here, there) = os.pipe(), os.pipe(), socket.socketpair()
        body = json.dumps(given).encode()
        socket.send_fds(server, [len(body).to_bytes(8, "little")], [there.fileno(), stdout, stderr])
        server.sendall(body)
        there.close()
        os.close(stdout)
        os.close(stderr)
        self.args, self._said = given["arguments"], here.makefile("r")
        here.close()
        self.pid = int(self._said.readline())
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(error)
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Sends it, unless it is known that the process has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it, and the processes that it has started."""
        for process in descendants(self.pid) if self.returncode is None else []:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def wait(self) -> int:
        """The exit status, once there is one."""
        if self.returncode is None:
            self.returncode = int(self._said.readline())
            self._said.close()
        return self.returncode

    def communicate(self, timeout: float = LIMIT) -> tuple[str, str]:
        """All that it still says until its end. It is killed after so many seconds: an error then."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.kill()

        errors: list[str] = []
        timer = threading.Timer(timeout, kill)
        reader = threading.Thread(target=lambda: errors.append(self.stderr.read()))
        timer.start(), reader.start()
        try:
            out = self.stdout.read()
        except BaseException:  # the test's own time limit is one
            self.kill()
            raise
        finally:
            reader.join()
            self.wait()
            timer.cancel(), timer.join()
            self.stdout.close(), self.stderr.close()
        if late.is_set():
            raise subprocess.TimeoutExpired(self.args, timeout, out, errors[0])
        return out, errors[0]

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if sys.exc_info()[0]:
            self.kill()
        self.wait()
        self.stdout.close(), self.stderr.close()


def start(
    *arguments: object, cwd: Any = None, env: Any = None, warn: Sequence[str] = (), session: bool = False
) -> Program:
    """As `python ARGUMENTS` with pipes for what it says: a script, "-c" and code, or "-m" and a module; and arguments.

    `warn`: what `-W` says. `session`: whether it is a process group of its own.
    """
    return Program(arguments, cwd, env, warn, session)


def run(*arguments: object, timeout: float = LIMIT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, which must come within so many seconds."""
    program = start(*arguments, **options)
    out, error = program.communicate(timeout)
    return subprocess.CompletedProcess(program.args, program.wait(), out, error)


def run_ranks(ranks: int, *arguments: object, env: Any = None, timeout: float = LIMIT) -> list[str]:
    """Runs it on each rank of a job that nobody stops; what each wrote to standard output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, **(env or {}), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    jobs = [start(*arguments, env={**common, "RANK": str(rank)}, warn=["ignore"]) for rank in range(ranks)]
    said = [job.communicate(timeout) for job in jobs]
    assert [job.wait() for job in jobs] == [0] * ranks, said
    return [out for out, _ in said]


def descendants(pid: int) -> list[int]:
    """A process and its children's children (torchrun's workers have sessions of their own), as far as /proc tells."""
    found = [pid]
    with suppress(OSError):  # it just ended
        for tasks in Path("/proc").glob(f"{pid}/task/*/children"):
            for child in tasks.read_text().split():
                found += descendants(int(child))
    return found


def lives(pid: int) -> bool:
    """Whether there is such a process, as far as /proc tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    """Returns once the process has ended; AssertionError after LIMIT seconds."""
    end = time.monotonic() + LIMIT
    while lives(pid):
        assert time.monotonic() < end, "the process goes on"
        time.sleep(0.01)


# The server


def _start() -> socket.socket:
    """Its socket; it ends with this process."""
    global _server
    if _server is not None:
        return _server[1]
    here, there = socket.socketpair()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", __file__, str(there.fileno())]
    no = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, pass_fds=[there.fileno()], stdin=no, stdout=no, start_new_session=True)
    there.close()
    _server = process, here
    atexit.register(_stop, os.getpid())
    return here


def _stop(owner: int) -> None:
    if _server is not None and os.getpid() == owner:  # not in a fork
        _server[0].kill()
        _server[0].wait()
        _server[1].close()


def _serve(asked: socket.socket) -> Callable[[], None]:
    """Forks for every request; in the fork that is to be the program, returns what runs it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the keepers ended
    while True:
        head, fds, _, _ = socket.recv_fds(asked, 8, 3)
        if not head:
            os._exit(0)
        size, body = int.from_bytes(head, "little"), b""
        while len(body) < size:
            body += asked.recv(size - len(body))
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked.close()
            if (run := _keep(json.loads(body), *fds)) is not None:
                return run
        for fd in fds:
            os.close(fd)


def _keep(given: dict[str, Any], said: int, stdout: int, stderr: int) -> Callable[[], None] | None:
    """Waits for the program and says how it ended."""
    child = os.fork()
    if child:
        os.close(stdout), os.close(stderr)
        os.write(said, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(said, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(said)
    os.dup2(stdout, 1), os.dup2(stderr, 2)
    os.close(stdout), os.close(stderr)
    return _become(given)


def _become(given: dict[str, Any]) -> Callable[[], None]:
    """What a start of Python sets up."""
    import multiprocessing.process
    import tempfile
    import warnings

    import numpy as np

    if given["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(given["cwd"])
    os.environ.clear()
    os.environ.update(given["env"])
    multiprocessing.process.ORIGINAL_DIR = given["cwd"]
    tempfile.tempdir = None
    np.random.seed()  # Python's own generator seeds itself anew, and torch's begins the same in every process
    warnings.resetwarnings()
    sys.warnoptions[:] = given["warn"]
    warnings._processoptions(given["warn"])
    main, (what, *more) = types.ModuleType("__main__"), given["arguments"]
    main.__dict__["__builtins__"] = __builtins__
    paths = given["env"].get("PYTHONPATH")
    sys.path[:1] = ["", *(paths.split(os.pathsep) if paths else [])]
    if what == "-m":
        sys.path[0], sys.argv = given["cwd"], more
        return lambda: runpy.run_module(more[0], run_name="__main__", alter_sys=True)
    if what == "-c":
        code, name, first, more = more[0], "<string>", "", more[1:]
        sys.argv = ["-c", *more]
    else:
        code, name, first = Path(what).read_text(), what, str(Path(what).resolve().parent)
        main.__file__ = what
        sys.argv = [what, *more]
    sys.path[0] = first
    sys.modules["__main__"] = main
    compiled = compile(code, name, "exec")
    return lambda: exec(compiled, main.__dict__)


if __name__ == "__main__":
    import importlib

    for _name in PRELOADED:
        importlib.import_module(_name)
    _serve(socket.socket(fileno=int(sys.argv[1])))()
