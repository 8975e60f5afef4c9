"""What paths of a store stand for: names, listings, footers, web servers."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids
from support.store import BUCKET, Fault, Store, open_store

import shardline
from shardline import StructuredDataset


def test_roots_globs_and_lists(store):
    for key in (
        "data/x/_hidden/a.parquet",
        "data/x/deep/b.parquet",
        "data/notes.txt",
        "data/.c.parquet",
        "data/_SUCCESS",
    ):
        store.objects[key] = store.objects["data/part-0001.parquet"]

    def names(path):
        return [name for name, _, _ in open_store(store, path).plan.files()]

    base = f"s3://{BUCKET}"
    assert names(f"{base}/data") == names(f"{base}/data/") == names(f"s3a://{BUCKET}/data")
    assert names(f"{base}/data") == ["part-0000.parquet", "part-0001.parquet", "part-0002.parquet", "x/deep/b.parquet"]
    assert names(f"{base}/data/part-0001.parquet") == ["part-0001.parquet"]
    assert names(f"{base}/data/part-*2.parquet") == ["part-0002.parquet"]
    assert names(f"{base}/*/**/b.parquet") == ["data/x/deep/b.parquet"]
    assert names(f"{base}/data/part-000[01].parquet") == ["part-0000.parquet", "part-0001.parquet"]
    assert names([f"{base}/data/x", f"{base}/data/part-0001.parquet"]) == ["part-0001.parquet", "x/deep/b.parquet"]
    assert names(base)[0] == "data/part-0000.parquet"
    for path, error, words in (
        (f"{base}/nowhere", FileNotFoundError, "nowhere"),
        (f"{base}/data/*.csv", FileNotFoundError, "csv"),
        ([f"{base}/data", f"{base}/data/part-0001.parquet"], ValueError, "twice"),
        ([f"{base}/data", "s3://other/data"], ValueError, "two stores"),
        ([f"{base}/data", "/data"], ValueError, "this machine"),
        (f"{base}/data/notes.txt/", FileNotFoundError, "notes"),
        ("s3://", ValueError, "bucket"),
    ):
        with pytest.raises(error, match=words) as caught:
            open_store(store, path)
        assert isinstance(caught.value, shardline.ShardlineError)


@pytest.mark.parametrize("name", ["with space", "per%20cent", "ha#sh", "ünï", "qu'ote\"", "a+b&c=d", "a*b", "x=1"])
def test_odd_names(store, name):
    store.objects = {f"data/{name}/{name}.parquet": store.objects["data/part-0001.parquet"]}
    assert [found for found, _, _ in open_store(store).plan.files()] == [f"{name}/{name}.parquet"]
    assert sum(ids(open_store(store)), []) == list(range(35, 60))


def test_objects_that_stand_for_folders_are_none(store):
    store.objects["data/part.parquet"] = b""
    store.objects["data/part.parquet/0.parquet"] = store.objects.pop("data/part-0000.parquet")
    assert open_store(store).plan.files()[0][0] == "part-0001.parquet"
    assert open_store(store).num_rows == 100
    assert open_store(store, f"s3://{BUCKET}/data/part.parquet").num_rows == 35


def test_listings_of_many_pages_and_prefixes(store):
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/day={day}/{n:03}.parquet": body for day in range(20) for n in range(23)}
    store.page = 7
    plan = open_store(store).plan
    assert [name for name, _, _ in plan.files()] == sorted(
        f"day={day}/{n:03}.parquet" for day in range(20) for n in range(23)
    )


def test_a_listing_of_many_pages_gets_through_what_fails_often(store):
    """Each page is tried on its own, and none comes twice."""
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/{n:03}.parquet": body for n in range(300)}
    store.page = 10
    store.faults = lambda request: Fault(503) if not request.key and request.number % 3 else None
    options = {
        **store.options,
        "retry": {**store.options["retry"], "max_retries": 2, "retry_timeout": 5},
        "timeout": 10,
    }
    assert open_store(store, storage_options=options).plan.num_files == 300
    assert sum(not request.key for request in store.requests) <= 3 * 30 + 3


def test_footers_come_in_one_request_each_many_at_once(store):
    body = store.objects["data/part-0001.parquet"]
    store.objects = {f"data/{n:03}.parquet": body for n in range(200)}
    store.together = 8  # none is answered before so many are asked for
    dataset = open_store(store, storage_options={**store.options, "timeout": 60})
    assert dataset.plan.num_files == 200
    assert sum(request.range is not None for request in store.requests) == 200
    assert store.alone < 200 / 8, f"{store.alone} of 200 footers were asked for by fewer than 8 requests at once"


def test_a_footer_larger_than_guessed(tmp_path):
    (tmp_path / "d").mkdir()
    pq.write_table(pa.table({"i": [1]}), tmp_path / "d/0.parquet")
    wide = pa.table({"i": [2], **{f"column-{n}" * 20: [n] for n in range(900)}})
    pq.write_table(wide, tmp_path / "d/1.parquet")
    with Store(tmp_path / "d") as store:
        assert ids(open_store(store)) == [[1, 2]]


def test_files_that_are_none_are_named(store):
    good = store.objects["data/part-0001.parquet"]
    for body, words in (
        (b"", "empty"),
        (b"abc", "only 3 bytes"),
        (b"x" * 100, "not a Parquet"),
        (good[:-20], "truncated"),
    ):
        store.objects["data/part-0001.parquet"] = body
        with pytest.raises(ValueError, match=f"s3://{BUCKET}/data/part-0001.parquet.*{words}"):
            open_store(store)


def test_a_web_server_with_ranges(store, data):
    wanted = ids(StructuredDataset(data, batch_size=7))
    assert ids(StructuredDataset(store.http_urls, batch_size=7)) == wanted
    assert ids(StructuredDataset(store.http_urls[1], batch_size=100)) == [list(range(35, 60))]
    store.objects["data/a b%.parquet"] = store.objects["data/part-0001.parquet"]
    url = f"{store.endpoint}/{BUCKET}/data/a%20b%25.parquet"
    assert ids(StructuredDataset(url, batch_size=100)) == [list(range(35, 60))]
    with pytest.raises(FileNotFoundError, match="list"):
        StructuredDataset(f"{store.endpoint}/{BUCKET}/data/", batch_size=7)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        StructuredDataset(f"{store.endpoint}/{BUCKET}/nowhere.parquet", batch_size=7)
    store.no_ranges = True
    with pytest.raises(OSError, match="range"):
        StructuredDataset(store.http_urls, batch_size=7)
