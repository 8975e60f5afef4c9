"""Rows from the middle of a row group in a store: with a page index, what is before them is not fetched."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.store import Store

from shardline import DataLoader, ShardlineError

ROWS = 60_000


def table():
    rng = np.random.default_rng(4)
    lists = np.arange(0, 4 * ROWS + 1, 4, dtype="i4")
    return pa.table(
        {
            "i": np.arange(ROWS),
            "x": rng.random(ROWS),
            "few": pa.array(rng.integers(0, 40, ROWS)),
            "nulls": pa.array(rng.random(ROWS), mask=rng.random(ROWS) < 0.3),
            "text": pa.array([f"text {n}" * (n % 3) for n in range(ROWS)]),
            "list": pa.ListArray.from_arrays(pa.array(lists), pa.array(rng.random(4 * ROWS))),
        }
    )


def write(path, **options):
    options = {"write_page_index": True, "data_page_size": 8 << 10, "compression": "none", **options}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table(), path, row_group_size=40_000, use_dictionary=["few"], **options)


def rest(path, state, **arguments):
    """What is left of the epoch after `state`, and the bytes that were fetched for it."""
    arguments = {"batch_size": 500, "output_format": "arrow", "prefetch_bytes": 1, **arguments}
    loader = DataLoader(path, **arguments)
    if state is not None:
        loader.load_state_dict(state)
    return pa.Table.from_batches(list(loader)), loader.get_metrics().get("store_bytes")


def state_after(path, batches, **arguments):
    loader = DataLoader(path, batch_size=500, output_format="arrow", **arguments)
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    return loader.state_dict()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """By page version and whether there is an index: the folder here, and a server of it."""
    made = {}
    for version in ("1.0", "2.0"):
        for indexed in (False, True):
            folder = tmp_path_factory.mktemp("pages") / "data"
            packed = "none" if version == "1.0" else "snappy"
            write(folder / "a.parquet", data_page_version=version, write_page_index=indexed, compression=packed)
            made[version, indexed] = (folder, Store(folder))
    yield made
    for _, store in made.values():
        store.close()


@examples(12)
@given(
    version=st.sampled_from(["1.0", "2.0"]),
    indexed=st.booleans(),
    stop=st.integers(0, 119),
    shuffle=st.sampled_from([{}, {"shuffle": True, "shuffle_buffer_size": 0}, {"shuffle": True}]),
    shards=st.sampled_from([None, 5]),
    columns=st.sampled_from([None, ["list", "i"], ["few", "text"], ["nulls"]]),
    filters=st.sampled_from([None, [("few", "<", 5)]]),
)
def test_the_rows_are_those_of_the_same_file_here(stores, version, indexed, stop, shuffle, shards, columns, filters):
    folder, store = stores[version, indexed]
    given = {**shuffle, "num_shards": shards, "columns": columns, "filters": filters}
    state = state_after(folder, min(stop, 12) if filters else stop, **given)
    found, _ = rest(store.url, state, storage_options=store.options, **given)
    assert found.equals(rest(folder, state, **given)[0])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("column", ["i", "few", "nulls", "text", "list"])
def test_what_is_before_the_rows_is_not_fetched(stores, version, column):
    """The last tenth of the first row group, and the second one."""
    fetched = {}
    for indexed in (False, True):
        folder, store = stores[version, indexed]
        state = state_after(folder, 76, columns=[column])
        before = len(store.requests)
        found, _ = rest(store.url, state, columns=[column], storage_options=store.options)
        # Each byte once: what had to make room, which is a matter of time, was asked for again.
        ranges = [request.range for request in store.requests[before:] if request.range]
        fetched[indexed] = len(set().union(*(range(*each) for each in ranges)))
        assert found.num_rows == ROWS - 76 * 500
        assert found.equals(rest(folder, state, columns=[column])[0])
    with pq.ParquetFile(folder / "a.parquet") as file:
        chunk = file.metadata.row_group(0).column(table().column_names.index(column)).total_compressed_size
    spared = fetched[False] - fetched[True]
    if chunk > 4 * (64 << 10):  # of several parts, which are not smaller
        assert spared > chunk / 2, fetched


def test_an_index_that_lies_gives_no_other_rows(tmp_path):
    """Bytes of the index are others: an error that names the file, or the rows that there are."""
    write(tmp_path / "data/a.parquet")
    body = (tmp_path / "data/a.parquet").read_bytes()
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    state = state_after(tmp_path / "data", 76, columns=["i", "list"])
    wanted = rest(tmp_path / "data", state, columns=["i", "list"])[0]
    rng = np.random.default_rng(8)
    messages = []
    with Store(tmp_path / "data") as store:
        for _ in range(60):
            at = footer - int(rng.integers(1, 4000))
            damaged = body[:at] + bytes([body[at] ^ int(rng.integers(1, 255))]) + body[at + 1 :]
            store.objects["data/a.parquet"] = damaged
            try:
                found, _ = rest(store.url, state, columns=["i", "list"], storage_options=store.options)
            except ShardlineError as error:
                messages.append(str(error))
            else:
                assert found.equals(wanted)
    assert len(messages) < 60
    assert all("a.parquet" in message for message in messages)
