"""`DataLoader`: torch's, with shardline's dataset in it, its state, and an iterator without torch's detours."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Unpack, cast

import torch
import torch.utils.data
from torch.utils.data._utils import pin_memory as _pinning

from shardline.arguments import DatasetOptions
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.iteration.iterator import Finish
from shardline.iteration.report import EpochReport
from shardline.mixture.dataset import MixtureDataset
from shardline.mixture.mixture import Mixture
from shardline.mixture.view import MixtureView
from shardline.options import validate
from shardline.options.validate import Paths
from shardline.reading.transform import Functions
from shardline.signature import check_names, documented
from shardline.workers.launch import WorkerSettings
from shardline.workers.pool import WorkerPool

log = logging.getLogger("shardline")


class EpochSampler(torch.utils.data.Sampler[None]):
    """A loader's sampler, as frameworks use it: `set_epoch` passes their count on. It chooses nothing."""

    def __init__(self, dataset: StructuredDataset) -> None:
        self._dataset = dataset

    def set_epoch(self, epoch: int) -> None:
        """The framework's epoch `epoch` is about to begin."""
        self._dataset.follow_epoch(epoch)

    def __iter__(self) -> Iterator[None]:
        """None for ever, as torch's sampler of an IterableDataset."""
        return repeat(None)


class _NotGiven:
    """The default of `batch_size`, so that None is told from nothing at all."""

    def __repr__(self) -> str:
        return "1024"


_NOT_GIVEN: Any = _NotGiven()


@documented(DatasetOptions)
class DataLoader(torch.utils.data.DataLoader[Any]):
    """A loader of Parquet files: `DataLoader(path, batch_size=…, shuffle=True, …)`.

    Keywords that are not listed are torch's, with torch's meaning; `sampler` and `batch_sampler` raise.

    Args:
        dataset: A path (a file, directory, glob, or a list of these), a `Mixture` of several, or a
            `StructuredDataset`, which then has its own arguments.
        batch_size: Rows of a batch, 1024 by default.
        shuffle: Whether rows come in a random order. False by default.
        num_workers: The processes that run `transform` and `collate_fn`. Decoding runs in threads of this process.
        collate_fn: A function of one batch in `output_format`, never of a list of samples.
        drop_last: Whether every batch has exactly `batch_size` rows. False by default.
        show_progress: Whether rank 0 shows progress bars, by tqdm.
    {arguments}

    Raises:
        ShardlineError: As `StructuredDataset` does.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": pa.array(range(10), pa.int64())}), path)
    >>> loader = DataLoader(path, batch_size=4)
    >>> len(loader), [len(batch["x"]) for batch in loader]
    (3, [4, 4, 2])
    """

    dataset: StructuredDataset
    progress_seconds: float | None = None
    """The seconds between two updates of a progress bar; None: tqdm's own."""

    # Accelerate's marks of a loader that it need not rebuild: `prepare` leaves it as it is, and saves its state.
    _is_accelerate_prepared = True
    use_stateful_dataloader = True

    def __init__(
        self,
        dataset: Paths | StructuredDataset | Mixture | None = None,
        batch_size: int = _NOT_GIVEN,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool | None = None,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: torch.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        show_progress: bool = False,
        **options: Unpack[DatasetOptions],
    ) -> None:
        if sampler is not None or batch_sampler is not None:
            name = "sampler" if sampler is not None else "batch_sampler"
            raise ShardlineValueError(
                f"{name}= is not taken: the order is shuffle=, shuffle_seed= and shuffle_buffer_size=, a distributed "
                "sampler is rank= and num_ranks=, and batches are batch_size= and drop_last="
            )
        if generator is not None:
            raise ShardlineValueError(
                "generator= is not taken, for the order and random transforms depend on shuffle_seed=, the epoch and "
                "the batch only: give shuffle_seed=generator.initial_seed()"
            )
        if batch_size is None:
            if not isinstance(dataset, StructuredDataset):
                raise ShardlineTypeError(
                    "batch_size=None: batches come ready from shardline, never as single rows. Give the number of rows "
                    "of a batch, or leave batch_size out (1024)"
                )
            batch_size = _NOT_GIVEN  # torch's way to say that the dataset makes the batches, as this one does
        check_names("DataLoader", options, DatasetOptions, inspect.signature(DataLoader).parameters)
        num_workers = validate.check_int("num_workers", num_workers, 0, 2**16)
        validate.check_function("collate_fn", collate_fn)
        validate.check_progress("show_progress", show_progress)
        given: dict[str, Any] = {"shuffle": shuffle, "drop_last": drop_last}
        if batch_size is not _NOT_GIVEN:
            given["batch_size"] = batch_size
        chosen = {name: value for name, value in given.items() if value is not None}
        if isinstance(dataset, Mixture):
            dataset = MixtureDataset(dataset, show_progress=show_progress, **cast(Any, chosen), **options)
        elif not isinstance(dataset, StructuredDataset):
            dataset = StructuredDataset(dataset, show_progress=show_progress, **cast(Any, chosen), **options)
        elif chosen or options:
            raise ShardlineTypeError(
                f"{', '.join([*chosen, *options])}: a StructuredDataset has its own; give them to it, or a path here"
            )
        self._collate = collate_fn
        self._pool: WorkerPool | None = None
        self.dataset = dataset  # for what torch asks of this class while it sets up
        super().__init__(
            dataset,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )
        self._show_progress = show_progress

    @property
    def batch_size(self) -> int:
        """Rows of a batch, as asked; torch is told None, for batches come ready."""
        return self.dataset.batch_size

    @batch_size.setter
    def batch_size(self, value: object) -> None:
        """torch's constructor sets its None."""

    @property
    def drop_last(self) -> bool:
        """Whether every batch has exactly batch_size rows."""
        return self.dataset.drop_last

    @drop_last.setter
    def drop_last(self, value: object) -> None:
        """torch's constructor sets its False."""

    @property
    def sampler(self) -> "EpochSampler":
        """What a framework that sets the epoch of a loader's sampler finds: `dataset.follow_epoch`."""
        return EpochSampler(self.dataset)

    @sampler.setter
    def sampler(self, value: object) -> None:
        """torch's constructor sets one that yields None for ever, as is its way with an IterableDataset."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """As `StructuredDataset`'s; nothing is drawn from a global random generator."""
        bar = self._bar if self._show_progress and self.dataset.rank == 0 else None
        pin = cast(Finish, _pinning.pin_memory) if self.pin_memory and torch.accelerator.is_available() else None
        return self.dataset.iterate(self._collate, pin, bar, self._start_workers if self.num_workers else None)

    def _start_workers(self, functions: Functions) -> tuple[WorkerPool, bool]:
        """The worker processes: new ones, or those that persist."""
        if self._pool is None or self._pool.broken:
            # A store is read by threads of this process, which a fork would not survive.
            method = "forkserver" if self.dataset.is_remote else None
            context = self.multiprocessing_context or torch.multiprocessing.get_context(method)
            depth = self.prefetch_factor or 2
            settings = WorkerSettings(self.num_workers, context, depth, self.timeout, self.worker_init_fn)
            pool = WorkerPool(settings, functions, self.dataset.seed)
            if not self.persistent_workers:
                return pool, False
            self._pool = pool
        return self._pool, True

    def check_worker_number_rationality(self) -> None:
        """torch's warning of more workers than cores, where there is something for workers to do."""
        if self.dataset.has_transform or self._collate is not None:
            super().check_worker_number_rationality()
        elif self.num_workers:
            log.warning(
                "num_workers=%d: no process is started, for without transform or collate_fn they would have nothing to "
                "do; num_threads=%d threads of this process decode",
                self.num_workers,
                self.dataset.num_threads,
            )

    def _bar(self, done: int, steps: int) -> Any:
        from tqdm.auto import tqdm

        each = self.progress_seconds
        every: dict[str, Any] = {} if each is None else {"mininterval": each, "maxinterval": each}
        return tqdm(total=steps, initial=done, desc=f"epoch {self.epoch}", unit="batch", **every)

    def __len__(self) -> int:
        """This rank's batches in a whole epoch."""
        return len(self.dataset)

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy, which has no processes yet."""
        return {**self.__dict__, "_pool": None}

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r})"

    @property
    def epoch(self) -> int:
        """As the dataset's: the epoch in hand; once its end was seen, the next."""
        return self.dataset.epoch

    @property
    def batch_index(self) -> int:
        """As the dataset's: the index of this rank's next batch in `epoch`."""
        return self.dataset.batch_index

    @property
    def remaining(self) -> int:
        """As the dataset's: this rank's batches to the end of `epoch`."""
        return self.dataset.remaining

    def set_epoch(self, epoch: int) -> None:
        """As the dataset's: begins `epoch` at its start, or keeps the place that a state or a seek has set in it."""
        self.dataset.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """As the dataset's: the job's state as of the last batch delivered."""
        return self.dataset.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = False, *, leave_out: Sequence[str] = ()) -> None:
        """As the dataset's: takes the state's place at the next iter(), or raises and changes nothing."""
        self.dataset.load_state_dict(state, strict, leave_out=leave_out)

    def leave_out(self, files: Sequence[str]) -> None:
        """As the dataset's: continues without some files, whose rows are left out of their batches."""
        self.dataset.leave_out(files)

    def state_at(self, step: int, epoch: int | None = None) -> dict[str, Any]:
        """As the dataset's: the state as of any step."""
        return self.dataset.state_at(step, epoch)

    def seek(self, step: int) -> None:
        """As the dataset's: moves forward to `step`, at the next iter()."""
        self.dataset.seek(step)

    def left_out(self) -> list[tuple[int, int]]:
        """As the dataset's: the positions that this epoch never delivers."""
        return self.dataset.left_out()

    @property
    def mixture(self) -> MixtureView:
        """The sources of a mixture by number, and what was taken of each; see docs/how-to/mixture.md.

        Raises:
            ShardlineTypeError: The loader reads one data set.
        """
        return self._mixed().mixture

    def set_weights(
        self, weights: Mapping[str, float] | None = None, /, *, at: int | None = None, **named: float
    ) -> None:
        """Sets weights of a mixture's sources from a batch of the job on: on every rank, with the same arguments.

        No rank talks to another. What was delivered stays as it is, states hold the weights, and what the schedule says
        of later batches is dropped. Batches that were read ahead are read anew.

        Args:
            weights: By name, for names that are no keywords. Sources that are not named keep theirs; only ratios count.
            at: The first batch with them, counted over all ranks; the next one by default. Where it stands within a
                step of the shards, the step keeps its weights.
            named: More weights.

        Raises:
            ShardlineTypeError: The loader reads one data set, or a weight is no number.
            ShardlineValueError: A name is not known, no weight is left, or the batch was delivered.
        """
        self._mixed().set_weights(weights, at=at, **named)

    def _mixed(self) -> MixtureDataset:
        if not isinstance(self.dataset, MixtureDataset):
            raise ShardlineTypeError(
                "this loader reads one data set, and no mixture: give a shardline.Mixture({name: Source(…), …})"
            )
        return self.dataset

    def get_metrics(self) -> dict[str, float]:
        """As the dataset's: the newest iterator's counters."""
        return self.dataset.get_metrics()

    def report(self) -> EpochReport:
        """Where the time of the newest epoch's loop went: training, transform, decoding, making tensors.

        A line of it is logged at INFO (logger `shardline`) when an epoch ends. See docs/bottleneck.md.

        Returns:
            The figures so far, with a `verdict`; `print` shows them as a table.

        >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
        >>> pq.write_table(pa.table({"x": range(1000)}), path)
        >>> loader = DataLoader(path, batch_size=100)
        >>> for batch in loader:
        ...     pass
        >>> loader.report().batches
        10
        """
        return self.dataset.report()
