"""The shuffle settings of a run: resolved once when it begins, kept by its states, held until it ends."""

from dataclasses import asdict, dataclass
from typing import Any

from shardline._core import DEFAULT_BUFFER_BYTES, ORDER_VERSION, Order, Plan
from shardline.settings import Settings

DEFAULT_SPLIT_BYTES = 128 << 20


@dataclass(frozen=True)
class Shuffle:
    """What defines the order of a plan's rows, beside the seed."""

    shuffle: bool
    strands: int
    """k: the strata that the rows are cut into; 1 where rows are not shuffled, or all of them as one window."""
    windows: int
    """T: the windows of an epoch; 0 where rows are not shuffled, 1 where all of them are as one."""
    split_bytes: int
    split_rows: int | None
    asked_strands: int | None
    """The settings that `strands` and `windows` were resolved from; None for the default number of strands."""
    buffer_bytes: int | None
    buffer_rows: int | None
    """Exactly one of these two is set under shuffle."""

    @staticmethod
    def resolve(plan: Plan, settings: Settings, num_shards: int, run: "Shuffle | None" = None) -> "Shuffle":
        """Resolves the settings against a plan and the number of shards at the run's start.

        Args:
            plan: The files, and how many of their rows pass.
            settings: Where they say nothing, those of `run` hold, or else the defaults.
            num_shards: The run's.
            run: The settings of the run that goes on over other files.

        Returns:
            The numbers that the states of the run keep.
        """
        split_bytes = settings.split_bytes or (run.split_bytes if run else DEFAULT_SPLIT_BYTES)
        split_rows = settings.split_rows or (run.split_rows if run else None)
        if not settings.shuffle:
            return Shuffle(False, 1, 0, split_bytes, split_rows, None, None, None)
        asked = settings.shuffle_strands or (run.asked_strands if run else None)
        in_bytes, in_rows = settings.shuffle_buffer_bytes, settings.shuffle_buffer_size
        if in_bytes is None and in_rows is None:
            in_bytes, in_rows = (run.buffer_bytes, run.buffer_rows) if run else (DEFAULT_BUFFER_BYTES, None)
        strands, windows = Order.resolve(
            plan,
            num_shards=num_shards,
            strands=asked,
            buffer_bytes=in_bytes or DEFAULT_BUFFER_BYTES,
            buffer_rows=in_rows,
            split_bytes=split_bytes,
            split_rows=split_rows,
        )
        return Shuffle(True, strands, windows, split_bytes, split_rows, asked, in_bytes, in_rows)

    def order(self, plan: Plan, seed: int) -> Order:
        """The order of a plan's rows.

        Raises:
            ShardlineValueError: The numbers cannot be those of this plan.
        """
        return Order(
            plan,
            seed=seed,
            shuffle=self.shuffle,
            strands=self.strands,
            windows=self.windows,
            split_bytes=self.split_bytes,
            split_rows=self.split_rows,
        )

    def entry(self, seed: int) -> dict[str, Any]:
        """The order as a state holds it."""
        return {"version": ORDER_VERSION, "seed": seed, **asdict(self)}

    def describe(self, seed: int, num_rows: int | None = None) -> str:
        """The order in words, for a person."""
        if not self.shuffle:
            return f"not shuffled (seed {seed})"
        if self.windows == 1:
            return f"shuffled uniformly with seed {seed} (1 strand, 1 window)"
        splits = f"splits of at most {self.split_bytes:,} bytes"
        if self.split_rows is not None:
            splits += f" or {self.split_rows:,} rows"
        if self.windows == 0:
            return f"shuffled by splits with seed {seed} ({splits})"
        rows = "" if num_rows is None else f" of {num_rows // self.windows:,} rows"
        return f"shuffled with seed {seed} ({self.strands:,} strands, {self.windows:,} windows{rows}; {splits})"
