"""Tables by duckdb's extensions, which share no code with shardline: what they say is in a table.

The extensions are packages, so that nothing is fetched when they are loaded.
"""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

SCANS = {"delta": "delta_scan", "iceberg": "iceberg_scan"}


@cache
def _connection() -> Any:
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": 1}
    )
    for name in ("parquet", "avro", "delta", "iceberg"):
        folder = Path(str(importlib.import_module(f"duckdb_extension_{name}").__file__)).parent
        (file,) = folder.rglob("*.duckdb_extension")
        connection.execute(f"LOAD '{file}'")
    return connection


def rows(kind: str, path: Path) -> list[dict[str, Any]]:
    """The rows of a table, in the order of `i`."""
    found = _connection().execute(f"SELECT * FROM {SCANS[kind]}('{path}') ORDER BY i").to_arrow_table()
    return list(found.to_pylist())


def call(function: str, *values: Any) -> Any:
    """What a function of an extension says."""
    places = ", ".join("?" * len(values))
    return _connection().execute(f"SELECT {function}({places})", values).fetchone()[0]
