"""What an epoch is read from: the order of its rows, the columns, and how these become batches."""

from typing import NamedTuple

from shardline._core import Legs, Projection, Reader
from shardline.planning.epoch_order import EpochOrder
from shardline.reading.column_specs import project
from shardline.reading.convert import Convert, converter
from shardline.reading.packed import packed_converter
from shardline.reading.vocabulary import assign
from shardline.settings import Settings


class EpochSource(NamedTuple):
    """All that reading an epoch needs, beside the place in it."""

    order: EpochOrder
    projection: Projection
    convert: Convert

    @staticmethod
    def of(order: EpochOrder, settings: Settings) -> "EpochSource":
        """The source of an order's plan."""
        projection = project(order.plan, settings)
        if settings.pack is not None:
            convert = packed_converter(settings.output_format, settings.pack, projection)
            return EpochSource(order, projection, convert)
        return EpochSource(order, projection, converter(settings.output_format, projection))

    def open_reader(self, epoch: int, legs: Legs, rank: int, num_ranks: int, settings: Settings) -> Reader:
        """The reader of a part of a leg, from the cursor of `legs` on."""
        assign(self.projection, self.order.plan, settings)
        return Reader(
            self.order.core,
            self.projection,
            epoch,
            legs,
            rank=rank,
            num_ranks=num_ranks,
            num_threads=settings.num_threads,
            prefetch_bytes=settings.prefetch_bytes,
            storage=settings.storage,
            selector=self.order.selector,
            left_out=self.order.left_out_files,
        )


class EpochSources(NamedTuple):
    """`current`: of the epoch in hand. `fresh`: of the epochs after it, which may have more files."""

    current: EpochSource
    fresh: EpochSource

    @staticmethod
    def of(current: EpochOrder, fresh: EpochOrder, settings: Settings) -> "EpochSources":
        """The sources of two orders, which may be the same one."""
        source = EpochSource.of(current, settings)
        return EpochSources(source, source if fresh is current else EpochSource.of(fresh, settings))

    def renewed(self) -> "EpochSources":
        """For a new epoch: the fresh source is the current one."""
        return self if self.current is self.fresh else EpochSources(self.fresh, self.fresh)

    def leaving_out(self, current: frozenset[str], fresh: frozenset[str]) -> "EpochSources":
        """The same sources, the current one without exactly these files, and the fresh one without those."""
        source = self.current._replace(order=self.current.order.leaving_out(current))
        if self.fresh is self.current and current == fresh:
            return EpochSources(source, source)
        return EpochSources(source, self.fresh._replace(order=self.fresh.order.leaving_out(fresh)))
