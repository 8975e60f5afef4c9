"""A global shuffle is uniform, and a function of the seed and the rows' numbers alone."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline.rewrite.order import random_keys

ROWS = 40_000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number in range(2):
        rows = np.arange(ROWS // 2) + number * (ROWS // 2)
        pq.write_table(pa.table({"i": rows}), folder / f"{number}.parquet", row_group_size=3_000)
    return folder


def shuffled(data, out, **options):
    shardline.rewrite(data, out, shuffle=True, **options)
    return np.concatenate([pq.read_table(path)["i"].to_numpy() for path in sorted(out.iterdir())])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"file_rows": 5_000, "num_threads": 3},
        {"memory": "100kB", "row_group_rows": 500},
        {"memory": "50kB", "row_group_rows": 300, "file_rows": 15_000, "num_threads": 2},
    ],
    ids=str,
)
def test_the_order_is_that_of_random_keys_however_it_is_made(data, tmp_path, options):
    """By one bucket or by many, on any number of threads."""
    found = shuffled(data, tmp_path / "out", seed=7, **options)
    assert np.array_equal(found, np.argsort(random_keys(7, 0, ROWS), kind="stable"))


def test_seeds_and_numbers_of_rows_make_other_orders(data, tmp_path):
    one, other = (shuffled(data, tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(ROWS)
    assert (one == other).sum() < 10


def chi_square(counts):
    """How many standard deviations the counts are more uneven than uniform draws."""
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum(), counts.size - 1


def test_rows_of_every_place_come_to_every_place(data, tmp_path):
    """Of a fixed seed: rows by where they were and where they are, neighbours, and rows that stay."""
    order = shuffled(data, tmp_path / "out", seed=11, memory="100kB", row_group_rows=500)
    assert np.array_equal(np.sort(order), np.arange(ROWS))
    places = np.histogram2d(order, np.arange(ROWS), bins=20)[0]
    value, freedom = chi_square(places)
    freedom -= 2 * 19  # the sums of rows and columns are given
    assert abs(value - freedom) < 4 * math.sqrt(2 * freedom)
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 4 / math.sqrt(ROWS)
    steps = np.diff(order)  # neighbours that were neighbours: 1 expected of each kind
    assert (np.abs(steps) == 1).sum() < 10
    assert (order == np.arange(ROWS)).sum() < 8
    means = order.reshape(-1, 100).mean(1)  # of batches, as those of draws without replacement
    expected = math.sqrt((ROWS**2 - 1) / 12 / 100 * (1 - 99 / (ROWS - 1)))
    assert abs(means.std() / expected - 1) < 4 / math.sqrt(2 * len(means))


def test_all_orders_of_few_rows_are_as_likely():
    """Each of the 24 orders of 4 rows, over 12,000 seeds."""
    orders = np.array([np.argsort(random_keys(seed, 0, 4)) for seed in range(12_000)])
    counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)[1]
    assert len(counts) == 24
    value, freedom = chi_square(counts)
    assert abs(value - freedom) < 4 * math.sqrt(2 * freedom)


def test_the_keys_are_for_ever():
    """Philox 4x64-10, as Random123 publishes it: another order of a seed would be a fault."""
    assert [hex(key) for key in random_keys(7, 0, 2).tolist()] == GOLDEN
    assert random_keys(7, 1_000_003, 5).tolist() == random_keys(7, 1_000_000, 8)[3:].tolist()


GOLDEN = ["0xdf4034b829e9fba4", "0x4b9d10cdf8e64087"]


@pytest.mark.parametrize("options", [{"partition_by": "half"}, {"partition_by": ["half"], "memory": "100kB"}], ids=str)
def test_each_folder_is_shuffled(data, tmp_path, options):
    source = tmp_path / "in.parquet"
    numbers = np.arange(2_000)
    pq.write_table(pa.table({"i": numbers, "half": numbers // 1_000}), source)
    shardline.rewrite(source, tmp_path / "out", shuffle=True, seed=5, row_group_rows=100, **options)
    keys = random_keys(5, 0, 2_000)
    for half in range(2):
        files = sorted((tmp_path / "out" / f"half={half}").iterdir())
        found = np.concatenate([pq.ParquetFile(path).read()["i"].to_numpy() for path in files])
        assert np.array_equal(found, np.argsort(keys[half * 1_000 : half * 1_000 + 1_000]) + half * 1_000)
