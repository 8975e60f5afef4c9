"""The values of tables made by random steps: the model's, and those that duckdb, deltalake and pyiceberg find."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.table import StaticTable
from support import duck
from support.lakes import KINDS, TABLES
from support.lakes.histories import histories

SEEDS = range(100, 106)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return histories(KINDS, tmp_path_factory.mktemp("values"))


def by_number(rows):
    return sorted(rows, key=lambda row: row["i"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", TABLES)
def test_every_version_is_what_all_readers_say(tables, kind, seed):
    table = tables(kind, seed)
    for at, state in enumerate(table.states):
        wanted = by_number(state.live)
        found = pa.Table.from_batches(list(table.open(at, batch_size=50, output_format="arrow")))
        assert by_number(found.to_pylist()) == wanted
        by_duck = duck.rows(kind, state.path)
        assert by_duck == wanted
        assert found.column_names == list(by_duck[0]), "in the table's order"
        if kind == "delta":
            assert by_number(pa.table(DeltaTable(state.path).scan()).to_pylist()) == wanted
        elif not _has_equality_deletes(table, state.version):
            scan = StaticTable.from_metadata(str(state.path)).scan()
            assert by_number(scan.to_arrow().to_pylist()) == wanted


def _has_equality_deletes(table, version):
    """Which pyiceberg does not read."""
    return any(file.kind == "equality" for each in table.lake.table.manifests[version] for file in each.files)
