"""Rows that pass a filter or a sample in a store: with a page index, only the pages that hold them are fetched."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.store import Store, open_store

from shardline import DataLoader

ROWS = 40_000
PART = 64 << 10  # the least


def table():
    rng = np.random.default_rng(4)
    number = np.arange(ROWS)
    return pa.table(
        {
            "i": number,
            "block": (number // 200 % 50).astype("i2"),
            "mixed": (number * 7919 % 1000).astype("i2"),
            "x": rng.random(ROWS),
            "few": pa.array(rng.integers(0, 40, ROWS)),
            "nulls": pa.array(rng.random(ROWS), mask=rng.random(ROWS) < 0.3),
            "text": pa.array([f"text {n}" * (n % 9) for n in range(ROWS)]),
            "list": pa.FixedSizeListArray.from_arrays(rng.random(16 * ROWS), 16).cast(pa.list_(pa.float64())),
        }
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """By page version and whether there is an index: the table, the folder here, and a server of it."""
    made, whole = {}, table()
    for version, indexed in (("1.0", True), ("2.0", True), ("1.0", False)):
        folder = tmp_path_factory.mktemp("survivors")
        compression = {"i": "none", "list": "none", **dict.fromkeys(["text", "x", "nulls"], "snappy")}
        pq.write_table(
            whole,
            folder / "a.parquet",
            row_group_size=25_000,
            use_dictionary=["few", "block"],
            data_page_size=8 << 10,
            write_page_index=indexed,
            data_page_version=version,
            compression={name: compression.get(name, "zstd") for name in whole.column_names},
        )
        made[version, indexed] = (whole, folder, Store(folder))
    yield made
    for *_, store in made.values():
        store.close()


FILTERS = {
    "blocks": (pc.field("block") == 7),
    "ends": (pc.field("i") < 90) | (pc.field("i") > ROWS - 90),
    "one": pc.field("i") == 31_234,
    "mixed": pc.field("mixed") == 3,
    "most": pc.field("mixed") > 3,
}


@examples(25)
@given(
    kind=st.sampled_from([("1.0", True), ("2.0", True), ("1.0", False)]),
    passing=st.sampled_from([*FILTERS, 0.001, 0.3]),
    stop=st.integers(0, 20),
    shuffle=st.sampled_from([{}, {"shuffle": True, "shuffle_buffer_size": 0}, {"shuffle": True}]),
    shards=st.sampled_from([None, 3]),
    columns=st.sampled_from([None, ["list", "i"], ["few", "text"], ["nulls", "mixed"]]),
    prefetch=st.sampled_from([1, 2**28]),
)
def test_the_rows_are_those_of_the_same_file_here(stores, kind, passing, stop, shuffle, shards, columns, prefetch):
    whole, folder, store = stores[kind]
    rule = {"filters": FILTERS[passing]} if passing in FILTERS else {"sample": passing}
    shards = None if passing == "one" else shards  # which are not more than rows
    given = {**shuffle, **rule, "num_shards": shards, "columns": columns, "batch_size": 9, "output_format": "arrow"}
    here = DataLoader(folder, **given)
    batches = list(here)
    stop = min(stop, len(batches))
    if passing in FILTERS:
        wanted = whole.filter(FILTERS[passing]).select(columns or whole.column_names)
        found = pa.Table.from_batches(batches)
        assert found.num_rows == wanted.num_rows
        if not shuffle and shards is None:
            assert found.cast(wanted.schema).equals(wanted)
    there = DataLoader(store.url, storage_options=store.options, prefetch_bytes=prefetch, **given)
    there.load_state_dict(here.state_at(stop))
    assert list(there) == batches[stop:]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("column", ["x", "few", "nulls", "text", "list"])
def test_only_pages_with_rows_that_pass_are_fetched(stores, version, column):
    """Few rows in one place of the second row group."""
    whole, folder, store = stores[version, True]
    filters = (pc.field("mixed") >= 0) & (pc.field("i") > 30_000) & (pc.field("i") < 30_050)
    given = {"filters": filters, "columns": [column], "output_format": "arrow", "prefetch_bytes": 1}
    plan = DataLoader(store.url, batch_size=20, storage_options=store.options, **given).dataset.plan
    loader = DataLoader(plan=plan, batch_size=20, storage_options=store.options, **given)
    found = pa.Table.from_batches(list(loader))
    wanted = whole.filter(filters).select([column])
    assert found.cast(wanted.schema).equals(wanted)
    with pq.ParquetFile(folder / "a.parquet") as file:
        group = file.metadata.row_group(1)
        sizes = {group.column(n).path_in_schema.split(".")[0]: group.column(n).total_compressed_size for n in range(8)}
    fetched = loader.get_metrics()["store_bytes"]
    # The footer and the index are at the end of the file.
    assert fetched < sizes["i"] + sizes["mixed"] + 3 * PART, (fetched, sizes)
    if column == "list":
        assert sizes[column] > 20 * PART


def test_a_sample_of_wide_rows_is_fetched_by_its_pages(tmp_path):
    rows = 4000
    wide = pa.FixedSizeListArray.from_arrays(np.random.default_rng(1).random(512 * rows), 512)
    whole = pa.table({"i": np.arange(rows), "wide": wide.cast(pa.list_(pa.float64()))})
    pq.write_table(
        whole,
        tmp_path / "a.parquet",
        compression="none",
        use_dictionary=False,
        data_page_size=4096,
        write_page_index=True,
    )
    given = {"sample": 0.003, "batch_size": 10, "output_format": "arrow"}
    with Store(tmp_path) as store:
        found = open_store(store, **given)
        assert list(found) == list(DataLoader(tmp_path, **given))
        assert found.get_metrics()["store_bytes"] < len(store.objects["data/a.parquet"]) / 4


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_read_ahead_for_a_selective_filter_is_bounded_and_read_once(tmp_path, indexed):
    """One row in a thousand: what lies between counts, though it is not delivered."""
    rows = 1_200_000
    number = np.arange(rows)
    whole = pa.table({"i": number, "x": number * 0.5, "mixed": (number * 7919 % 1000).astype("i4")})
    pq.write_table(
        whole,
        tmp_path / "a.parquet",
        row_group_size=60_000,
        compression="none",
        use_dictionary=False,
        write_page_index=indexed,
    )
    given = {"filters": [("mixed", "=", 3)], "batch_size": 16, "prefetch_bytes": "1MiB", "num_threads": 1}
    with Store(tmp_path) as store:
        plan = open_store(store, **given).plan
        loader = DataLoader(plan=plan, storage_options=store.options, **given)
        before, size = store.count(), len(store.objects["data/a.parquet"])
        iterator = iter(loader)
        found = next(iterator)["i"].tolist()
        time.sleep(0.3)

        def fetched():
            return sum(request.range[1] - request.range[0] for request in store.requests[before:] if request.range)

        assert fetched() < size / 3, f"{fetched()} of {size} bytes were fetched for the first batch of a 1 MiB budget"
        found += sum((batch["i"].tolist() for batch in iterator), [])
        assert found == number[whole["mixed"].to_numpy() == 3].tolist()
        assert fetched() < 1.2 * size, "nothing is fetched twice"
