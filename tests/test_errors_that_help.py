"""Errors and log lines that say which name was meant, what a function is given, and what to do."""

import logging
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from support.worked import make as made

import shardline
from shardline import ColumnNotFoundError, ColumnOptions, DataLoader, ShardlineTypeError, ShardlineValueError


@pytest.fixture
def path(tmp_path):
    pq.write_table(pa.table({"label": [1, 2, 3], "emb": [0.5, 1.5, 2.5]}), tmp_path / "x.parquet")
    return tmp_path / "x.parquet"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("suffle", "shuffle"), ("batchsize", "batch_size"), ("num_worker", "num_workers"), ("colums", "columns")],
)
def test_a_misspelt_argument(path, wrong, meant):
    with pytest.raises(ShardlineTypeError, match=rf"'{wrong}'; did you mean {meant}=\?"):
        DataLoader(path, **{wrong: 1})


def test_a_seed(path):
    with pytest.raises(ShardlineTypeError, match="seed= of DataLoader.. is now shuffle_seed="):
        DataLoader(path, seed=3)


def test_a_misspelt_option_of_a_column():
    with pytest.raises(ShardlineTypeError, match=r"ColumnOptions\(\) has no option 'null'; did you mean nulls=\?"):
        ColumnOptions(null="fill")


def test_a_misspelt_part_or_argument_of_a_checkpointer(tmp_path):
    with pytest.raises(ShardlineTypeError, match=r"keep_lst=.*did you mean keep_last=\?"):
        shardline.Checkpointer(tmp_path, keep_lst=3)


def test_a_key_that_a_batch_has_not(path):
    schema = DataLoader(path).dataset.schema
    with pytest.raises(ColumnNotFoundError) as caught:
        schema["embb"]
    assert str(caught.value) == "there is no key 'embb' in a batch; did you mean 'emb'?; it has 'label', 'emb'"
    assert isinstance(caught.value, KeyError)
    assert "emb" in schema
    assert schema.get("embb") is None


def test_a_column_that_is_not_there_is_a_sentence(path):
    with pytest.raises(ColumnNotFoundError) as caught:
        DataLoader(path, columns=["lable"])
    assert str(caught.value).startswith('there is no column "lable"; did you mean')


def of_samples(samples):
    return {"label": torch.stack([sample["label"] for sample in samples])}


def misspelt(batch):
    return {"y": batch["lable"]}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_what_a_function_is_given_stands_in_its_error(path, workers):
    def said(**options):
        with pytest.raises((TypeError, KeyError)) as caught:
            list(made(path, workers, "fork", **{"transform": None, "shuffle": False, **options}))
        return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])

    assert "one whole batch, a dict, and never a list of samples" in said(collate_fn=of_samples)
    for name in ("transform", "collate_fn"):
        assert "the batch has the keys 'label', 'emb'; did you mean 'label'?" in said(**{name: misspelt})


@pytest.mark.parametrize(
    "filters", [[("label", "=")], [("label", 1)], ["label", "=", 1], [[("label",)]], [(1, "=", 1)]]
)
def test_what_is_no_condition(path, filters):
    with pytest.raises(ShardlineValueError, match=r"^filters= holds .*, which is no condition: give conditions"):
        DataLoader(path, filters=filters)


def test_an_operator_that_is_not_known(path):
    with pytest.raises(ShardlineValueError, match=r"operator is not known; did you mean 'not in'\?: give conditions"):
        DataLoader(path, filters=[("label", "notin", [1])])


@pytest.mark.parametrize(
    "filters",
    [
        ("label", ">", 1),
        [["label", ">", 1]],
        (("label", ">", 1), ("label", "<", 9)),
        [[("label", ">", 1), ("label", "<", 9)], [("label", "in", {2, 3})]],
        [(("label", "==", 2),), (("label", "not in", [1, 2]),)],
        pc.field("label") > 1,
    ],
)
def test_conditions_in_any_form(path, filters):
    assert [batch["label"].tolist() for batch in DataLoader(path, filters=filters)] == [[2, 3]]


def test_a_whole_checkpoint_given_as_a_state(path):
    loader = DataLoader(path)
    with pytest.raises(shardline.CheckpointMismatchError, match=r"give state\['data'\], not the whole checkpoint"):
        loader.load_state_dict({"model": {"w": 1}, "data": loader.state_dict()})


def test_the_best_by_a_metric_that_no_checkpoint_has(tmp_path):
    checkpointer = shardline.Checkpointer(tmp_path, extra={"a": 1}, monitor="loss")
    with pytest.raises(shardline.CheckpointError, match="they have none"):
        checkpointer.save(1)
        checkpointer.restore("best")
    checkpointer.save(2, metrics={"val_loss": 1, "acc": 2})
    with pytest.raises(shardline.CheckpointError, match="'loss'; did you mean 'val_loss'.*'acc', 'val_loss'"):
        checkpointer.restore("best")


def test_the_manifest_says_what_was_the_best(tmp_path, caplog):
    saving = shardline.Checkpointer(tmp_path, extra={"a": 1}, monitor="acc", mode="max")
    for step, acc in enumerate([0.1, 0.9, 0.5], 1):
        saving.save(step, metrics={"acc": acc})
    assert shardline.Checkpointer(tmp_path, extra={}, monitor=None).restore("best").step == 2
    with caplog.at_level(logging.WARNING, "shardline"):
        assert shardline.Checkpointer(tmp_path, extra={}, monitor="acc").restore("best").step == 1
    assert "saved with mode='max' for 'acc'" in caplog.text


def warned(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_what_changes_a_run_is_a_warning(path, caplog):
    DataLoader(path, shuffle=True, shuffle_seed=None)
    assert "drew the seed" in warned(caplog)[0]
    caplog.clear()
    DataLoader(path, num_workers=1)
    assert "no process is started" in warned(caplog)[0]
    caplog.clear()
    loader = DataLoader(path, batch_size=1)
    next(iter(loader))
    DataLoader(path, batch_size=1).load_state_dict(loader.state_dict())
    assert warned(caplog) == []
    DataLoader(path, batch_size=2).load_state_dict(loader.state_dict())
    assert "the loaded state" in warned(caplog)[0]


def test_a_seed_does_not_matter_where_nothing_is_shuffled(path):
    loader = DataLoader(path, batch_size=1, shuffle_seed=1)
    next(iter(loader))
    other = DataLoader(path, batch_size=1, shuffle_seed=2)
    other.load_state_dict(loader.state_dict())
    assert [batch["label"].tolist() for batch in other] == [[2], [3]]
    shuffled = DataLoader(path, batch_size=1, shuffle=True, shuffle_seed=1)
    with pytest.raises(shardline.CheckpointMismatchError, match="seed: saved 1"):
        DataLoader(path, batch_size=1, shuffle=True, shuffle_seed=2).load_state_dict(shuffled.state_dict())


def test_an_option_of_fsspecs_caches():
    with pytest.raises(ShardlineValueError, match="skip_instance_cache is an option of fsspec's own caches"):
        DataLoader("s3://bucket/x.parquet", storage_options={"skip_instance_cache": True})


def test_a_progress_bar_without_tqdm(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    for make in (DataLoader, shardline.StructuredDataset):
        with pytest.raises(ImportError, match="show_progress=True needs tqdm") as caught:
            make(path, show_progress=True)
        assert isinstance(caught.value, shardline.ShardlineError)


LATE = [2**40, 0]  # a date of the year 36,812


@pytest.mark.parametrize("output", ["torch", "dict"])
def test_dates_beyond_pythons(tmp_path, output):
    pq.write_table(pa.table({"at": pa.array([[k] for k in LATE], pa.list_(pa.timestamp("s")))}), tmp_path / "x.parquet")
    options = {"at": ColumnOptions(lists="objects")} if output == "torch" else {}
    with pytest.raises(ShardlineValueError, match="column 'at.*holds a value that Python's objects cannot hold"):
        list(DataLoader(tmp_path, output_format=output, column_options=options))


def test_the_representation_has_lines(path):
    lines = repr(DataLoader(path)).splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) < 100 + len(str(path))


# Conventions


@pytest.mark.parametrize("dtype", [np.float16, np.dtype("float32"), np.dtype(bool), np.uint8, np.int64])
def test_numpys_dtypes(dtype):
    assert ColumnOptions(dtype=dtype) == ColumnOptions(dtype=np.dtype(dtype).name)


@pytest.mark.parametrize("dtype", [np.dtype(">f4"), np.dtype("U3"), np.complex64, float, np.float32(3), "f4"])
def test_what_is_no_dtype_of_a_column(dtype):
    with pytest.raises(ShardlineValueError, match="dtype must be a torch or numpy dtype"):
        ColumnOptions(dtype=dtype)


def test_an_index_of_pandas_is_left_out_unless_it_is_named(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"x": [1, 2]}, index=[5, 7])
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.rename_axis("user").to_parquet(tmp_path / "named.parquet")
    index = "__index_level_0__"

    def keys(name, **options):
        return list(next(iter(DataLoader(tmp_path / f"{name}.parquet", **options))))

    assert keys("plain") == ["x"]
    assert keys("plain", columns=[index, "x"]) == [index, "x"]
    assert keys("plain", column_options={index: ColumnOptions(dtype="int32")}) == ["x", index]
    assert keys("plain", matrices={"m": ["x", index]}) == ["m"]
    assert keys("named") == ["x", "user"]
    (batch,) = DataLoader(tmp_path / "plain.parquet", output_format="arrow", filters=[(index, ">", 5)])
    assert batch.to_pydict() == {"x": [2]}


def test_the_folders_of_a_file_that_is_named_itself(tmp_path):
    folder = tmp_path / "year=2024" / "city=Rome"
    folder.mkdir(parents=True)
    files = [folder / "a.parquet", folder / "b.parquet"]
    for file in files:
        pq.write_table(pa.table({"x": [1]}), file)

    def read(path, **options):
        batches = DataLoader(path, partitioning="hive", output_format="dict", **options)
        return [dict(zip(batch, row, strict=True)) for batch in batches for row in zip(*batch.values(), strict=True)]

    row = {"x": 1, "year": 2024, "city": "Rome"}
    assert read(files[0]) == [row]
    assert ds.dataset(list(map(str, files)), partitioning="hive").to_table().to_pylist() == [row, row]
    assert read(files) == [row, row]
    assert read(tmp_path) == [row, row]
    assert read(files[1], filters=[("year", "=", 2024)]) == [row]
    assert read(folder) == [{"x": 1}, {"x": 1}]  # as pyarrow: the data set begins here
