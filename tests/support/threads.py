"""The threads of this process that are shardline's own."""

import time
from contextlib import suppress
from pathlib import Path


def threads():
    """How many there are."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it just ended
            names.append((task / "comm").read_text())
    return sum(name.startswith("shardline") for name in names)


def settled(count, within=30.0):
    """How many there are once they are `count`, or after so long: one that was joined is listed a moment longer."""
    end = time.monotonic() + within
    while threads() != count and time.monotonic() < end:
        time.sleep(0.01)
    return threads()
