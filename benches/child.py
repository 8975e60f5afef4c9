"""Child processes: one measurement each, so that peak memory and CPU time are its own.

They are forked from a process that has imported torch and pandas, which takes longer than many a measurement.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Result = dict[str, Any]
# pyarrow imports pandas on its first `to_numpy`: 0.3 s that belong to no reader.
PRELOADED = ["torch", "pandas"]


def run(module: str, spec: dict[str, Any], threads: int, timeout: float = 900) -> Result:
    """The result of the task that a spec names, one of `TASKS` of a module, or {"error": …}."""
    os.environ |= environment(threads)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=perform, args=(module, spec, there))
    child.start()
    there.close()
    try:
        found = here.recv() if here.poll(timeout) else {"error": f"no result after {timeout:g} s"}
    except EOFError:
        child.join()
        found = {"error": f"exit status {child.exitcode}"}
    child.kill()
    child.join()
    return dict(found)


def perform(module: str, spec: dict[str, Any], there: Any) -> None:
    """Does a task in this process, and ends it."""
    # Not the parent's way of starting processes, but the system's: readers may have workers.
    multiprocessing.set_start_method(None, force=True)
    if not os.environ.get("BENCH_VERBOSE"):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    try:
        result = importlib.import_module(module).TASKS[spec["task"]](spec)
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    there.send(result)
    # Not an ordinary end: Hugging Face datasets hangs there while one of its iterators is alive.
    os._exit(0)


def environment(threads: int) -> dict[str, str]:
    """With the names by which Arrow, polars, lance and torch learn how many threads they may use."""
    names = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "LANCE_CPU_THREADS", "TOKIO_WORKER_THREADS")
    return (
        dict(os.environ)
        | dict.fromkeys(names, str(threads))
        | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "RUST_LOG": "error"}
    )


def last_line(done: subprocess.CompletedProcess[str]) -> Result:
    """What a program printed as JSON."""
    lines = done.stdout.strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines()
        return {"error": f"exit status {done.returncode}: {said[-1] if said else 'nothing said'}"}
    return dict(result)


def build_pages_only() -> tuple[str | None, str]:
    """The program that measures the pages-only rate: its path, or None and why not."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return None, "cargo is not installed"
    # As `make test` builds: of one package alone, cargo would compile the dependencies with other features once more.
    command = [cargo, "build", "--release", "--locked", "--workspace", "--example", "pages_only"]
    command += ["--message-format=json-render-diagnostics"]
    environ = {"PYO3_PYTHON": sys.executable, **os.environ}
    done = subprocess.run(command, cwd=HERE.parent, env=environ, check=False, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "pages_only":
            return str(message["executable"]), ""
    return None, "it did not compile"


def pages_only(program: str, spec: dict[str, Any], threads: int) -> Result:
    """The rate at which this machine reads and decompresses the data set's pages."""
    command = [program, "--threads", str(threads), "--seconds", str(spec["seconds"])]
    if spec["columns"]:
        command += ["--columns", ",".join(spec["columns"])]
    return last_line(subprocess.run([*command, *spec["paths"]], check=False, capture_output=True, text=True))
