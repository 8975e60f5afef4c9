"""What an epoch of a mixture is read from: the orders of its sources, and how their rows become batches."""

import hashlib
from collections.abc import Collection
from functools import cached_property
from typing import Any, NamedTuple

import torch

from shardline._core import MixedLegs, MixedReader, Mixture, Plan, Projection, Run
from shardline.errors import ShardlineValueError
from shardline.mixture.opening import SOURCE_KEY, OpenedSource, check_form
from shardline.options.validate import OutputFormat
from shardline.planning.epoch_order import EpochOrder
from shardline.planning.file_table import pack
from shardline.planning.shuffle import DEFAULT_SPLIT_BYTES, Shuffle
from shardline.reading.convert import Batch, Convert
from shardline.reading.epoch_source import EpochSource
from shardline.reading.vocabulary import assign
from shardline.settings import Settings

_from_dlpack: Any = torch.utils.dlpack.from_dlpack


class MixedOrder:
    """The orders of a mixture's sources under one seed. Takes the place of an `EpochOrder`. Frozen."""

    left_out: frozenset[str] = frozenset()
    filter = sample = source = selector = None

    def __init__(
        self, names: tuple[str, ...], orders: list[EpochOrder], shuffle: Shuffle, seed: int, schedule: str
    ) -> None:
        self.source_names = names
        self.orders = orders
        self.shuffle = shuffle
        self.seed = seed
        self.schedule = schedule

    @property
    def plan(self) -> Plan:
        """The first source's."""
        return self.orders[0].plan

    @property
    def num_rows(self) -> int:
        """Rows of one epoch of every source."""
        return sum(order.num_rows for order in self.orders)

    @property
    def entry(self) -> dict[str, Any]:
        """The order as a state holds it: what all sources have in common."""
        return self.shuffle.entry(self.seed)

    @cached_property
    def _files_digest(self) -> str:
        said = [self.source_names, [content_digest(order) for order in self.orders]]
        return hashlib.sha256(repr(said).encode()).hexdigest()[:32]

    @property
    def digest(self) -> str:
        """Equal where sources, files, order and weights are."""
        return f"{self._files_digest} {self.entry} {self.schedule}"

    @cached_property
    def files(self) -> dict[str, Any]:
        """As a state holds it: a digest over all sources, each of which has its own in the mixture's entry."""
        return {"digest": self._files_digest, "count": 0, "rows": 0, "packed": pack([])}

    @cached_property
    def pack(self) -> dict[str, Any] | None:
        """The pack of all sources as a state holds it."""
        packs = [order.pack for order in self.orders]
        first = packs[0]
        if first is None:
            return None
        of_all = [each["counts"] for each in packs if each is not None]
        counts = hashlib.sha256(" ".join(of_all).encode()).hexdigest()[:32]
        return {**first, "sequences": self.num_rows, "counts": counts}

    def describe(self) -> str:
        """The order in words, for a person."""
        how = f"shuffled with seed {self.seed}" if self.shuffle.shuffle else "not shuffled"
        return f"a mixture of {len(self.orders)} sources, {how}"

    def leaving_out(self, files: Collection[str]) -> "MixedOrder":
        """The same: no file of a mixture can be left out.

        Raises:
            ShardlineValueError: One is to be.
        """
        if files:
            raise ShardlineValueError(
                f"leave_out: no file of a mixture can be left out ({min(files)!r}): put it back, or start afresh "
                "without it"
            )
        return self

    def left_out_positions(self, epoch: int) -> list[tuple[int, int]]:
        """None."""
        return []


def content_digest(order: EpochOrder) -> str:
    """Equal where a source's rows are: its files, and which of their rows pass."""
    said = f"{order.plan.digest} {order.filter} {order.sample} {order.source} {order.pack}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def common_shuffle(settings: Settings) -> Shuffle:
    """What the orders of all sources have in common, as asked."""
    return Shuffle(
        settings.shuffle,
        1,
        0,
        settings.split_bytes or DEFAULT_SPLIT_BYTES,
        settings.split_rows,
        settings.shuffle_strands,
        settings.shuffle_buffer_bytes,
        settings.shuffle_buffer_size,
    )


class MixedSource(NamedTuple):
    """All that reading an epoch of a mixture needs. Takes the place of an `EpochSource`."""

    order: MixedOrder
    projection: Projection
    convert: Convert
    sources: list[EpochSource]
    opened: list[OpenedSource]

    @staticmethod
    def of(
        opened: list[OpenedSource], shuffles: list[Shuffle], settings: Settings, seed: int, schedule: str
    ) -> "MixedSource":
        """The sources in their orders.

        Raises:
            ShardlineTypeError: Their batches do not have one form.
        """
        orders = [each.order(shuffle, seed) for each, shuffle in zip(opened, shuffles, strict=True)]
        sources = [EpochSource.of(order, each.settings) for order, each in zip(orders, opened, strict=True)]
        check_form(opened, sources)
        order = MixedOrder(tuple(each.name for each in opened), orders, common_shuffle(settings), seed, schedule)
        convert = mixed_converter(settings.output_format, sources[0].convert)
        return MixedSource(order, sources[0].projection, convert, sources, opened)

    def scheduled(self, schedule: str) -> "MixedSource":
        """The same, with other weights."""
        order = self.order
        return self._replace(order=MixedOrder(order.source_names, order.orders, order.shuffle, order.seed, schedule))

    def open_reader(self, epoch: int, legs: Any, rank: int, num_ranks: int, settings: Settings) -> MixedReader:
        """The reader of a part of a leg."""
        assert isinstance(legs, MixedLegs)
        seeds = [Mixture.source_seed(self.order.seed, epoch, name) for name in self.order.source_names]
        parts = []
        for each, opened, source_seed in zip(self.sources, self.opened, seeds, strict=True):
            assign(each.projection, each.order.plan, opened.settings)
            storage = opened.settings.storage
            parts.append((each.order.core, source_seed, each.projection, each.order.selector, storage))
        return MixedReader(
            parts,
            legs,
            seed=self.order.seed,
            epoch=epoch,
            rank=rank,
            num_ranks=num_ranks,
            num_threads=settings.num_threads,
            prefetch_bytes=settings.prefetch_bytes,
        )


def mixed_converter(output_format: OutputFormat, convert: Convert) -> Convert:
    """The function that turns a run of several sources into its batches."""

    def convert_mixed(run: Run) -> list[Batch]:
        batches, start = convert(run), 0
        numbers = _from_dlpack(run.sources())
        made = []
        for batch, size in zip(batches, run.sizes, strict=True):
            part = numbers[start : start + size].clone()
            start += size
            if output_format == "torch":
                batch[SOURCE_KEY] = part
            elif output_format == "numpy":
                batch[SOURCE_KEY] = part.numpy()
            elif output_format == "dict":
                batch[SOURCE_KEY] = part.tolist()
            else:
                import pyarrow as pa

                batch = batch.append_column(SOURCE_KEY, pa.array(part.numpy()))
            made.append(batch)
        return made

    return convert_mixed
