"""Mixtures in plain Python, row by row: nothing here is taken from shardline's own code.

A source's epochs end to end have positions without an end: position p is row p mod N of epoch p div N. Lanes are lists
of positions that are filled round by round; each row of a lane is of the source whose count the chain raises.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import xxhash

from support.spec import M64, key, permutation

Row = tuple[int, int]
"""A source's number, and a position."""


def chain(weights: Sequence[int], names: Sequence[str], rows: int) -> list[int]:
    """How many of a lane's first rows are of each source: docs/order.md, "Mixtures"."""
    counts, left, rest = [0] * len(weights), rows, sum(weights)
    for i in sorted(range(len(weights)), key=lambda i: (-weights[i], names[i])):
        after = 0 if rest == weights[i] else (2 * left * (rest - weights[i]) + rest) // (2 * rest)
        counts[i], left, rest = left - after, after, rest - weights[i]
        if rest == 0:
            break
    return counts


def whole(weights: Sequence[float]) -> list[int]:
    """Weights in integers."""
    exact = [Fraction(str(weight)) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact))
    return [int(weight * scale) for weight in exact]


def source_seed(seed: int, epoch: int, name: str) -> int:
    """The seed of a source's lines."""
    digest = int.from_bytes(xxhash.xxh3_128_digest(name.encode()), "big")
    return key("mixture source", seed, epoch, digest & M64, digest >> 64) & M64


class Model:
    """An epoch of a mixture, leg by leg."""

    def __init__(self, names, sizes, weights, *, caps=None, stop=None, end=None, seed=0, epoch=0):
        """`weights`: (row of the job, weights by source), ascending. `caps`: rows, or None, a source."""
        self.names, self.sizes, self.weights = list(names), list(sizes), [(row, whole(w)) for row, w in weights]
        self.caps, self.stop, self.end = caps or [None] * len(self.names), stop, end
        self.seed, self.epoch = seed, epoch
        self.rest: list[list[int]] = [[] for _ in self.names]
        self.base = [0] * len(self.names)
        self.taken = [0] * len(self.names)
        self.job_rows = self.batches = 0

    def begin(self, lanes, batch_size, drop_last=False):
        """A leg: what earlier legs left over is cut into the lanes, and then rounds follow."""
        self.V, self.B, self.rounds = lanes, batch_size, [0] * len(self.names)
        self.lanes = [
            [rest[v * len(rest) // lanes : (v + 1) * len(rest) // lanes] for v in range(lanes)] for rest in self.rest
        ]
        self.used = [[0] * lanes for _ in self.names]
        self.plan: list[int] = []  # the source of each row of a lane
        self._count = [0] * len(self.names)
        self._piece = (0, list(self._count), [])
        self.over = False
        goals = [
            cap if cap is not None else (size if self.stop else None)
            for cap, size in zip(self.caps, self.sizes, strict=False)
        ]
        self._goals = [None if g is None else self._lane_rows(i, g - self.taken[i]) for i, g in enumerate(goals)]
        steps, self.delivered = 0, 0
        limit = None if self.end is None else max(0, self.end - self.job_rows) // batch_size
        while not self.over and (limit is None or steps * lanes < limit) and steps < 400:
            self._step(steps)
            steps += 1
        rows = len(self.plan)
        if self.over:
            steps = rows // batch_size if drop_last else -(-rows // batch_size)
        self.total = steps * lanes if limit is None else min(limit, steps * lanes)
        return self.total

    def _lane_rows(self, i, left):
        left, rest = max(0, left), len(self.rest[i])
        return left // self.V if left <= rest else rest // self.V + (left - rest) // self.V

    def _step(self, step):
        """Plans a step's rows of a lane, as long as there are some."""
        job_row = self.job_rows + step * self.V * self.B
        entry = [weights for row, weights in self.weights if row <= job_row][-1]
        for _ in range(self.B):
            done = [g is not None and c >= g for g, c in zip(self._goals, self._count, strict=False)]
            weights = [0 if cap is not None and d else w for cap, d, w in zip(self.caps, done, entry, strict=False)]
            if not any(weights) or (self.stop == "first" and any(done)) or (self.stop == "all" and all(done)):
                self.over = True
                return
            begin, before, of_piece = self._piece
            # A piece begins where weights are others, or where a source is done, or where the schedule has an entry.
            state = (weights, entry, done)
            if state != of_piece or (step and len(self.plan) == step * self.B and self._enters(step)):
                begin, before, of_piece = self._piece = len(self.plan), list(self._count), state
            now = chain(weights, self.names, len(self.plan) + 1 - begin)
            (source,) = [i for i, n in enumerate(now) if before[i] + n > self._count[i]]
            self._count[source] += 1
            self.plan.append(source)

    def _enters(self, step):
        job_row, size = self.job_rows + step * self.V * self.B, self.V * self.B
        return any(job_row - size < row <= job_row for row, _ in self.weights)

    def _row(self, source, lane, number):
        """The position of a lane's row of a source."""
        while len(self.lanes[source][lane]) <= number:
            rows = -(-self.V // self.sizes[source]) * self.sizes[source]
            r = self.rounds[source]
            start = self.base[source] + r * rows
            for v in range(self.V):
                piece = (v + r) % self.V
                self.lanes[source][v] += range(start + piece * rows // self.V, start + (piece + 1) * rows // self.V)
            self.rounds[source] += 1
        return self.lanes[source][lane][number]

    def deliver(self, batches):
        """The leg's next batches: each its rows, in order."""
        made = []
        for g in range(self.delivered, self.delivered + batches):
            step, lane = divmod(g, self.V)
            rows: list[Row] = []
            for source in sorted(self.plan[step * self.B : (step + 1) * self.B]):
                rows.append((source, self._row(source, lane, self.used[source][lane])))
                self.used[source][lane] += 1
                self.taken[source] += 1
            order = permutation(key("mixture batch", self.seed, self.epoch, self.batches), len(rows))
            made.append([rows[place] for place in order])
            self.batches += 1
        self.delivered += batches
        return made

    def stop_leg(self):
        """The leg ends here: what is left of the rounds that were begun is kept."""
        for i in range(len(self.names)):
            rows = -(-self.V // self.sizes[i]) * self.sizes[i]
            # Rounds of which no row was taken were not begun.
            used = [p for v in range(self.V) for p in self.lanes[i][v][: self.used[i][v]] if p >= self.base[i]]
            end = max(((p - self.base[i]) // rows + 1 for p in used), default=0) * rows + self.base[i]
            for v in range(self.V):  # all lanes have the rounds that any has
                while self.rounds[i] * rows + self.base[i] < end:
                    self._row(i, v, len(self.lanes[i][v]))
            left = [p for v in range(self.V) for p in self.lanes[i][v][self.used[i][v] :] if p < end]
            self.rest[i], self.base[i] = sorted(left), end
        self.job_rows += sum(len(self.plan[g // self.V * self.B :][: self.B]) for g in range(self.delivered))
