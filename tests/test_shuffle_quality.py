"""`shuffle_quality`: its figures against known orders, and against what a loader delivers."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline import DataLoader, Plan, shuffle_quality
from shardline.quality.figures import label_ratio, run_ratio
from shardline.quality.sampling import Layout, pairs_again

ROWS, GROUPS, BATCH = 200_000, 32, 200


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """200,000 rows sorted by everything, in 2 files of 16 row groups."""
    folder = tmp_path_factory.mktemp("quality")
    for file, rows in enumerate(np.split(np.arange(ROWS), 2)):
        columns = {"i": rows, "label": [f"class {row * 50 // ROWS}" for row in rows]}
        pq.write_table(pa.table(columns), folder / f"{file}.parquet", row_group_size=ROWS // GROUPS)
    return folder


def loader_of(table, **settings):
    return DataLoader(table, batch_size=BATCH, rank=0, num_ranks=1, shuffle_seed=5, **settings)


MIXED = {"shuffle": True, "shuffle_buffer_bytes": "1MiB", "shuffle_strands": 16}


def test_rows_in_file_order_are_said_to_be_so(table):
    quality = shuffle_quality(loader_of(table), "label")
    worst = math.sqrt(BATCH)
    assert quality.sorted_ids == pytest.approx(worst, rel=0.1)
    assert quality.labels_100 == pytest.approx(worst, rel=0.1)
    assert quality.column_values == pytest.approx(worst, rel=0.1)
    assert quality.neighbours > 0.99
    assert quality.in_file == pytest.approx(worst, rel=0.1)
    assert quality.effective_batch_size < 2
    assert quality.pairs_again > 50
    assert "not shuffled" in str(quality)


def test_a_uniform_shuffle_is_one(table):
    """All within four standard errors: of about 1,000 batches, 2 % a figure."""
    quality = shuffle_quality(loader_of(table, shuffle=True), "label")
    assert quality.sampled_batches > 1000
    figures = [quality.sorted_ids, quality.labels_100, quality.labels_1000, quality.labels_10000, quality.column_values]
    assert [*figures, quality.in_row_group, quality.in_file, quality.pairs_again] == pytest.approx([1] * 8, abs=0.09)
    assert abs(quality.neighbours) < 0.13
    assert quality.effective_batch_size == pytest.approx(BATCH, rel=0.1)


@pytest.mark.parametrize("more", [{"num_shards": 4}, {"filters": [("i", "<", 150_000)]}], ids=str)
def test_the_report_says_what_the_loader_delivers(table, more):
    loader = loader_of(table, **MIXED, **more)
    order = loader.state_dict()["rows"]["order"]
    assert order["strands"] > 1
    assert order["windows"] > 1
    quality = shuffle_quality(loader, "label")
    total = loader.dataset.num_rows
    sorted_ids, labels, in_group, column = [], [], [], []
    for _ in range(3):
        batches = [batch for batch in loader if len(batch["i"]) == BATCH]
        rows = np.stack([batch["i"].numpy() for batch in batches])
        sorted_ids.append(rows.mean(1).std() / (np.arange(total).std() / math.sqrt(BATCH)))
        in_group.append((rows % 6250).mean(1).std() / (np.arange(6250).std() / math.sqrt(BATCH)))
        values = np.random.default_rng(1).standard_normal((40, 100))
        drawn = [value[rows * 100 // total] for value in values]
        labels += [each.mean(1).std() / (each.std() / math.sqrt(BATCH)) for each in drawn]
        for name in {label for batch in batches[:20] for label in batch["label"]}:
            share = np.array([sum(label == name for label in batch["label"]) for batch in batches]) / BATCH
            column.append((share.var(), share.mean() * (1 - share.mean()) / BATCH))
    mean = lambda found: math.sqrt(np.mean(np.square(found)))  # noqa: E731
    assert quality.sorted_ids == pytest.approx(mean(sorted_ids), rel=0.1)
    assert quality.in_row_group == pytest.approx(mean(in_group), rel=0.15)
    assert quality.labels_100 == pytest.approx(mean(labels), rel=0.15)
    seen, expected = np.sum(column, axis=0)
    assert quality.column_values == pytest.approx(math.sqrt(seen / expected), rel=0.15)


def test_a_label_figure_is_that_of_random_labels_over_all_draws():
    rng = np.random.default_rng(3)
    rows = np.sort(rng.permutation(10_000)).reshape(50, 200)[:, rng.permutation(200)]
    values = rng.standard_normal((2000, 100))
    means = np.array([value[rows // 100].mean(1) - value.mean() for value in values])
    expected = np.mean(means**2) / (np.mean(values.var(1)) / 200 * 9800 / 9999)
    assert run_ratio(rows, 100, 10_000) == pytest.approx(math.sqrt(expected), rel=0.02)
    assert math.isnan(label_ratio(np.zeros((3, 4), np.int64), np.ones(1), 100))


def test_pairs_that_meet_again_are_counted_right(table):
    """Against all rows' windows in both epochs."""
    dataset = loader_of(table, **MIXED).dataset
    order, _ = dataset.measured()
    layout, windows = Layout(order.plan), order.shuffle.windows
    seen = []
    for epoch in (0, 1):
        window = np.empty(ROWS, np.int64)
        for t in range(windows):
            window[layout.rows(order.core.rows(epoch, [(t * ROWS // windows, (t + 1) * ROWS // windows)]))] = t
        seen.append(window)
    both = np.bincount(seen[0] * windows + seen[1]).astype(float)
    chance = np.prod([(np.bincount(window).astype(float) ** 2).sum() for window in seen]) / ROWS**2
    assert pairs_again(order.core, layout, windows, 0, BATCH) == pytest.approx((both**2).sum() / chance, rel=0.1)


def plan_of(folder, groups):
    """A plan of row groups (rows, decoded bytes a row) that no file has: an order needs no more of them."""
    pq.write_table(pa.table({"i": pa.array([], pa.int64())}), folder / "a.parquet")
    rows = [rows for rows, _ in groups]
    absent = ("b.parquet", "0" * 16, rows, [rows * width for rows, width in groups], rows)
    return Plan.build([str(folder)], num_threads=1).with_absent([absent])


@pytest.mark.parametrize(
    ("groups", "most_in_group"),
    [([(1_048_576, 300)] * 4, 6), ([(50_000, 4096)] * 40, 9)],
    ids=["large groups", "wide"],
)
def test_sorted_data_are_mixed_well_by_default(tmp_path, groups, most_in_group):
    quality = shuffle_quality(plan_of(tmp_path, groups))
    assert quality.sorted_ids <= 1.3
    assert abs(quality.neighbours) <= 0.45
    assert quality.labels_100 <= 5.5
    assert quality.in_row_group <= most_in_group
    assert quality.pairs_again <= 5
    assert quality.effective_batch_size >= 30


def test_what_cannot_be_measured_raises(table, hundred):
    with pytest.raises(shardline.ShardlineValueError, match="fewer than two full batches.*smaller batch_size="):
        shuffle_quality(DataLoader(hundred, batch_size=60))
    with pytest.raises(shardline.ColumnNotFoundError):
        shuffle_quality(DataLoader(hundred, batch_size=10), "nothing")
    with pytest.raises(shardline.ShardlineTypeError, match="DataLoader"):
        shuffle_quality("data/")
