"""`IcebergDataset`: an Iceberg table by its name in a catalog."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shardline.arguments import DatasetArguments
from shardline.compat import tdu
from shardline.dataset import StructuredDataset
from shardline.errors import ShardlineValueError
from shardline.options import validate
from shardline.signature import declared
from shardline.sources.iceberg.catalog import IcebergTable

if TYPE_CHECKING:
    from shardline.loader import DataLoader

_OWN = {"format": "iceberg", "version": None, "timestamp": None, "partitioning": None}


class IcebergDataset(StructuredDataset):
    """The batches of an Iceberg table that a catalog knows: as `StructuredDataset`, of which it has all else.

    Options are checked before the catalog is asked, which is once: for the metadata, and for how the table's store is
    read. Credentials that it vends for a time are renewed through it.

    Args:
        table: Namespace and table, as in `"db.events"`; a third part before them, the catalog's name, is left aside.
        catalog_config: What pyiceberg's `load_catalog` takes: `{"type": "rest", "uri": "…"}`.
        snapshot_id: The snapshot; the newest by default. `ref=` and `as_of=` name one in other ways.
        scan_filter: Only rows that pass: an expression of pyiceberg, or text as its parser takes it.
        arguments: As `StructuredDataset` has them; `storage_options` take precedence over what the catalog says.

    Raises:
        ShardlineImportError: pyiceberg, or what it needs for this catalog, is not installed.
        ShardlineTimeoutError: The catalog does not answer in time.
        ShardlinePermissionError: It refuses.
        ShardlineFileNotFoundError: It has no such table, or the table has no file.
        ShardlineError: As `StructuredDataset` does.

    Example:
        ```python
        dataset = IcebergDataset("db.events", {"type": "rest", "uri": "http://localhost:8181"}, batch_size=1024)
        ```
    """

    def __init__(
        self,
        table: str,
        catalog_config: Mapping[str, Any] | None = None,
        snapshot_id: int | None = None,
        scan_filter: Any = None,
        **arguments: Any,
    ) -> None:
        for name, only in _OWN.items():
            if arguments.pop(name, only) not in (None, only):
                raise ShardlineValueError(f"{name}= has no meaning for an IcebergDataset: leave it out")
        if snapshot_id is not None:
            if arguments.get("snapshot") is not None:
                raise ShardlineValueError("snapshot= and snapshot_id= are two ways to say one thing: give one of them")
            arguments["snapshot"] = snapshot_id
        path = IcebergTable.of(table, catalog_config, scan_filter)
        super().__init__(path, format="iceberg", **arguments)

    @classmethod
    def create_dataloader(  # type: ignore[override]
        cls, table: str, catalog_config: Mapping[str, Any] | None = None, **arguments: Any
    ) -> "tuple[DataLoader, IcebergDataset]":
        """(loader, its dataset): the interface of torch-dataloader-utils.

        Args:
            table: As the constructor's.
            catalog_config: As the constructor's.
            arguments: Those of the constructor, those of `DataLoader` that are torch's, and those of
                `StructuredDataset.create_dataloader`.

        Returns:
            The loader, and its dataset.

        Raises:
            ShardlineError: As the constructor does.
        """
        from shardline.loader import DataLoader

        given, seconds = tdu.loader_arguments(None, arguments)
        of_loader = set(inspect.signature(DataLoader).parameters) - set(declared(DatasetArguments)) - {"dataset"}
        validate.check_int("num_workers", given.get("num_workers", 0), 0, 2**16)
        dataset = cls(table, catalog_config, **{name: given[name] for name in given if name not in of_loader})
        of_both = {"show_progress": given.get("show_progress", False)}
        loader = DataLoader(dataset, **of_both, **{name: given[name] for name in given if name in of_loader})
        loader.progress_seconds = seconds
        return loader, dataset
