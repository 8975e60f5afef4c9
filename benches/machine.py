"""The machine that was measured, in words, and the versions of what ran on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = (
    "shardline",
    "torch",
    "pyarrow",
    "numpy",
    "torch-dataloader-utils",
    "datasets",
    "polars",
    "pylance",
    "torchdata",
    "grain",
)


def machine() -> dict[str, Any]:
    versions = {name: found for name in PACKAGES if (found := version(name))}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    text = f"{processor()}, {cores} cores, {memory:.0f} GiB, {system}"
    return {"text": text, "versions": versions}


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
