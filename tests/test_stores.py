"""Files in a store, read as local ones are: the same batches, read ahead within a budget, filters and partitions."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, take, write_rows
from support.store import Store, open_store

from shardline import DataLoader, Plan, StructuredDataset


@pytest.mark.parametrize(
    "shuffle", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 0, "num_shards": 3}]
)
def test_the_batches_are_those_of_the_same_files_here(store, data, shuffle):
    here, there = StructuredDataset(data, batch_size=7, **shuffle), open_store(store, **shuffle)
    assert there.get_metrics()["planning_requests"] == len(store.requests) > 0
    assert there.get_metrics()["planning_bytes"] > 0
    assert here.get_metrics() == {}
    assert there.plan == here.plan
    assert there.schema == here.schema
    for _ in range(2):
        assert ids(there) == ids(here)
    state = there.state_dict()
    assert state == here.state_dict(), "a state does not say where the files are"
    metrics = there.get_metrics()
    assert metrics["store_requests"] > 0
    assert metrics["store_bytes"] > 0
    assert metrics["store_wait_seconds"] >= 0


@pytest.mark.parametrize("prefetch", [1, 300_000, "64MiB"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_columns_and_groups_of_many_parts(tmp_path, prefetch, shuffle):
    """Column chunks of several parts, some left out, read with any memory."""
    rng = np.random.default_rng(1)
    rows = 30_000
    table = pa.table(
        {
            "a": rng.random(rows),
            "skipped": rng.random(rows),
            "t": pa.array([row.tolist() for row in rng.integers(0, 9, (rows, 3))], pa.list_(pa.int64())),
            "s": pa.array([str(n) * 5 for n in range(rows)]),
            "i": np.arange(rows),
        }
    )
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        part = table.slice(number * 15_000, 15_000)
        pq.write_table(
            part, folder / f"{number}.parquet", row_group_size=9_000, compression="none", use_dictionary=["s"]
        )
    arguments = {"columns": ["i", "t", "a", "s"], "output_format": "arrow", "batch_size": 1000, "shuffle": shuffle}
    wanted = pa.Table.from_batches(list(StructuredDataset(folder, **arguments)))
    with Store(folder) as store:
        found = open_store(store, prefetch_bytes=prefetch, **arguments)
        assert pa.Table.from_batches(list(found)).equals(wanted)
        size = sum(map(len, store.objects.values()))
        assert found.get_metrics()["store_bytes"] < 3 * size


def test_what_is_read_ahead_is_bounded_and_read_once(tmp_path):
    write_rows(tmp_path, [[200_000] * 4])
    with Store(tmp_path) as store:
        dataset = open_store(store, batch_size=1000, prefetch_bytes="1MiB", num_threads=1)
        before = store.count()
        iterator = iter(dataset)
        next(iterator)
        time.sleep(0.3)
        size = len(store.objects["data/part-0000.parquet"])
        ahead = sum(request.range[1] - request.range[0] for request in store.requests[before:] if request.range)
        assert ahead < size / 2, f"{ahead} of {size} bytes were fetched for the first batch of a 1 MiB budget"
        list(iterator)
        everything = sum(r.range[1] - r.range[0] for r in store.requests[before:] if r.range)
        assert everything < 1.2 * size, "nothing is fetched twice"


def test_plans_go_along_and_are_checked(store, data):
    dataset = open_store(store)
    plan = Plan.from_bytes(dataset.plan.to_bytes())
    requests = store.count()
    again = StructuredDataset(plan=plan, batch_size=7, storage_options=store.options)
    assert store.count() == requests
    assert ids(again) == ids(dataset)
    part = dataset.plan.select([0, 2])
    assert len(sum(ids(StructuredDataset(plan=part, batch_size=7, storage_options=store.options)), [])) == 75


def test_filters_samples_and_partitions(tmp_path):
    for year in (2023, 2024):
        write_rows(tmp_path / "data" / f"year={year}", [[30, 20], [40]], start=1000 * year)
    with Store(tmp_path / "data") as store:
        for given in (
            {"filters": [("x", ">", 1_011_510.0)]},
            {"filters": [("x", "<", 1_011_510.0)], "columns": ["i"], "shuffle": True},
            {"partitioning": "hive"},
            {"partitioning": "hive", "filters": [("year", "=", 2024), ("i", "<", 2_024_033)]},
            {"sample": 0.4, "shuffle": True, "columns": ["i"]},
        ):
            wanted = ids(StructuredDataset(tmp_path / "data", batch_size=7, **given))
            loader = DataLoader(open_store(store, **given))
            found = take(loader, 2)
            state = loader.state_dict()
            assert found == wanted[:2]
            resumed = open_store(store, **given)
            resumed.load_state_dict(state)
            assert ids(resumed) == wanted[2:]


def test_of_files_that_folders_rule_out_nothing_is_read(tmp_path):
    for year in (2023, 2024):
        write_rows(tmp_path / "data" / f"year={year}", [[30, 20]], start=1000 * year)
    with Store(tmp_path / "data") as store:
        store.objects["data/year=2023/broken.parquet"] = b"not Parquet, and in nobody's way"
        given = {"partitioning": "hive", "filters": [("year", "=", 2024)]}
        found = open_store(store, **given)
        assert sum(ids(found), []) == list(range(2_024_000, 2_024_050))
        assert {request.key.split("/")[1] for request in store.requests if request.range} == {"year=2024"}
        with pytest.raises(ValueError, match="no row passes.*all 3 files"):
            open_store(store, partitioning="hive", filters=[("year", "=", 2025)])
        with pytest.raises(ValueError, match="broken.parquet"):
            open_store(store, partitioning="hive")


def test_of_a_field_in_a_column_its_leaf_alone_is_fetched(tmp_path):
    rng = np.random.default_rng(0)
    rows = 50_000
    users = [pa.array(rng.random(rows)) for _ in range(9)] + [pa.array(rng.integers(0, 99, rows).astype("i1"))]
    table = pa.table({"user": pa.StructArray.from_arrays(users, [*"abcdefghi", "age"]), "i": np.arange(rows)})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, compression="none")
    with Store(tmp_path) as store:
        for given in ({"columns": ["user.age"]}, {"columns": ["user.age", "i"], "shuffle": True}):
            arguments = {"batch_size": 1000, "output_format": "arrow", **given}
            found = open_store(store, **arguments)
            wanted = pa.Table.from_batches(list(StructuredDataset(tmp_path, **arguments)))
            assert pa.Table.from_batches(list(found)).equals(wanted)
            assert found.get_metrics()["store_bytes"] < rows * (4 + 8 * ("i" in given["columns"])) + 70_000


def test_shards_of_one_row_group_fetch_it_once(tmp_path):
    write_rows(tmp_path, [[200_000]])
    with Store(tmp_path) as store:
        dataset = open_store(store, batch_size=1000, num_shards=4)
        assert len(sum(ids(dataset), [])) == 200_000
        assert dataset.get_metrics()["store_bytes"] < 1.05 * len(store.objects["data/part-0000.parquet"])


@pytest.mark.parametrize("statistics", [True, False])
def test_what_a_filter_counts_is_fetched_many_at_once_and_only_where_it_must_be(tmp_path, statistics):
    (tmp_path / "data").mkdir()
    for number in range(20):
        values = np.arange(1000) + 1000 * number
        part = pa.table({"i": values, "x": values % 7})
        pq.write_table(part, tmp_path / f"data/{number:02}.parquet", row_group_size=250, write_statistics=statistics)
    given = {"filters": [("i", ">=", 15_100), ("x", "<", 3)], "columns": ["i"]}
    wanted = ids(StructuredDataset(tmp_path / "data", batch_size=7, **given))
    with Store(tmp_path / "data") as store:
        plan = open_store(store).plan
        before, store.together = store.count(), 4  # none is answered before so many are asked for
        options = {**store.options, "timeout": 60}
        dataset = StructuredDataset(plan=plan, batch_size=7, num_threads=1, storage_options=options, **given)
        asked, store.together = store.count() - before, 0
        # 20 footers, and two columns of 20 or 80 row groups, near each other; one or the other may be asked for alone.
        assert asked <= (20 + 20 if statistics else 20 + 80) + 10
        assert store.alone < asked / 4, f"{store.alone} of {asked} requests with fewer than 4 at once"
        assert ids(dataset) == wanted
