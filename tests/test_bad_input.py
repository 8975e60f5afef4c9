"""Wrong input: each a clear error of the right type that says what to do, and nothing is lost."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids, take, write_rows

import shardline
from shardline import ColumnOptions, DataLoader, StructuredDataset


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be between 1"),
        ({"batch_size": -5}, ValueError, "batch_size .* not -5"),
        ({"batch_size": 2**40}, ValueError, "batch_size must be between"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer"),
        ({"batch_size": 10.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": "10"}, TypeError, "batch_size must be an integer"),
        ({"split_rows": -1}, ValueError, "split_rows"),
        ({"split_rows": 0}, ValueError, "split_rows"),
        ({"split_bytes": "128 parsecs"}, ValueError, "128 parsecs.*not understood.*KiB, MiB"),
        ({"split_bytes": ""}, ValueError, "split_bytes"),
        ({"split_bytes": "-1MiB"}, ValueError, "split_bytes"),
        ({"split_bytes": 0}, ValueError, "split_bytes"),
        ({"split_bytes": []}, TypeError, "split_bytes"),
        ({"prefetch_bytes": "lots"}, ValueError, "prefetch_bytes"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False"),
        ({"drop_last": "no"}, TypeError, "drop_last"),
        ({"shuffle_seed": -1}, ValueError, "shuffle_seed"),
        ({"shuffle_seed": 2**64}, ValueError, "shuffle_seed"),
        ({"shuffle_seed": 0.5}, TypeError, "shuffle_seed"),
        ({"shuffle_buffer_size": -1}, ValueError, "shuffle_buffer_size"),
        ({"shuffle_strands": 0}, ValueError, "shuffle_strands"),
        ({"shuffle_buffer_bytes": 0}, ValueError, "shuffle_buffer_bytes"),
        ({"shuffle_buffer_bytes": "much"}, ValueError, "shuffle_buffer_bytes"),
        (
            {"shuffle": True, "shuffle_buffer_bytes": "1MiB", "shuffle_buffer_size": 5},
            ValueError,
            "shuffle_buffer_bytes= and shuffle_buffer_size=",
        ),
        ({"num_threads": 0}, ValueError, "num_threads"),
        ({"num_shards": 0}, ValueError, "num_shards"),
        ({"num_shards": 10, "rank": 0, "num_ranks": 4}, ValueError, "num_shards=10.*4 ranks: 8 or 12 would do"),
        ({"num_shards": 2, "rank": 0, "num_ranks": 4}, ValueError, "4 would do"),
        ({"num_shards": 101}, ValueError, "fewer rows|101"),
        ({"batch_size": 200, "drop_last": True}, ValueError, "step|batch"),
        ({"rank": 0, "num_ranks": 101}, ValueError, "fewer rows|101"),
        ({"rank": 4, "num_ranks": 4}, ValueError, "rank must be between 0 and 3"),
        ({"rank": 1}, ValueError, "rank and num_ranks"),
        ({"num_ranks": 2}, ValueError, "rank and num_ranks"),
        ({"format": "csv"}, ValueError, "format.*'csv'"),
        ({"output_format": "jax"}, ValueError, "output_format.*'torch'.*'jax'"),
        ({"on_new_files": "new"}, ValueError, "on_new_files"),
        ({"columns": "i"}, TypeError, "columns must be a list"),
        ({"columns": [1]}, TypeError, "columns"),
        ({"columns": ["nope"]}, KeyError, "nope"),
        ({"columns": ["i", "i"]}, ValueError, "i"),
        ({"column_options": {"nope": ColumnOptions()}}, KeyError, "nope"),
        ({"column_options": {"i": "fixed"}}, TypeError, "ColumnOptions"),
        ({"column_options": [1]}, TypeError, "column_options"),
        ({"collate_fn": 3}, TypeError, "collate_fn"),
        ({"num_workers": -1}, ValueError, "num_workers"),
        ({"sampler": range(3)}, ValueError, "sampler= is not taken.*shuffle="),
        ({"batch_sampler": [[0]]}, ValueError, "batch_sampler= is not taken.*batch_size="),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_wrong_arguments(hundred, arguments, kind, words):
    with pytest.raises(kind, match=words) as caught:
        DataLoader(hundred, **arguments)
    assert isinstance(caught.value, shardline.ShardlineError)


@pytest.mark.parametrize("url", ["hdfs://host/x", "ftp://host/x.parquet", "memory://x"])
def test_stores_that_have_no_reader_are_named(url):
    with pytest.raises(shardline.ShardlineValueError, match=url.split(":")[0]):
        DataLoader(url)


def test_lists_option_is_checked():
    with pytest.raises(ValueError, match="'jagged', 'fixed'"):
        ColumnOptions(lists="ragged")


def test_unknown_columns_suggest_near_names(tmp_path):
    pq.write_table(pa.table({"distance": [1], "departure": [2]}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ColumnNotFoundError, match="distance"):
        DataLoader(tmp_path, columns=["distnace"])


def test_no_such_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        DataLoader(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="x-"):
        DataLoader(str(tmp_path / "x-*.parquet"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        DataLoader(tmp_path / "empty")
    with pytest.raises(ValueError, match="empty list"):
        DataLoader([])
    with pytest.raises(TypeError, match="path"):
        DataLoader(7)
    with pytest.raises(TypeError, match="path"):
        DataLoader([b"x"])
    for path in ("a\0b", "a\udcff"):
        with pytest.raises(shardline.ShardlineValueError, match="path must be UTF-8"):
            DataLoader(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not parquet at all, but long enough to be looked at",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
        lambda data: data[:-60] + bytes(52) + data[-8:],
        lambda data: b"PAR1",
    ],
    ids=["empty", "text", "half", "cut", "length", "footer", "magic"],
)
def test_what_is_not_parquet_is_named(hundred, damage):
    bad = hundred / "part-0001.parquet"
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(shardline.ShardlineError, match="part-0001.parquet"):
        DataLoader(hundred)


def test_permission():
    nobody, user = 65534, os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = write_rows(Path(name), [[10], [10]])
        folder.chmod(0o755)
        (folder / "part-0001.parquet").chmod(0)
        if user == 0:  # who may read everything
            os.seteuid(nobody)
        try:
            with pytest.raises(PermissionError, match="part-0001.parquet"):
                DataLoader(folder)
        finally:
            os.seteuid(user)


def test_schemas_that_differ_name_file_column_and_types(hundred):
    pq.write_table(pa.table({"i": pa.array([1], pa.int32()), "x": pa.array([1], pa.float32())}), hundred / "zz.parquet")
    with pytest.raises(shardline.ShardlineError, match=r"(?is)zz\.parquet") as caught:
        DataLoader(hundred)
    for word in ("zz.parquet", "i", "int32", "int64"):
        assert word.lower() in str(caught.value).lower()


def test_missing_column_names_file_and_column(hundred):
    pq.write_table(pa.table({"i": pa.array([1], pa.int64())}), hundred / "zz.parquet")
    with pytest.raises(shardline.ShardlineError, match=r"zz\.parquet") as caught:
        DataLoader(hundred)
    assert "x" in str(caught.value)


@pytest.mark.parametrize("statistics", [True, False])
def test_nulls_name_the_column_and_leave_the_state_of_the_last_batch(tmp_path, statistics):
    values = [*range(50), None, *range(49)]
    pq.write_table(
        pa.table({"i": pa.array(range(100)), "y": pa.array(values, pa.int64())}),
        tmp_path / "a.parquet",
        row_group_size=10,
        write_statistics=statistics,
    )
    with pytest.raises(shardline.ShardlineError, match="y") as caught:
        loader = DataLoader(tmp_path, batch_size=5)
        iterator = iter(loader)
        done = 0
        for _ in iterator:
            done += 1
    assert "null" in str(caught.value)
    if not statistics:
        assert loader.batch_index == done <= 10
        with pytest.raises(shardline.ShardlineError, match="null"):  # asked again, it skips nothing
            next(iterator)
        assert loader.batch_index == done
    assert len(ids(DataLoader(tmp_path, columns=["i"], batch_size=5))) == 20


def test_lists_of_other_lengths_than_fixed(tmp_path):
    rows = [[1, 2]] * 30 + [[1, 2, 3]] + [[1, 2]] * 9
    pq.write_table(pa.table({"t": pa.array(rows, pa.list_(pa.int32()))}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ShardlineError, match="t") as caught:
        list(DataLoader(tmp_path, batch_size=4, column_options={"t": ColumnOptions(lists="fixed")}))
    for word in ("a.parquet", "row 30"):
        assert word in str(caught.value)


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_files_that_change_between_planning_and_reading_are_named(hundred, how):
    loader = DataLoader(hundred, batch_size=10, prefetch_bytes=1)
    target = hundred / "part-0002.parquet"
    if how == "gone":
        target.unlink()
    else:
        pq.write_table(pa.table({"i": np.arange(40), "x": np.zeros(40, "f4")}), target)
    found = []
    with pytest.raises(shardline.ShardlineError, match=r"part-0002\.parquet"):
        for batch in loader:
            found += batch["i"].tolist()
    assert found == list(range(len(found)))
    assert len(found) <= 60
    assert loader.batch_index == len(found) // 10


def test_an_error_in_the_loop_loses_nothing(hundred):
    whole = ids(DataLoader(hundred, batch_size=10, shuffle=True))
    loader = DataLoader(hundred, batch_size=10, shuffle=True)
    with pytest.raises(RuntimeError):
        for number, _ in enumerate(loader):
            if number == 4:
                raise RuntimeError
    resumed = DataLoader(hundred, batch_size=10, shuffle=True)
    resumed.load_state_dict(loader.state_dict())
    assert ids(resumed) == whole[5:]


def test_two_datasets_read_side_by_side(hundred):
    one, two = (DataLoader(hundred, batch_size=10, shuffle_seed=s, shuffle=True) for s in (1, 2))
    pairs = [(a["i"].tolist(), b["i"].tolist()) for a, b in zip(one, two, strict=True)]
    assert sorted(sum((a for a, _ in pairs), [])) == sorted(sum((b for _, b in pairs), [])) == list(range(100))


def test_world_size_without_a_process_group_is_an_error(hundred, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"WORLD_SIZE=4.*init_process_group.*rank="):
        DataLoader(hundred)
    assert len(DataLoader(hundred, rank=1, num_ranks=2, batch_size=10)) == 5
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert len(DataLoader(hundred, batch_size=10)) == 10


def test_a_dataset_takes_no_options_twice(hundred):
    dataset = StructuredDataset(hundred, batch_size=10)
    assert len(DataLoader(dataset)) == 10
    with pytest.raises(TypeError, match="batch_size"):
        DataLoader(dataset, batch_size=5)
    with pytest.raises(TypeError, match="columns"):
        DataLoader(dataset, columns=["i"])


@pytest.mark.parametrize("call", ["set_epoch", "seek", "state_at"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", None, True])
def test_epochs_and_steps_are_checked(hundred, call, value):
    loader = DataLoader(hundred, batch_size=10)
    take(iter(loader), 2)
    before = loader.state_dict()
    with pytest.raises((ValueError, TypeError), match="epoch|step"):
        getattr(loader, call)(value)
    assert loader.state_dict() == before


def test_a_plan_that_is_none(tmp_path):
    with pytest.raises(shardline.ShardlineTypeError, match="plan must be a Plan.*load"):
        DataLoader(plan=tmp_path / "plan")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        shardline.Plan.load(tmp_path / "nowhere")
    (tmp_path / "plan").write_bytes(b"no plan")
    with pytest.raises(ValueError, match="plan"):
        shardline.Plan.load(tmp_path / "plan")
