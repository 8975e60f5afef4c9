"""What a process says of its own memory."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")


def begin_peak() -> int:
    """Begins a new peak, where the system can (Linux); the bytes that are resident now."""
    if not _STATUS.exists():
        return peak()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return _field("VmRSS")
    return peak()


def peak() -> int:
    """The most bytes that were resident. Not `ru_maxrss` on Linux: a fork inherits its parent's there."""
    if _STATUS.exists():
        return _field("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
