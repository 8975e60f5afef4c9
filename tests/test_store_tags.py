"""Servers that tell less of an object than its ETag: read as others are, and changes noticed by what they do tell."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids
from support.store import Store, open_store

from shardline import FileChangedError, StructuredDataset

LESS = [(set(), True), ({"listing"}, True), ({"answers"}, True), ({"answers"}, False), (set(), False)]


@pytest.mark.parametrize(("tagged", "dated"), LESS)
@pytest.mark.parametrize("where", ["s3", "http"])
def test_objects_without_etags_are_read_as_others_are(store, data, tmp_path, tagged, dated, where):
    store.tagged, store.dated = tagged, dated
    wanted = ids(StructuredDataset(data, batch_size=7, shuffle=True))
    path, options = (store.url, store.options) if where == "s3" else (store.http_urls, {})
    for _ in range(2):  # the second from the cache, as far as there is one
        dataset = open_store(
            store, path, shuffle=True, storage_options={**options, "cache_dir": str(tmp_path / "cache")}
        )
        assert ids(dataset) == wanted


def test_what_only_answers_tell_names_what_the_cache_keeps(store, tmp_path):
    store.tagged = {"answers"}
    options = {**store.options, "cache_dir": str(tmp_path / "cache")}
    asked = []
    for _ in range(4):
        before = len(store.requests)
        list(open_store(store, storage_options=options))
        asked.append(sum(request.range is not None for request in store.requests[before:]))
    files = len(store.objects)
    assert asked[0] > files
    assert asked[1:] == [files] * 3, "footers, for a plan: a listing's time names no content"


TIME = "written at 2024-01-01T00:00:00Z, and is now of 2024-01-01T00:00:05Z"


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("tagged", "said"),
    [
        ({"listing", "answers"}, "ETag changed"),
        ({"answers"}, "ETag changed|" + TIME),  # of what the cache has, the listing's time alone is known
        ({"listing"}, TIME),
        (set(), TIME),
    ],
)
def test_an_object_that_is_another_is_noticed_by_what_both_tell(tmp_path, tagged, said, cached):
    """The footers of both are equal, byte for byte."""

    def body(shift):
        pq.write_table(
            pa.table({"i": np.arange(300_000) + shift}),
            tmp_path / "x.parquet",
            row_group_size=20_000,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
        )
        return (tmp_path / "x.parquet").read_bytes()

    with Store() as store:
        store.tagged = tagged
        store.objects = {"data/0.parquet": body(0)}
        options = {**store.options, **({"cache_dir": str(tmp_path / "cache")} if cached else {})}
        make = {"prefetch_bytes": 1, "num_threads": 1, "storage_options": options}
        if cached:
            open_store(store, **make)
        dataset = open_store(store, **make)
        new = body(10**6)
        iterator = iter(dataset)
        next(iterator)
        store.objects["data/0.parquet"] = new
        store.seconds["data/0.parquet"] = 5
        with pytest.raises(FileChangedError, match=rf"data/0\.parquet.*({said})"):
            list(iterator)


def test_another_size_is_noticed_without_any_tag(store):
    store.tagged, store.dated = set(), False
    dataset = open_store(store)
    store.objects = {key: value + b"more" for key, value in store.objects.items()}
    with pytest.raises(FileChangedError, match="size changed"):
        list(dataset)
