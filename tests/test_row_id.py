"""`row_id=True`: every row says which file it comes from, and which of its rows it is."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import shardline
from shardline import ColumnOptions, DataLoader

FILE, ROW = "row_id__file", "row_id__row"


def write(folder, sizes, group=7):
    """A file a size, whose rows are numbered through: `x`, with nulls in `y`."""
    first = 0
    for number, rows in enumerate(sizes):
        x = np.arange(first, first + rows)
        table = pa.table({"x": x, "y": pa.array(x, mask=x % 3 == 0), "s": [str(v) for v in x]})
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / f"{number:02}.parquet", row_group_size=group)
        first += rows
    return str(folder)


def found(loader):
    """(file, row, x) of all rows, in the order of delivery."""
    return [
        row
        for batch in loader
        for row in zip(batch[FILE].tolist(), batch[ROW].tolist(), batch["x"].tolist(), strict=True)
    ]


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    group=st.integers(1, 20),
    batch_size=st.integers(1, 30),
    shuffle=st.booleans(),
    options=st.sampled_from(
        [{}, {"filters": [("x", "in", list(range(0, 200, 2)))]}, {"filters": [("y", ">", 5)]}, {"sample": 0.5}]
    ),
    num_shards=st.integers(1, 3),
)
def test_the_row_that_is_named_is_the_row(tmp_path_factory, sizes, group, batch_size, shuffle, options, num_shards):
    path = write(tmp_path_factory.mktemp("rows"), sizes, group)
    try:
        plain = DataLoader(
            path, columns=["x"], batch_size=batch_size, shuffle=shuffle, num_shards=num_shards, **options
        )
    except shardline.ShardlineValueError:
        reject()  # too few rows pass
    loader = DataLoader(
        path, columns=["x"], row_id=True, batch_size=batch_size, shuffle=shuffle, num_shards=num_shards, **options
    )
    rows = found(loader)
    assert [x for _, _, x in rows] == [x for batch in plain for x in batch["x"].tolist()]
    files = [name for name, _, _ in loader.dataset.plan.files()]
    first = np.cumsum([0, *sizes])
    for file, row, x in rows:
        assert files[file] == f"{file:02}.parquet"
        assert first[file] + row == x


@pytest.mark.parametrize("output_format", ["torch", "numpy", "arrow", "dict"])
def test_every_format_has_it(tmp_path, output_format):
    filled = ColumnOptions(nulls="fill")
    loader = DataLoader(
        write(tmp_path, [5, 3]), row_id=True, batch_size=8, output_format=output_format, column_defaults=filled
    )
    batch = next(iter(loader))
    names = batch.schema.names if output_format == "arrow" else list(batch)
    assert names == ["x", "y", "s", FILE, ROW]
    as_list = {"arrow": lambda v: v.to_pylist(), "dict": list}.get(output_format, lambda v: v.tolist())
    assert as_list(batch[FILE]) == [0] * 5 + [1] * 3
    assert as_list(batch[ROW]) == [0, 1, 2, 3, 4, 0, 1, 2]


def test_defaults_of_other_columns_do_not_reach_it(tmp_path):
    loader = DataLoader(
        write(tmp_path, [4]), columns=["x"], row_id=True, column_defaults=ColumnOptions(dtype="float32", nulls="nan")
    )
    batch = next(iter(loader))
    assert (str(batch["x"].dtype), str(batch[ROW].dtype), str(batch[FILE].dtype)) == (
        "torch.float32",
        "torch.int64",
        "torch.int64",
    )


def test_a_state_of_it_resumes_without_it_and_the_other_way_round(tmp_path):
    path = write(tmp_path, [30, 20])
    made = {flag: DataLoader(path, columns=["x"], row_id=flag, batch_size=4, shuffle=True) for flag in (False, True)}
    for one, other in ((False, True), (True, False)):
        batches = iter(made[one])
        for _ in range(3):
            next(batches)
        state = made[one].state_dict()
        rest = [batch["x"].tolist() for batch in batches]
        fresh = DataLoader(path, columns=["x"], row_id=other, batch_size=4, shuffle=True)
        fresh.load_state_dict(state)
        assert [batch["x"].tolist() for batch in fresh] == rest


def test_beside_a_column_of_the_folders(tmp_path):
    write(tmp_path / "day=1", [3])
    write(tmp_path / "day=2", [2])
    batch = next(iter(DataLoader(str(tmp_path), columns=["x", "day"], row_id=True, partitioning="hive")))
    assert (batch["day"].tolist(), batch[FILE].tolist()) == ([1, 1, 1, 2, 2], [0, 0, 0, 1, 1])


def test_a_file_has_such_a_column(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], ROW: [7, 8]}), tmp_path / "a.parquet")
    with pytest.raises(shardline.ShardlineValueError, match=ROW):
        next(iter(DataLoader(str(tmp_path), row_id=True)))
    batch = next(iter(DataLoader(str(tmp_path), columns=["x"], row_id=True)))
    assert batch[ROW].tolist() == [0, 1]


def test_the_schema_has_it(tmp_path):
    dataset = shardline.StructuredDataset(write(tmp_path, [3]), columns=["x"], row_id=True)
    assert FILE in str(dataset.schema)
    assert ROW in str(dataset.schema)


def test_another_type(tmp_path):
    with pytest.raises(shardline.ShardlineTypeError, match="row_id"):
        DataLoader(write(tmp_path, [3]), row_id="yes")
