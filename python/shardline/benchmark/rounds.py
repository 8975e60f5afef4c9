"""The rounds: every reader takes its turn in each, and each round begins with another reader."""

import time
from collections.abc import Callable
from dataclasses import replace

from shardline.benchmark.client import Server
from shardline.benchmark.readers import ASKED, Reader
from shardline.benchmark.result import LEAST, Measured
from shardline.benchmark.turn import Failed
from shardline.errors import ShardlineRuntimeError

MOST = 5
_LONG = 0.6
"""Seconds of a turn from which on there are more rounds instead of longer turns."""
_SHORT = 0.02


def take_turns(
    readers: list[Reader], deadline: float, server: Server, progress: Callable[[int, int], None]
) -> tuple[dict[str, Measured], int, float]:
    """Measures until the deadline.

    Returns:
        (what was measured by the readers' keys, the rounds that were complete, the seconds of the shortest turn).

    Raises:
        ShardlineRuntimeError: What was asked for cannot be measured.
    """
    found = {reader.key: Measured.of(reader) for reader in readers}
    able = [reader for reader in readers if reader.turn is not None]
    rounds = MOST if (deadline - time.monotonic()) / (MOST * len(able)) >= _LONG else LEAST
    shortest, complete, beside = float("inf"), 0, 0.0
    for number in range(rounds):
        begin = number * len(able) // rounds
        for place, reader in enumerate([*able[begin:], *able[:begin]]):
            left = (rounds - number) * len(able) - place
            # What forking and the first batches took so far will be taken again.
            seconds = max(_SHORT, (deadline - time.monotonic()) / left - beside)
            if complete and time.monotonic() + seconds > deadline + _LONG:
                return found, complete, shortest
            shortest = min(shortest, seconds)
            assert reader.turn is not None
            began = time.monotonic()
            result = server.run(replace(reader.turn, seconds=seconds), 2 * seconds + 10)
            if isinstance(result, Failed) and reader.key == ASKED:
                raise ShardlineRuntimeError(f"a loader with these arguments failed: {result.why}")
            found[reader.key].add(number, result)
            beside = (3 * beside + max(0.0, time.monotonic() - began - seconds)) / 4
            progress(number * len(able) + place + 1, rounds * len(able))
        complete = number + 1
    return found, complete, shortest
