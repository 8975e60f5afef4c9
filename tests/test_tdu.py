"""Scripts of torch-dataloader-utils with another import line: arguments, names and checkpoints."""

import logging
import os
import re
from pathlib import Path

import pytest
import torch
from support import ids, write_rows

import shardline
from shardline import ShardlineTypeError, ShardlineValueError, StructuredDataset

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "torch-dataloader-utils.md").read_text()


@pytest.fixture
def hundred(tmp_path):
    return write_rows(tmp_path / "data", [[30, 20], [50]])


def test_the_page_s_programs_run(hundred, monkeypatch, capsys):
    monkeypatch.chdir(hundred.parent)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    assert names["loader"].num_workers == max(1, os.cpu_count() - 1)
    assert "epoch 3, 0 ranges" in capsys.readouterr().out
    assert names["loader"].epoch == 3


def test_arguments_in_their_old_places(hundred):
    loader, dataset = StructuredDataset.create_dataloader(
        str(hundred),
        "parquet",
        batch_size=30,
        columns=["i"],
        filters=None,
        shuffle=False,
        shuffle_seed=42,
        split_bytes=None,
        split_rows=None,
        split_strategy=None,
        num_workers=None,
        output_format="torch",
        storage_options=None,
        collate_fn=None,
        partitioning=None,
        num_ranks=1,
        rank=0,
        show_progress=False,
        progress_interval_sec=120.0,
        shuffle_buffer_size=None,
    )
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert ids(loader) == [list(range(start, min(start + 30, 100))) for start in (0, 30, 60, 90)]
    assert dataset.batch_size == 30
    with pytest.raises(ShardlineValueError, match=r"split_strategy= is not taken: the order .* leave the strategy out"):
        StructuredDataset.create_dataloader(hundred, "parquet", split_strategy=object())
    with pytest.raises(ShardlineValueError, match="format must be one of 'parquet', 'delta', 'iceberg', not 'csv'"):
        StructuredDataset.create_dataloader(hundred, "csv")
    with pytest.raises(ShardlineTypeError, match="progress_interval_sec must be a number of seconds"):
        StructuredDataset.create_dataloader(hundred, progress_interval_sec="often")


def test_a_progress_bar_at_the_interval(hundred, monkeypatch):
    import tqdm.auto

    given = []
    real = tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **options: given.append(options) or real(**options))
    for seconds in ({"progress_interval_sec": 7}, {}):
        loader, _ = StructuredDataset.create_dataloader(hundred, batch_size=50, show_progress=True, **seconds)
        ids(loader)
    assert [options.get("mininterval") for options in given] == [7.0, None]


def test_a_list_of_files(hundred):
    paths = sorted(str(path) for path in hundred.iterdir())
    files = [shardline.DataFileInfo(path, file_size=1) for path in paths]
    wanted = ids(StructuredDataset(paths, batch_size=40))
    assert ids(StructuredDataset(files=files, format="parquet", batch_size=40, num_workers=3, collate_fn=len)) == wanted
    assert ids(StructuredDataset(files, batch_size=40)) == wanted
    with pytest.raises(ShardlineTypeError, match="files= of .* is now on_new_files="):
        StructuredDataset(hundred, files=files)
    with pytest.raises(ShardlineValueError, match="empty list"):
        StructuredDataset(files=[])


NAMES = ["SplitStrategy", "RoundRobinSplitStrategy", "SizeBalancedSplitStrategy", "Split", "IcebergDataFileInfo"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_of_no_use_say_why(name):
    found = getattr(shardline, name)
    with pytest.raises(ShardlineTypeError, match=f"{name} has no use here: .*(leave the strategy out|IcebergDataset)"):
        found()
    with pytest.raises(ShardlineTypeError, match=f"{name} has no use here"):
        type("Mine", (found,), {})
    with pytest.raises(AttributeError, match="no attribute 'Splits'"):
        shardline.Splits  # noqa: B018


def test_checkpoints(hundred):
    split = {"path": "data/a.parquet", "row_offset": None, "row_length": None}
    part = {"path": "data/b.parquet", "row_offset": 100, "row_length": 50}
    state = {"epoch": 2, "_num_workers": 4, "_shuffle_seed": 42, "completed_shards": [{"splits": [split, part]}]}
    old = shardline.from_tdu(state)
    assert (old.epoch, old.shuffle_seed) == (2, 42)
    assert old.done == [("data/a.parquet", None, None), ("data/b.parquet", 100, 150)]
    assert "data/b.parquet, rows 100 to 149" in str(old)
    loader = shardline.DataLoader(hundred, batch_size=40)
    with pytest.raises(shardline.CheckpointMismatchError, match=r"torch-dataloader-utils.*shardline\.from_tdu"):
        loader.load_state_dict(state)
    loader.set_epoch(old.epoch)
    assert len(sum(ids(loader), [])) == 100
    for wrong in ({}, [], {"epoch": 1}, {"shardline": 2}):
        with pytest.raises(ShardlineValueError, match="no state of torch-dataloader-utils"):
            shardline.from_tdu(wrong)
    for wrong in ({"splits": 1}, {"splits": [{}]}, 7):
        with pytest.raises(ShardlineValueError, match="damaged"):
            shardline.from_tdu({"epoch": 1, "completed_shards": [wrong]})


def test_one_record_says_what_a_dataset_is(hundred, caplog):
    caplog.set_level(logging.INFO, "shardline")
    dataset = StructuredDataset(hundred, batch_size=30, shuffle=True, shuffle_seed=5, rank=1, num_ranks=2)
    (record,) = [record for record in caplog.records if getattr(record, "event", None) == "dataset_ready"]
    wanted = {
        "path": str(hundred),
        "files": 2,
        "row_groups": 3,
        "rows": 100,
        "batch_size": 30,
        "batches": len(dataset),
        "rank": 1,
        "num_ranks": 2,
        "num_shards": 2,
        "shuffle": True,
        "shuffle_seed": 5,
        "output_format": "torch",
        "source": None,
    }
    assert {name: getattr(record, name) for name in wanted} == wanted
    assert "100 rows in 3 row groups of 2 files" in record.getMessage()
    documented = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("## The log") :])) - {"shardline"}
    assert documented == set(wanted)
