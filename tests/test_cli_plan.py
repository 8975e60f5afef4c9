"""`shardline plan` and `explain`: what is foreseen is what then happens."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, write_rows
from support.command import as_json, fails, printed
from support.spec import Group, Settings, splits

from shardline import DataLoader, Plan, ShardlineTypeError, StructuredDataset, explain


@examples(25)
@given(
    groups=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=5),
    ranks=st.integers(1, 3),
    shards=st.integers(1, 3),
    size=st.integers(1, 30),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
    split_rows=st.none() | st.integers(1, 60),
)
def test_an_epoch_is_as_foreseen(tmp_path_factory, groups, ranks, shards, size, drop_last, shuffle, split_rows):
    rows = sum(map(sum, groups))
    if rows < ranks * shards * (size if drop_last else 1):
        return
    folder = write_rows(tmp_path_factory.mktemp("d"), groups)
    options = {"batch_size": size, "drop_last": drop_last, "shuffle": shuffle, "num_shards": ranks * shards}
    options |= {"split_rows": split_rows}
    datasets = [StructuredDataset(folder, rank=rank, num_ranks=ranks, **options) for rank in range(ranks)]
    (found,) = {explain(dataset) for dataset in datasets}
    assert [len(list(dataset)) for dataset in datasets] == [found.steps] * ranks
    assert found.rows_left_out == sum(stop - start for start, stop in datasets[0].left_out())
    assert (found.num_rows, found.num_shards, found.num_files) == (rows, ranks * shards, len(groups))
    plan = datasets[0].plan
    sizes = iter(zip(plan.group_rows, plan.group_bytes, strict=True))
    files = [[Group(n, nbytes, nbytes, n) for n, nbytes in (next(sizes) for _ in each)] for each in groups]
    wanted = splits(files, Settings(shuffle, 42, split_rows=split_rows))
    assert found.splits == len(wanted)


def test_bytes_are_those_of_the_columns(hundred):
    both, one = (explain(DataLoader(hundred, columns=columns)) for columns in (None, ["x"]))
    assert (both.columns, one.columns, one.columns_of) == (2, 1, 2)
    assert 0 < one.column_bytes < both.column_bytes
    assert 0 < one.memory_bytes < both.memory_bytes


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """By (has a page index, has dictionaries): a folder of 80,000 rows in 16 row groups."""
    rng, found = np.random.default_rng(0), {}
    table = pa.table({"x": rng.integers(0, 2**62, 80_000) // 3, "y": rng.standard_normal(80_000)})
    for index in (False, True):
        for dictionaries in (False, True):
            folder = tmp_path_factory.mktemp("laid")
            options = {"write_page_index": index, "use_dictionary": dictionaries, "data_page_size": 1000}
            pq.write_table(table, folder / "0.parquet", row_group_size=5_000, compression="none", **options)
            found[index, dictionaries] = folder
    return found


def test_the_first_batch_waits_for_its_window(laid_out):
    needs = {}
    for layout, folder in laid_out.items():
        for windows in (1, 10):
            loader = DataLoader(folder, shuffle=True, shuffle_buffer_size=80_000 // windows, shuffle_strands=8)
            found = explain(loader)
            assert found.windows == windows
            needs[windows, *layout] = found.first_batch_bytes / found.column_bytes
    assert {share for (windows, *_), share in needs.items() if windows == 1} == {1.0}
    # a tenth of the rows; to begin in the midst of 8 of 16 row groups, half of each, or its dictionaries
    assert needs[10, True, False] == pytest.approx(0.1)
    assert needs[10, False, False] == pytest.approx(0.1 + 8 / 16 / 2, rel=0.01)
    assert needs[10, True, True] > 0.3
    assert needs[10, False, True] > needs[10, False, False]


def test_in_file_order_the_first_batch_needs_hardly_more_than_its_rows(laid_out):
    folder = laid_out[True, False]
    whole, one = (explain(DataLoader(folder, batch_size=size)) for size in (80_000, 800))
    assert whole.first_batch_bytes == whole.column_bytes == one.column_bytes
    assert one.first_batch_bytes == pytest.approx(one.column_bytes / 100)
    (rank,) = {
        explain(StructuredDataset(laid_out[False, False], batch_size=800, rank=1, num_ranks=2)).first_batch_bytes
    }
    assert rank == pytest.approx(one.column_bytes / 100 + one.column_bytes / 16 / 2, rel=0.01)


def test_a_rate_gives_the_time(laid_out):
    loader = DataLoader(laid_out[False, True], shuffle=True)
    assert explain(loader).first_batch_seconds is None
    for rate in (10**6, "1MB/s", "1 MB"):
        found = explain(loader, rate=rate)
        assert found.first_batch_seconds == found.first_batch_bytes / 1e6
    found = explain(loader, rate="measure")
    assert found.rate.measured
    assert found.first_batch_seconds > found.first_batch_bytes / found.rate.bytes_per_second > 0
    assert next(iter(loader))  # its place has not moved, and nothing was begun in it
    with pytest.raises(ShardlineTypeError, match="rate must be"):
        explain(loader, rate=1.5)


def test_the_command_measures_on_a_disk(laid_out):
    folder = laid_out[False, True]
    measured, given = as_json("plan", folder), as_json("plan", folder, "--rate", "2MB/s")
    assert measured["rate"]["measured"]
    assert measured["first_batch_seconds"] > 0
    assert given["first_batch_seconds"] == given["first_batch_bytes"] / 2e6
    assert "as a short read in file order went" in " ".join(printed("plan", folder).split())
    assert "rate='fast' is not understood" in fails("plan", folder, "--rate", "fast")


def test_a_saved_plan_is_that_of_the_loader(hundred, tmp_path):
    file = tmp_path / "p.plan"
    found = as_json("plan", hundred, "-f", "i >= 50", "--ranks", 2, "-b", 5, "--workers", 3, "--save", file)
    assert (found["num_rows"], found["steps"], found["num_workers"]) == (50, 5, 3)
    loader = DataLoader(plan=Plan.load(file), filters=[("i", ">=", 50)], batch_size=5, rank=0, num_ranks=2)
    assert len(loader) == 5
    assert "exists: give --overwrite" in fails("plan", hundred, "--save", file)
    assert Plan.load(file).passing is not None
    printed("plan", hundred, "--save", file, "--overwrite")
    assert Plan.load(file).passing is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ranks", 1000], "fewer than the 1,000 shards"),
        (["-c", "z"], 'no column "z"'),
        (["-o", "shuffle_strands=2"], "shuffle"),
        (["-o", "batch_size=0"], "batch_size"),
    ],
)
def test_what_cannot_be_is_an_error(hundred, arguments, said):
    assert said in fails("plan", hundred, *arguments)


def test_shuffle_quality_is_that_of_the_loader(rows):
    folder = rows([[2000] * 4])
    found = as_json("shuffle-quality", folder, "-b", 20, "--column", "i", "--seed", 1)
    assert 0.8 < found["column_values"] < 1.2
    found = as_json("shuffle-quality", folder, "-b", 20, "--no-shuffle")
    assert found["effective_batch_size"] < 2
    assert "fewer than two full batches" in fails("shuffle-quality", folder, "-b", 8000)
    assert "1.00 is a uniform shuffle" in " ".join(printed("shuffle-quality", folder, "-b", 20, width=60).split())
