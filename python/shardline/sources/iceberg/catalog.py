"""A table by its name in a catalog, and how its store is read by what the catalog says."""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from shardline.errors import (
    ShardlineError,
    ShardlineFileNotFoundError,
    ShardlineImportError,
    ShardlineOSError,
    ShardlinePermissionError,
    ShardlineTimeoutError,
    ShardlineTypeError,
    ShardlineValueError,
)
from shardline.sources.iceberg.catalog_store import is_vended, vended_keys
from shardline.sources.iceberg.catalog_store import storage_options as options_of
from shardline.sources.iceberg.columns import schema_of
from shardline.sources.iceberg.locations import normalized
from shardline.sources.iceberg.metadata import check_pyiceberg, choose_snapshot, first_line
from shardline.sources.request import TableRequest

if TYPE_CHECKING:
    from pyiceberg.table import Table

SECONDS = 60.0
"""How long a catalog may take to answer: pyiceberg itself waits for ever."""
_PARTS = (2, 3)
_REFUSED = frozenset(("UnauthorizedError", "ForbiddenError", "AuthorizationExpiredError", "OAuthError", "SignError"))
_ABSENT = frozenset(("NoSuchTableError", "NoSuchIcebergTableError", "NoSuchNamespaceError", "NoSuchIdentifierError"))
_T = TypeVar("_T")


@dataclass
class IcebergTable:
    """A table in a catalog: the path of a dataset that reads it.

    >>> IcebergTable.of("cat.db.events", {"type": "sql"}).name
    'db.events'
    """

    name: str
    """Namespace and table."""
    config: Mapping[str, Any] = field(repr=False)
    """As pyiceberg's `load_catalog` takes it."""
    scan_filter: Any = field(default=None, repr=False)
    _loaded: "Table | None" = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(table: Any, config: Any, scan_filter: Any = None) -> "IcebergTable":
        """The table of a name, checked. No catalog is asked.

        Raises:
            ShardlineTypeError: An argument is of the wrong type.
            ShardlineValueError: The name does not have two or three parts.
        """
        if not isinstance(table, str):
            raise ShardlineTypeError(f"table must be text, as in 'db.events', not {table!r}")
        parts = table.split(".")
        if len(parts) not in _PARTS or not all(parts):
            raise ShardlineValueError(
                f"table={table!r} must be the namespace and the table ('db.events'), or these after the catalog's name"
            )
        if config is not None and not isinstance(config, Mapping):
            raise ShardlineTypeError(
                f"catalog_config must be a dict, as pyiceberg's load_catalog takes it, not a {type(config).__name__}"
            )
        return IcebergTable(".".join(parts[-2:]), dict(config or {}), scan_filter)

    def __str__(self) -> str:
        return self.name

    def __getstate__(self) -> dict[str, Any]:
        """Without what was loaded, which is of one moment and process."""
        return {**self.__dict__, "_loaded": None}

    def load(self) -> "Table":
        """The table as it is now.

        Raises:
            ShardlineImportError: pyiceberg, or what it needs for this kind of catalog, is not installed.
            ShardlineTimeoutError: The catalog does not answer.
            ShardlinePermissionError: It refuses.
            ShardlineFileNotFoundError: It has no such table.
            ShardlineOSError: It cannot be reached, or fails.
            ShardlineValueError: It does not understand its configuration.
        """
        check_pyiceberg()
        self._loaded = in_time(self._load, f"the catalog of the Iceberg table {self.name}", SECONDS)
        return self._loaded

    def _load(self) -> "Table":
        from pyiceberg.catalog import load_catalog

        try:
            return load_catalog(**self.config).load_table(self.name)
        except Exception as error:  # of pyiceberg, and of what a catalog is reached by
            _raise(self.name, error)

    def metadata(self) -> Any:
        """The table's metadata: those of the last `load` once, then of a new one."""
        loaded = self._loaded or self.load()
        self._loaded = None
        return loaded.metadata

    def rows(self, request: TableRequest) -> tuple[Any, str] | None:
        """The scan filter over the columns of the snapshot that is asked for; None where there is none.

        Returns:
            A `pyarrow.compute` expression, and what a state says of it.

        Raises:
            ShardlineValueError: It does not fit the table's columns.
        """
        if self.scan_filter is None:
            return None
        from pyiceberg.expressions import parser
        from pyiceberg.expressions.visitors import bind
        from pyiceberg.io.pyarrow import expression_to_pyarrow

        metadata = (self._loaded or self.load()).metadata
        schema = schema_of(metadata, choose_snapshot(metadata, self.name, request))
        try:
            said = parser.parse(self.scan_filter) if isinstance(self.scan_filter, str) else self.scan_filter
            expression = expression_to_pyarrow(bind(schema, said, case_sensitive=True), schema)
        except Exception as error:  # pyiceberg's and pyparsing's, of many kinds
            raise ShardlineValueError(
                f"scan_filter={self.scan_filter!r} is no filter of the Iceberg table {self.name}: {first_line(error)}"
            ) from error
        return expression, hashlib.sha256(repr(said).encode()).hexdigest()[:32]

    def location(self) -> str:
        """Where the table is."""
        return normalized((self._loaded or self.load()).metadata.location)

    def storage_options(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """How the table's store is read: what the catalog says, and over it what was given.

        Credentials that the catalog vends for a time are renewed through it.
        """
        table = self._loaded or self.load()
        location = self.location()
        properties = dict(table.io.properties)
        found = options_of(location, properties, self.name)
        given = dict(given or {})
        if is_vended(location, properties) and "credential_provider" not in given:
            found["credential_provider"] = Renewed(self, location)
        return {**found, **given}


@dataclass
class Renewed:
    """Credentials that a catalog vends, asked for anew whenever they expire."""

    table: IcebergTable
    location: str

    def __call__(self) -> dict[str, Any]:
        """The keys of now."""
        return vended_keys(self.location, dict(self.table.load().io.properties))


def in_time(function: Callable[[], _T], what: str, seconds: float) -> _T:
    """What a function returns, within so many seconds.

    Raises:
        ShardlineTimeoutError: It took longer. It is left to end on a thread of its own.
    """
    done: list[Callable[[], _T]] = []
    over = threading.Event()

    def run() -> None:
        try:
            found = function()
            done.append(lambda: found)
        except BaseException as error:
            caught = error

            def again() -> NoReturn:
                raise caught

            done.append(again)
        over.set()

    threading.Thread(target=run, daemon=True, name="shardline-catalog").start()
    if not over.wait(seconds):
        raise ShardlineTimeoutError(
            f"{what} has not answered for {seconds:g} seconds: is its uri right, and can this machine reach it?"
        )
    return done[0]()


def _raise(name: str, error: Exception) -> NoReturn:
    """The error of a catalog by shardline's names."""
    if isinstance(error, ShardlineError):
        raise error
    what = f"the catalog of the Iceberg table {name}"
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    kinds = {kind.__name__ for each in chain for kind in type(each).__mro__}
    said = first_line(error)
    # urllib3 calls a refused connection a timeout as well.
    if any("Timeout" in kind for kind in kinds) and "NewConnectionError" not in kinds:
        raise ShardlineTimeoutError(f"{what} does not answer in time: {said}") from error
    if kinds & _REFUSED or "PermissionError" in kinds or "AccessDenied" in said:
        raise ShardlinePermissionError(
            f"{what} refuses: {said}. Look at the credentials in catalog_config, and at who may read the table"
        ) from error
    if kinds & _ABSENT:
        raise ShardlineFileNotFoundError(f"{what} has no such table: {said}") from error
    if "ImportError" in kinds or "NotInstalledError" in kinds:
        raise ShardlineImportError(
            f"{what} needs a package that is not installed ({said}): install pyiceberg with the extra of this kind of "
            'catalog, as in pip install "pyiceberg[sql-sqlite]"'
        ) from error
    if type(error) in (ValueError, TypeError, KeyError) or "ValidationError" in kinds:
        raise ShardlineValueError(f"catalog_config does not lead to {what}: {said}") from error
    raise ShardlineOSError(f"{what} cannot be read: {said}") from error
