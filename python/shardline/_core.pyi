"""The Rust core: plans, orders, legs and readers. Internal; the public names are those of `shardline`."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEBUG_BUILD",
    "DEFAULT_BUFFER_BYTES",
    "FILTER_BLOCK_ROWS",
    "ORDER_VERSION",
    "ColumnNotFoundError",
    "FileChangedError",
    "Legs",
    "MixedLegs",
    "MixedReader",
    "Mixture",
    "ObjectStore",
    "Order",
    "Plan",
    "Projection",
    "Reader",
    "Run",
    "Selector",
    "ShardlineError",
    "ShardlineFileNotFoundError",
    "ShardlineOSError",
    "ShardlinePermissionError",
    "ShardlineRuntimeError",
    "ShardlineTypeError",
    "ShardlineValueError",
    "Storage",
    "Upload",
    "__version__",
    "digest",
    "end_calls",
    "schema_metadata",
]

__version__: str
ORDER_VERSION: int
DEFAULT_BUFFER_BYTES: int
DEBUG_BUILD: bool

class ShardlineError(Exception): ...
class ShardlineFileNotFoundError(ShardlineError, FileNotFoundError): ...
class ShardlinePermissionError(ShardlineError, PermissionError): ...
class ShardlineOSError(ShardlineError, OSError): ...
class ShardlineValueError(ShardlineError, ValueError): ...
class ColumnNotFoundError(ShardlineError, KeyError): ...
class ShardlineTypeError(ShardlineError, TypeError): ...
class FileChangedError(ShardlineError, RuntimeError): ...
class ShardlineRuntimeError(ShardlineError, RuntimeError): ...

@final
class Storage:
    """How the store of a URL is read: options by object_store's names or fsspec's, checked. Its repr shows no value."""

    def __new__(
        cls, url: str, pairs: Sequence[tuple[str, str]], keys: Callable[[], dict[str, str]] | None = ...
    ) -> Storage:
        """`pairs`: names and values, those of nested options as "retry.max_retries". `keys`: asked for credentials."""
    def planning(self) -> dict[str, float]:
        """What was asked of the store before an epoch: to plan, to count rows, to learn vocabularies."""
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class ObjectStore:
    """The objects under a URL: what checkpoints are written and read with. Keys are those under it.

    Each call is tried again as reads are, waits without the GIL, and answers signals. A key that is not there is None,
    or no error; OSErrors name the object, and show no secret.
    """

    def __new__(cls, storage: Storage, url: str) -> ObjectStore: ...
    @property
    def url(self) -> str: ...
    def open(self) -> None:
        """Keeps connections until as many `close` as `open`; a fork in between cannot read stores."""
    def close(self) -> None: ...
    def stop_after(self, seconds: float | None) -> None:
        """Every wait ends so many seconds from now, with an error, and nothing is written after it; None: never."""
    def put(self, key: str, data: bytes) -> None: ...
    def create(self, key: str, data: bytes) -> bool | None:
        """Whether it was put; False: another one was there; None: the store has no conditional puts."""
    def get(self, key: str) -> bytes | None: ...
    def read(self, key: str, start: int, end: int, size: int, tag: str) -> bytes:
        """A range of an object that was listed with this size and tag."""
    def list(self, prefix: str) -> list[tuple[str, int, str, str]]:
        """(key, size, tag, time as 2026-01-31T12:00:00Z or ""), in any order."""
    def delete(self, keys: Sequence[str]) -> None: ...
    def abort(self, key: str, id: str) -> None:
        """Ends an upload that was begun, by any process."""
    def upload(self, key: str, journal: str, about: int = ...) -> Upload:
        """An object of about so many bytes; `journal`: the object that names the upload while it is under way."""

@final
class Upload:
    """An object that is being written: in parts, side by side, if it is large."""

    def write(self, data: bytes | memoryview) -> int:
        """Copies all of it; waits while too many parts are under way."""
    def finish(self) -> int:
        """Until it is there; how many parts it had."""
    def cancel(self) -> None:
        """Nothing more of it is sent; who waits for it gets an error at once."""

@final
class Plan:
    """The file table of one listing: what planning keeps of every footer. Frozen, hashable by digest, picklable."""

    @staticmethod
    def build(
        paths: Sequence[str],
        *,
        num_threads: int,
        columns_of_all: bool = ...,
        missing_as_null: bool = ...,
        widen_types: bool = ...,
        storage: Storage | None = ...,
        keep: Callable[[list[str]], list[int]] | None = ...,
        guards_tables: bool = ...,
    ) -> Plan:
        """`columns_of_all`: the columns of all files, not of the first one; `missing_as_null`: a file may lack some;
        `widen_types`: each has the widest type that it has in any file.

        `keep`: asked with the names of all files, in order, which of them are wanted (indices, ascending); no footer of
        another one is read. On a thread of its own. `guards_tables`: files of a Delta or Iceberg table are refused.
        """
    @staticmethod
    def build_table(
        root: str,
        files: Sequence[tuple[str, int]],
        columns: bytes,
        *,
        num_threads: int,
        storage: Storage | None = ...,
    ) -> Plan:
        """The plan of a table's files: (name, bytes), ascending. `columns`: an Arrow IPC stream, whose schema is the
        table's, with what columns are called in files among the fields' metadata."""
    @staticmethod
    def from_bytes(data: bytes) -> Plan: ...
    def to_bytes(self) -> bytes: ...
    def save(self, path: str | PathLike[str]) -> None:
        """Writes the plan to `path`: whole or not at all (a temporary name, fsync, rename)."""
    @staticmethod
    def load(path: str | PathLike[str]) -> Plan:
        """The plan that `save` wrote; ShardlineFileNotFoundError or ShardlineValueError where there is none."""
    def select(self, files: Sequence[int]) -> Plan:
        """The plan of these files only (indices, ascending)."""
    def with_partitions(self, values: bytes) -> Plan:
        """The same with columns of the files' folders: an Arrow IPC stream of a row a file."""
    def with_passing(self, rule: str, counts: Sequence[int]) -> Plan:
        """The same with the rows of each row group counted that pass `rule`."""
    def with_deleted(self, deleted: Sequence[tuple[int, NDArray[np.int64]]]) -> Plan:
        """The same without rows of its files that their table has deleted: (index of the file, positions in it)."""
    @property
    def deleted(self) -> tuple[int, str] | None:
        """(deleted rows, their digest as 32 hex digits); None where no row was deleted."""
    def with_source(self, source: str) -> Plan:
        """The same, of files that are a version of a table: which, as JSON."""
    @property
    def source(self) -> str | None:
        """What `with_source` was given; None for plain files."""
    @property
    def passing(self) -> tuple[str, str] | None:
        """(rule, digest of the counts as 32 hex digits); None where all rows stand on the line."""
    def with_tokens(
        self, rule: str, projection: Projection, tokens: Sequence[int], sequences: Sequence[int] | None = ...
    ) -> Plan:
        """The same whose rows are packed sequences, with the tokens of each row group counted that `rule` names.
        `sequences`: of each bundle, where documents are packed whole."""
    @property
    def uncounted(self) -> tuple[list[int], list[int]] | None:
        """(tokens of each row group, bundles whose sequences are to be counted); None where all are."""
    def with_counted(self, sequences: Sequence[int]) -> Plan:
        """The same, with the sequences of the bundles that were to be counted."""
    @property
    def tokens(self) -> tuple[str, str, int, int] | None:
        """(rule, digest of the counts as 32 hex digits, tokens of all, sequences of all); None where rows are rows."""
    @property
    def partition_schema(self) -> Any:
        """The folders' columns, as an object with `__arrow_c_schema__`; None where there are none."""
    @property
    def root(self) -> str: ...
    @property
    def num_files(self) -> int: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def num_row_groups(self) -> int: ...
    @property
    def num_bytes(self) -> int:
        """Uncompressed, all columns."""
    def with_absent(self, absent: Sequence[tuple[str, str, list[int], list[int], list[int]]]) -> Plan:
        """The plan with files that cannot be read: name, hash, and each row group's rows, bytes and rows that pass."""
    @property
    def group_counts(self) -> list[int]:
        """How many row groups each file has."""
    @property
    def group_rows(self) -> list[int]:
        """The rows of each row group, over all files."""
    @property
    def group_bytes(self) -> list[int]:
        """The bytes of each row group: uncompressed, all columns."""
    @property
    def passing_rows(self) -> list[int]:
        """The rows of each row group that stand on the line: that pass the filter and the sample, and are not deleted."""
    @property
    def split_rows(self) -> list[int]:
        """What splits count of each row group: its rows, or the packed sequences that begin in it."""
    @property
    def decoded_bytes(self) -> list[int]:
        """The bytes of each row group once decoded, of all columns whatever is read: from footers, see docs/design.md."""
    @property
    def digest(self) -> str:
        """Over names, rows and footer hashes, in order; 32 hex digits; the root is not in it."""
    def vocabulary(self, column: str, num_threads: int, storage: Storage | None = ..., replace: bool = ...) -> Any:
        """The distinct values of a column over all files, in the order in which they first come, without null: all of it is
        read. An object with `__arrow_c_array__` (a struct array of one column)."""
    @property
    def schema(self) -> Any:
        """The first file's Arrow schema, as an object with `__arrow_c_schema__`."""
    def files(self) -> list[tuple[str, int, str]]:
        """Of every file in the line's order: its name (relative to the root), its rows, its footer's hash (16 hex digits)."""
    def __reduce__(self) -> tuple[Any, ...]: ...

_Node = tuple[str, Any, str]
"""(kind, number of the part, dtype): kind is "dense", "jagged", "ragged", "padded", "text", "objects" or "arrow"; or
("dict", [(key, role, node), …], "")."""

@final
class Projection:
    """The columns to deliver, checked: unknown and repeated names, options that do not fit, nulls that a footer shows."""

    def __new__(
        cls,
        plan: Plan,
        columns: Sequence[str] | None,
        *,
        tensors: bool,
        default: dict[str, Any],
        specs: dict[str, dict[str, Any]],
        groups: Sequence[tuple[str, Sequence[str], bool]],
        row_id: bool = ...,
    ) -> Projection:
        """`tensors`: torch and numpy output. `default`, `specs` (by column or dotted path): what `core_spec` makes.
        `groups`: (key, columns, whether they make a matrix). `row_id`: each row's file and number there, too."""
    @staticmethod
    def packed(
        plan: Plan,
        column: str,
        *,
        seq_len: int,
        bos: int | None,
        eos: int | None,
        labels: str | None,
        extra_token: bool,
        fit: str | None,
        by_reading: bool,
        align: int,
        along: Sequence[str],
        meta: Sequence[str],
        prompt_length: str | None,
        length: str | None,
    ) -> Projection:
        """The sequences that a column's lists are packed into. `labels`: "next", "input" or None. `fit`: what becomes of
        long documents, "split", "truncate", "drop" or "error"; None to lay documents end to end. `by_reading`: whether
        tokens are counted by reading the lists, whatever footers say. The others are as `shardline.Pack` has them."""
    def count_tokens(
        self,
        plan: Plan,
        groups: Sequence[int],
        *,
        num_threads: int,
        selector: Selector | None = ...,
        storage: Storage | None = ...,
        progress: Callable[[int], object] | None = ...,
    ) -> list[int]:
        """The tokens of these row groups. `progress`: told how many row groups are done, every now and then."""
    def num_bundles(self, plan: Plan, tokens: Sequence[int]) -> int:
        """How many bundles there are of row groups of so many tokens."""
    def count_sequences(
        self,
        plan: Plan,
        tokens: Sequence[int],
        bundles: Sequence[int],
        *,
        num_threads: int,
        selector: Selector | None = ...,
        storage: Storage | None = ...,
        progress: Callable[[int], object] | None = ...,
    ) -> list[int]:
        """The sequences that the documents of these bundles fill. `progress`: told how many bundles are done."""
    def origins(
        self,
        plan: Plan,
        slices: Sequence[tuple[int, int, int, int]],
        *,
        draw: tuple[int, int] | None = ...,
        selector: Selector | None = ...,
        storage: Storage | None = ...,
    ) -> list[list[tuple[int, int, int, int, int]]]:
        """`draw`: the seed and the epoch, where documents are shuffled. Of each sequence of (file, row group, first, end), its pieces: (file, row group, row, first token, end token)."""
    @property
    def names(self) -> list[str]:
        """The keys of a batch."""
    @property
    def layout(self) -> list[tuple[str, str, list[str], _Node]]:
        """Of each key: its name, its role ("value", "mask", "item_mask", "length"), the columns it is made of, what it is."""
    @property
    def unlearned(self) -> list[str]:
        """The paths whose codes need a vocabulary before anything is read."""
    def teach(self, path: str, values: Any) -> None:
        """Gives codes the values that they stand for: an object with `__arrow_c_array__`."""
    @property
    def schema(self) -> Any:
        """The columns that are read, as an object with `__arrow_c_schema__`."""

@final
class Order:
    """A plan's rows under resolved shuffle settings: what every epoch's line is made of. Frozen."""

    @staticmethod
    def resolve(
        plan: Plan,
        *,
        num_shards: int,
        strands: int | None,
        buffer_bytes: int,
        buffer_rows: int | None,
        split_bytes: int,
        split_rows: int | None,
    ) -> tuple[int, int]:
        """(k, T) under shuffle: see docs/order.md. `strands`: None for the default. `buffer_rows`, where given, is used
        instead of `buffer_bytes`; 0 permutes splits only."""
    def __new__(
        cls,
        plan: Plan,
        *,
        seed: int,
        shuffle: bool,
        strands: int,
        windows: int,
        split_bytes: int,
        split_rows: int | None,
    ) -> Order:
        """`seed`: 0 ≤ seed < 2**64. `strands`, `windows`: as resolved; 1 and 0 without shuffle."""
    @property
    def num_rows(self) -> int: ...
    @property
    def num_groups(self) -> int:
        """Row groups that have rows on the line."""
    @property
    def strands(self) -> int:
        """The strands that are read side by side: the strata that have rows."""
    def positions_of(self, epoch: int, files: Sequence[int]) -> list[tuple[int, int]]:
        """The positions of these files' rows on the epoch's line, ascending. Takes time in proportion to the line."""
    def rows(self, epoch: int, intervals: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
        """The rows at these positions of the epoch's line: (file, row group of that file, first row, end row), in the line's order."""

_Program = tuple[Sequence[str], Sequence[tuple[str, Sequence[int], Sequence[int | float | bytes], bool | None]]]
"""The columns by name; and the steps in postfix: name, columns, values, flag."""

@final
class Selector:
    """Tells which rows of a plan's row groups pass. Frozen."""

    def __new__(
        cls,
        plan: Plan,
        *,
        sample: tuple[float, float, int] | None = ...,
        subset: tuple[list[str], float, float, int] | None = ...,
        filter: _Program | None = ...,
        evaluate: Callable[[Any], Any] | None = ...,
        storage: Storage | None = ...,
    ) -> Selector:
        """`sample`: (low, high, seed). `subset`: (key, low, high, seed). ColumnNotFoundError or ShardlineTypeError for a filter that the columns do not fit.

        `evaluate`: of the filter's columns (with `__arrow_c_array__`), a bool array: for a filter with an "unknown" step.
        """
    @staticmethod
    def may_pass(filter: _Program, low: bytes, high: bytes) -> list[bool]:
        """Of every row of two Arrow IPC streams: whether the filter may be true where its columns are between these.

        Both are null where the column is; the lower alone, where nothing is known but that it is not null.
        """
    def count(
        self,
        plan: Plan,
        groups: Sequence[int],
        *,
        num_threads: int,
        progress: Callable[[int], object] | None = ...,
    ) -> list[int]:
        """How many rows of these row groups pass. `progress`: told how many row groups are done, every now and then."""
    def resolve(self, plan: Plan, slices: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
        """Of (file, row group, first, end) counted among rows that pass: the same counted among all rows."""

def end_calls(patience: float) -> None:
    """The core's threads call into Python no more; waits for those that do, `patience` seconds at most."""

FILTER_BLOCK_ROWS: int
"""The rows that a filter's evaluator gets at most; few enough that pyarrow computes them as one batch."""

def digest(batch: Any) -> tuple[int, int, int]:
    """The number of a record batch's rows, and the low and the high half of their digest."""

def schema_metadata(message: bytes) -> list[tuple[str, str]]:
    """The key-value pairs of the schema in an Arrow IPC message, in their order, those that repeat too."""

_Leg = tuple[int, int, bool, int, list[tuple[int, int]]]
"""num_shards, batch_size, drop_last, batches delivered (the cursor G, skipped ones counted in), skipped ranges of batches."""

@final
class Legs:
    """The legs of one epoch, and all arithmetic on them. Frozen: every change returns another."""

    def __new__(cls, num_rows: int, legs: Sequence[_Leg]) -> Legs:
        """Raises ShardlineValueError where a leg is not possible (a cursor past its end, zero shards…)."""
    @staticmethod
    def start(num_rows: int, num_shards: int, batch_size: int, drop_last: bool) -> Legs:
        """A fresh epoch. Raises ShardlineValueError where it would have no step."""
    @property
    def legs(self) -> list[_Leg]: ...
    @property
    def num_batches(self) -> int:
        """Batches of the last leg, over all ranks."""
    @property
    def delivered(self) -> int:
        """The last leg's cursor G."""
    @property
    def delivered_before(self) -> int:
        """The sum of the cursors of the legs before the last."""
    @property
    def is_complete(self) -> bool:
        """Whether the last leg was delivered to its length: the epoch is over."""
    def at(self, delivered: int) -> Legs:
        """The same, with the last leg's cursor at another batch."""
    def at_total(self, delivered: int) -> Legs:
        """The epoch as of its `delivered`-th batch, counted over all legs: later legs are cut off."""
    def skip_to(self, delivered: int) -> Legs:
        """The same, with the batches up to there marked as skipped."""
    def resume(
        self, num_ranks: int, run_shards: int, *, num_shards: int | None, batch_size: int | None, drop_last: bool | None
    ) -> tuple[Legs, str]:
        """What a run of `num_ranks` does from here, by the rule of docs/design.md: goes on in the last leg, begins a new one, or has
        nothing left to cut. None = not asked to be another. `run_shards` is the V of the run. The string is one of "goes on", "new leg", "over"."""
    def batch(self, g: int) -> list[tuple[int, int]]:
        """The positions of the last leg's batch g, as intervals of the line."""
    def batches_within(self, positions: Sequence[tuple[int, int]]) -> int:
        """How many batches of the last leg, from the cursor on, have positions of these intervals only."""
    def left_over(self) -> list[tuple[int, int]]:
        """The positions that are neither delivered nor skipped."""
    def left_out(self) -> list[tuple[int, int]]:
        """The positions that this epoch never delivers: skipped, and, once it is complete, those left over."""

@final
class Run:
    """Some batches in a row of one shard, cut from one chunk of decoded memory."""

    @property
    def sizes(self) -> list[int]:
        """Rows of each batch."""
    def dlpack(self, part: int) -> list[Any]:
        """Capsules ("dltensor_versioned"): dense: [values (n, d…)]; jagged and ragged: [values, offsets], where the offsets
        of each batch begin at 0 and stand end to end (n_i + 1 of each); padded: one of each batch (n_i, d_i…)."""
    def value_sizes(self, part: int) -> list[int]:
        """jagged and ragged: the values of each batch."""
    def segments(self, part: int, seq_len: int) -> list[tuple[Any, int, int]]:
        """Of each batch of packed sequences: a capsule of cu_seqlens, the longest segment, and the places before the padding
        at sequences' ends."""
    def segment_numbers(self, part: int, slots: int, seq_len: int) -> list[Any]:
        """Of each batch of packed sequences: a capsule of a number a segment, 0 of padding. `slots`: the part of cu_seqlens."""
    def sources(self) -> Any:
        """Of a mixture: a capsule of the number of every row's source, int16."""
    def text(self, part: int) -> list[list[Any]]:
        """Of each batch: its str or bytes, None where there is a null."""
    def objects(self, part: int) -> Any:
        """All rows of one part, as an object with `__arrow_c_array__` (a struct array of one column)."""
    def arrow(self) -> Any:
        """All rows of the run, as an object with `__arrow_c_array__` (a struct array, for `pyarrow.record_batch`)."""

@final
class Reader:
    """Reads one rank's batches of one epoch, from the last leg's cursor to its end. Owns its threads."""

    def __new__(
        cls,
        order: Order,
        projection: Projection,
        epoch: int,
        legs: Legs,
        *,
        rank: int,
        num_ranks: int,
        num_threads: int,
        prefetch_bytes: int,
        storage: Storage | None = ...,
        selector: Selector | None = ...,
        left_out: Sequence[int] = ...,
    ) -> Reader:
        """`left_out`: the files, by index, whose rows are left out of their batches."""
    def next_run(self, slot: int) -> Run | None:
        """The next run of the `slot`-th shard of this rank (0 ≤ slot < num_shards); None once that shard is delivered.
        Batch n of this rank comes from slot n mod num_shards: keep a queue a slot, and ask when the queue whose turn it is is empty.
        Releases the GIL; KeyboardInterrupt within 100 ms."""
    @property
    def num_shards(self) -> int:
        """m: how many shards this rank takes batches from in turn."""
    def metrics(self) -> dict[str, float]: ...
    def close(self) -> None:
        """Stops the threads and frees the memory; idempotent."""

@final
class Mixture:
    """A mixture as numbers: sources by number, weights by row of the job, and when it ends."""

    def __new__(
        cls,
        names: Sequence[str],
        rows: Sequence[int],
        caps: Sequence[int | None],
        schedule: Sequence[tuple[int, Sequence[int]]],
        *,
        end: int | None,
        stop: str | None,
    ) -> Mixture:
        """`rows`: of an epoch of each source; `caps`: rows that it delivers at the most. `schedule`: weights of all from a
        row of the job on, ascending from 0. `end`: a row of the job; `stop`: "first", "all" or None."""
    @staticmethod
    def source_seed(seed: int, epoch: int, name: str) -> int:
        """The seed of a source's lines in an epoch of the mixture."""

@final
class MixedLegs:
    """The legs of a mixture's epoch: as `Legs`. Positions are of each source's lines, end to end. Frozen."""

    def __new__(cls, mixture: Mixture, num_ranks: int, legs: Sequence[_Leg]) -> MixedLegs:
        """Raises ShardlineValueError where a leg is not possible."""
    @staticmethod
    def start(mixture: Mixture, num_ranks: int, num_shards: int, batch_size: int, drop_last: bool) -> MixedLegs:
        """A fresh epoch. Raises ShardlineValueError where it would have no step."""
    @property
    def legs(self) -> list[_Leg]: ...
    @property
    def num_batches(self) -> int:
        """Batches of the last leg, over all ranks: as many as give every rank the same number."""
    @property
    def delivered(self) -> int: ...
    @property
    def delivered_before(self) -> int: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def is_endless(self) -> bool:
        """Whether nothing ends the mixture."""
    def at(self, delivered: int) -> MixedLegs: ...
    def at_total(self, delivered: int) -> MixedLegs: ...
    def skip_to(self, delivered: int) -> MixedLegs: ...
    def resume(
        self, num_ranks: int, run_shards: int, *, num_shards: int | None, batch_size: int | None, drop_last: bool | None
    ) -> tuple[MixedLegs, str]:
        """As `Legs.resume`; `num_ranks` must be that of these legs."""
    def left_over(self) -> list[tuple[int, int]]:
        """Nothing: what is left of a source's rounds comes in later legs."""
    def left_out(self) -> list[tuple[int, int]]:
        """Nothing: a mixture has no line of its own."""
    def batch(self, g: int) -> list[list[tuple[int, int]]]:
        """Of each source, the positions of the last leg's batch g: position p is row p mod N of epoch p div N."""
    def taken(self, total: int) -> list[int]:
        """The rows of each source in the epoch's first `total` batches."""
    def row_of(self, total: int) -> int:
        """The row of the job that the epoch's batch number `total` begins with."""

@final
class MixedReader:
    """Reads one rank's batches of a mixture, from the last leg's cursor to its end. Owns its threads."""

    def __new__(
        cls,
        sources: Sequence[tuple[Order, int, Projection, Selector | None, Storage | None]],
        legs: MixedLegs,
        *,
        seed: int,
        epoch: int,
        rank: int,
        num_ranks: int,
        num_threads: int,
        prefetch_bytes: int,
    ) -> MixedReader:
        """`sources`: of each, its order, the seed of its lines, its columns, filter and store."""
    def next_run(self, slot: int) -> Run | None:
        """As `Reader.next_run`."""
    @property
    def num_shards(self) -> int: ...
    def metrics(self) -> dict[str, float]: ...
    def close(self) -> None: ...
