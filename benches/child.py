"""Child processes: one measurement each, so that peak memory and CPU time are its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Result = dict[str, Any]


def run(script: str, spec: dict[str, Any], threads: int, timeout: float = 900) -> Result:
    """The result that a script prints for a spec, or {"error": …}."""
    command = [sys.executable, str(HERE / script)]
    text = json.dumps(spec)
    try:
        done = subprocess.run(
            command, input=text, env=environment(threads), check=False, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {timeout:g} s"}
    return last_line(done)


def environment(threads: int) -> dict[str, str]:
    """With the names by which Arrow, polars, lance and torch learn how many threads they may use."""
    names = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "LANCE_CPU_THREADS", "TOKIO_WORKER_THREADS")
    return (
        dict(os.environ)
        | dict.fromkeys(names, str(threads))
        | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "RUST_LOG": "error"}
    )


def last_line(done: subprocess.CompletedProcess[str]) -> Result:
    lines = done.stdout.strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines()
        return {"error": f"exit status {done.returncode}: {said[-1] if said else 'nothing said'}"}
    if "error" in result and os.environ.get("BENCH_VERBOSE"):
        print(done.stderr, file=sys.stderr)
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
