"""The local cache of a store: what is there is not fetched, and whatever a disk does is no fault."""

import contextlib

from support import context, ids, write_rows
from support.small import full_disk
from support.store import Store, open_store

from shardline import StructuredDataset


def test_a_cache_serves_later_epochs_and_processes(store, tmp_path):
    cache = tmp_path / "cache"
    given = {"storage_options": {**store.options, "cache_dir": cache}, "shuffle": True}
    dataset = open_store(store, **given)
    wanted = [ids(dataset), ids(dataset)]
    before = store.count()
    again = open_store(store, **given)
    found = [ids(again)]
    metrics = again.get_metrics()
    assert metrics["store_requests"] == 0
    assert [*found, ids(again)] == wanted
    assert metrics["store_cache_hits"] > 0
    assert all(request.range is None for request in store.requests[before:]), "a listing, and no footer"
    # Another content under the same name is not what is kept.
    name = "data/part-0001.parquet"
    store.objects[name] = store.objects[name].replace(b"ARROW:schema", b"ARROW:schemA")
    changed = open_store(store, **given)
    assert sorted(sum(ids(changed), [])) == list(range(100))
    assert changed.get_metrics()["store_requests"] > 0


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def bytes_in(folder):
    """Of the files that are there while others come and go."""
    total = 0
    for path in files_in(folder):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_a_cache_keeps_to_its_limit_and_a_damaged_or_refusing_disk_is_no_fault(tmp_path, caplog):
    write_rows(tmp_path / "data", [[20_000]] * 3)
    cache = tmp_path / "cache"
    with Store(tmp_path / "data") as store:
        given = {
            "batch_size": 1000,
            "storage_options": {**store.options, "cache_dir": str(cache), "cache_bytes": 500_000},
        }
        wanted = ids(StructuredDataset(tmp_path / "data", batch_size=1000))
        dataset = open_store(store, **given)
        for _ in range(2):
            assert ids(dataset) == wanted
            assert bytes_in(cache) <= 500_000
        for path in files_in(cache):
            with contextlib.suppress(FileNotFoundError):
                path.write_bytes(path.read_bytes()[:-3] + b"xyz")
        assert ids(open_store(store, **given)) == wanted
        (tmp_path / "file").write_bytes(b"")
        given["storage_options"]["cache_dir"] = str(tmp_path / "file")
        dataset = open_store(store, **given)
        for _ in range(2):
            assert ids(dataset) == wanted
        warned = [record for record in caplog.records if "left alone" in record.getMessage()]
        assert [record.levelname for record in warned] == ["WARNING"], "once, not for every plan and epoch"


def test_a_full_disk_is_no_fault(tmp_path, caplog):
    write_rows(tmp_path / "data", [[2_000]] * 3)
    with Store(tmp_path / "data") as store:
        given = {"batch_size": 100, "storage_options": {**store.options, "cache_dir": tmp_path / "full"}}
        wanted = ids(StructuredDataset(tmp_path / "data", batch_size=100))
        with full_disk():
            dataset = open_store(store, **given)
            assert [ids(dataset), ids(dataset)] == [wanted, wanted]
        assert len([record for record in caplog.records if "left alone" in record.getMessage()]) == 1
        assert ids(open_store(store, **given)) == wanted


def test_what_else_is_in_the_folder_stays(store, tmp_path):
    others = [tmp_path / "cache" / "runs" / "weights.pt", tmp_path / "cache" / "ab" / ("ab" * 16)]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_bytes(bytes(100_000))
    given = {"storage_options": {**store.options, "cache_dir": tmp_path / "cache", "cache_bytes": 5_000}}
    assert ids(open_store(store, **given)) == ids(open_store(store))
    assert [other.stat().st_size for other in others] == [100_000, 100_000]


def test_processes_share_a_cache_that_has_room_for_a_part(tmp_path):
    write_rows(tmp_path / "data", [[20_000]] * 3)
    with Store(tmp_path / "data") as store:
        options = {**store.options, "cache_dir": str(tmp_path / "cache"), "cache_bytes": 500_000}
        wanted = ids(StructuredDataset(tmp_path / "data", batch_size=1000))
        with context("spawn").Pool(3) as pool:
            found = pool.starmap(read_twice, [(store.url, options)] * 3)
        assert found == [[wanted, wanted]] * 3
        assert 0 < bytes_in(tmp_path / "cache") <= 3 * 500_000


def read_twice(url, options):
    dataset = StructuredDataset(url, batch_size=1000, storage_options=options)
    return [ids(dataset), ids(dataset)]
