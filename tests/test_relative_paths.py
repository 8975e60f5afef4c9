"""Relative paths mean what they meant when they were given, wherever the process goes later."""

import os
import pickle

import pytest
from support import context, ids
from support.small import make
from support.store import open_store

from shardline import Checkpointer, DataLoader, StructuredDataset
from shardline.options.storage import check_storage


@pytest.fixture
def elsewhere(tmp_path):
    (folder := tmp_path / "elsewhere").mkdir()
    return folder


def test_the_directory_of_checkpoints(tmp_path, elsewhere, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, ck = make("ck")
    ck.save(1)
    os.chdir(elsewhere)
    ck.save(2)
    assert list(elsewhere.iterdir()) == []
    assert [one.step for one in ck.list()] == [1, 2]
    assert ck.restore().path == tmp_path / "ck" / "step-2"
    assert str(tmp_path / "ck") in repr(ck)
    os.chdir(tmp_path)
    assert [one.step for one in Checkpointer("ck").list()] == [1, 2]
    assert make("other")[2].restore("ck/step-1").path == tmp_path / "ck" / "step-1"


def test_a_save_in_the_background(tmp_path, elsewhere, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, ck = make("ck", blocking=False)
    ck.save(1)
    os.chdir(elsewhere)
    ck.save(2)
    ck.close()
    assert sorted(path.name for path in (tmp_path / "ck").glob("step-*")) == ["step-1", "step-2"]
    assert list(elsewhere.iterdir()) == []


def read_rows(dataset):
    return ids(dataset)


PATHS = ["data-0", "data-0/*.parquet", ["data-0/part-0000.parquet", "data-0/part-0001.parquet"]]


@pytest.mark.parametrize("given", PATHS, ids=["folder", "glob", "list"])
def test_the_files_of_a_dataset(rows, tmp_path, elsewhere, monkeypatch, given):
    rows([[10, 20], [30]])
    monkeypatch.chdir(tmp_path)
    dataset = StructuredDataset(given, batch_size=7)
    whole = [str(tmp_path / one) for one in given] if isinstance(given, list) else str(tmp_path / given)
    absolute = StructuredDataset(whole, batch_size=7)
    assert dataset.plan.digest == absolute.plan.digest
    assert dataset.state_dict() == absolute.state_dict()
    os.chdir(elsewhere)
    wanted = ids(absolute)
    assert ids(dataset) == wanted
    assert ids(pickle.loads(pickle.dumps(dataset))) == wanted
    assert ids(StructuredDataset(plan=dataset.plan, batch_size=7)) == wanted
    if given == "data-0":
        with context("spawn").Pool(1) as pool:  # it starts in this directory
            assert pool.map(read_rows, [dataset]) == [wanted]


def test_a_saved_plan_and_folders_of_partitions(rows, tmp_path, elsewhere, monkeypatch):
    rows([[10], [20]]).rename(tmp_path / "year=2024")
    (tmp_path / "data").mkdir()
    (tmp_path / "year=2024").rename(tmp_path / "data" / "year=2024")
    monkeypatch.chdir(tmp_path)
    given = {"batch_size": 8, "partitioning": "hive"}
    dataset = StructuredDataset("data", **given)
    dataset.plan.save("plan")
    wanted = ids(dataset)
    plan = type(dataset.plan).load("plan")
    os.chdir(elsewhere)
    again = StructuredDataset(plan=plan, **given)
    assert [batch["year"].tolist() for batch in again] == [[2024] * len(batch) for batch in wanted]
    assert ids(again) == wanted


def test_the_cache_of_a_store(store, tmp_path, elsewhere, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"storage_options": {**store.options, "cache_dir": "cache"}}
    dataset = open_store(store, **given)
    copied = pickle.dumps(dataset)
    os.chdir(elsewhere)
    wanted = ids(dataset)
    assert list(elsewhere.iterdir()) == []
    assert list((tmp_path / "cache").iterdir())
    again = pickle.loads(copied)
    assert ids(again) == wanted
    assert again.get_metrics()["store_cache_hits"] > 0
    assert list(elsewhere.iterdir()) == []


def pairs_of(url, options, monkeypatch):
    kept = []
    monkeypatch.setattr("shardline.options.storage.Storage", lambda url, pairs, provider: kept.append(dict(pairs)))
    check_storage(options, [url], None)
    return kept[0]


def test_files_of_credentials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "key.json").write_text("{}")
    (tmp_path / "secret").write_text("a name like that of a file")
    for name in ("service_account", "GOOGLE_SERVICE_ACCOUNT", "token"):
        assert pairs_of("gs://bucket", {name: "key.json"}, monkeypatch) == {name: str(tmp_path / "key.json")}
    found = pairs_of("s3://bucket", {"aws_web_identity_token_file": tmp_path / "key.json", "region": "x"}, monkeypatch)
    assert found == {"aws_web_identity_token_file": str(tmp_path / "key.json"), "region": "x"}
    kept = {"token": "no-file", "access_key_id": "key.json"}
    assert pairs_of("gs://bucket", kept, monkeypatch) == kept
    assert pairs_of("s3://bucket", {"cache_dir": "~/cache"}, monkeypatch) == {"cache_dir": str(tmp_path / "home/cache")}


def test_a_loader_whose_workers_start_later(rows, tmp_path, elsewhere, monkeypatch):
    rows([[10, 20], [30]])
    monkeypatch.chdir(tmp_path)
    loader = DataLoader("data-0", batch_size=7, num_workers=1, transform=dict)
    wanted = ids(DataLoader("data-0", batch_size=7))
    os.chdir(elsewhere)
    assert ids(loader) == wanted
