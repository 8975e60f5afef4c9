"""How many cores this process may use."""

import os
from pathlib import Path


def usable_cores() -> int:
    """The cores that this process may use: its affinity, cut by its cgroup's CPU quota, rounded up."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, cores if quota is None else min(cores, -int(-quota // 1)))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The tightest CPU quota, in cores, of this process's cgroup and those above it; None without one."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        folder = base / path.lstrip("/")
        for place in (folder, *(p for p in folder.parents if p == base or base in p.parents)):
            try:
                if controllers:
                    quota = float((place / "cpu.cfs_quota_us").read_text())
                    period = float((place / "cpu.cfs_period_us").read_text())
                else:
                    first, second = (place / "cpu.max").read_text().split()
                    quota, period = (-1.0 if first == "max" else float(first)), float(second)
            except (OSError, ValueError):
                continue
            if quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)
