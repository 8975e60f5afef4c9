"""Where an epoch's time went, and in a sentence what the bottleneck is."""

from collections.abc import Mapping
from dataclasses import dataclass

_WAITED = 0.1
"""A loop that waits for less of its time is not slowed down by its loader."""
_STORE = 0.4
"""Decoding threads that wait for more of their time wait for the store: opening a file is not counted as waiting."""


@dataclass(frozen=True)
class EpochReport:
    """Where the time of the newest epoch's loop went, from its first batch on. Times are in seconds.

    `print` shows it as a table, with a verdict.
    """

    batches: int
    """The batches delivered so far."""
    rows: int
    """The rows of these, at `batch_size` each."""
    decoded_bytes: int
    """The bytes decoded so far, those ahead of the loop among them."""
    seconds: float
    """The whole time of the loop."""
    training_seconds: float
    """What the loop did between its batches."""
    transform_seconds: float
    """Of waiting for a batch: `transform` and `collate_fn`, or the worker processes that run them."""
    decode_seconds: float
    """Of waiting for a batch: the decoding threads."""
    delivery_seconds: float
    """Of waiting for a batch: the rest, which makes tensors of columns, in the loop's own thread."""
    store_share: float
    """Of the decoding threads' time, the share in which they waited for an object store."""
    workers: int
    """Worker processes."""

    @property
    def waited(self) -> float:
        """The share of its time in which the loop waited for batches: 0 to 1."""
        return 1 - self.training_seconds / self.seconds if self.seconds else 0.0

    @property
    def verdict(self) -> str:
        """What limits the speed, and what to do about it."""
        if not self.batches:
            return "nothing was delivered yet"
        if self.waited < _WAITED:
            return f"the training is the bottleneck: it waited for data {self.waited:.0%} of its time"
        parts = {
            "transform": self.transform_seconds,
            "decoding": self.decode_seconds,
            "delivery": self.delivery_seconds,
        }
        worst = max(parts, key=lambda part: parts[part])
        if worst == "transform" and self.workers:
            what, cure = "transform is", f"make it faster, or give more workers (num_workers={self.workers} now)"
        elif worst == "transform":
            what, cure = "transform is", "make it faster, or run it in worker processes (num_workers=2)"
        elif worst == "delivery":
            what, cure = "making tensors is", "read fewer columns, join columns (matrices=), or take larger batches"
        elif self.store_share > _STORE:
            more = "let more requests be made at once (storage_options={'max_requests': …}), read further ahead"
            what, cure = "the store is", f"{more} (prefetch_bytes=), or keep a copy on a disk (cache_dir=)"
        else:
            what, cure = "decoding is", "read fewer columns, or give more threads (num_threads=)"
        share = parts[worst] / self.seconds
        return f"{what} the bottleneck: the loop waited for it {share:.0%} of its time; {cure}"

    @property
    def headline(self) -> str:
        """Batches, time and rates, in a line."""
        seconds = self.seconds or float("inf")
        rates = f"{self.rows / seconds:,.0f} rows/s, {self.decoded_bytes / seconds / 1e6:,.0f} MB/s"
        return f"{self.batches:,} batches in {self.seconds:.1f} s, {rates}"

    def __str__(self) -> str:
        seconds = self.seconds or float("inf")
        lines = [self.headline]
        parts = {
            "training": self.training_seconds,
            "transform": self.transform_seconds,
            "decoding": self.decode_seconds,
            "making tensors": self.delivery_seconds,
        }
        lines += [f"  {name:<16} {value:8.1f} s {value / seconds:5.0%}" for name, value in parts.items()]
        return "\n".join([*lines, self.verdict])


def epoch_report(metrics: Mapping[str, float], batch_size: int) -> EpochReport:
    """The report that an iterator's counters make."""

    def of(name: str) -> float:
        return metrics.get(name, 0.0)

    transform = of("transform_seconds")
    decode = min(of("wait_seconds"), max(0.0, of("next_seconds") - transform))
    return EpochReport(
        batches=int(of("batches")),
        rows=int(of("batches")) * batch_size,
        decoded_bytes=int(of("bytes_decoded")),
        seconds=of("loop_seconds"),
        training_seconds=max(0.0, of("loop_seconds") - of("next_seconds")),
        transform_seconds=transform,
        decode_seconds=decode,
        delivery_seconds=max(0.0, of("next_seconds") - transform - decode),
        store_share=min(1.0, of("store_wait_seconds") / max(1e-9, of("decode_seconds"))),
        workers=int(of("workers")),
    )
