"""Filters: what is read, what is counted, and by whom."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from support import ids, write_rows
from support.filtered import broken, epoch, wide
from support.job import job

import shardline
from shardline import DataLoader, Plan, StructuredDataset


@pytest.mark.parametrize("page", [100, 2**20])
@pytest.mark.parametrize("share", [0.5, 0.01, 0.0001, 1.0])
def test_all_selectivities_and_kinds_of_columns(tmp_path, share, page):
    table = wide(tmp_path / "a.parquet", data_page_size=page, data_page_version="2.0" if page == 100 else "1.0")
    expression = pc.field("u") < share
    wanted = table.filter(expression)
    dataset = StructuredDataset(tmp_path, batch_size=64, filters=expression, output_format="arrow", num_threads=3)
    assert pa.Table.from_batches(list(dataset)).cast(wanted.schema).equals(wanted.combine_chunks())
    shuffled = StructuredDataset(tmp_path, batch_size=64, filters=expression, output_format="arrow", shuffle=True)
    assert pa.Table.from_batches(list(shuffled)).cast(wanted.schema).sort_by("i").equals(wanted.combine_chunks())


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path):
    wide(tmp_path / "a.parquet", 100, 50)
    for filters in ([("u", ">", 5)], [("i", "=", None)], pc.field("u").is_null(), pc.scalar(False)):
        with pytest.raises(shardline.ShardlineValueError, match="no row passes filters=.*none of the 100 in 1 file "):
            StructuredDataset(tmp_path, filters=filters, columns=["i"])


def test_nulls_in_rows_that_do_not_pass_are_no_obstacle(tmp_path):
    table = wide(tmp_path / "a.parquet", 1000, 300)
    options = {"batch_size": 50, "columns": ["i", "n"]}
    with pytest.raises(shardline.ShardlineValueError, match='"n" has nulls'):
        StructuredDataset(tmp_path, **options)
    dataset = StructuredDataset(tmp_path, filters=pc.field("n").is_valid(), **options)
    assert torch.cat([b["n"] for b in dataset]).tolist() == table["n"].drop_null().to_pylist()
    with pytest.raises(shardline.ShardlineValueError, match='"n" has nulls'):
        list(StructuredDataset(tmp_path, filters=[("i", "<", 900)], **options))


def test_an_error_names_the_row_of_the_file(tmp_path):
    wide(tmp_path / "a.parquet", 100, 30)
    options = {"column_options": {"r": shardline.ColumnOptions(lists="fixed")}, "columns": ["r"]}
    with pytest.raises(shardline.ShardlineValueError, match="3 values at row 93"):
        list(
            StructuredDataset(
                tmp_path, filters=pc.field("i").isin([90, 92, 93]) & (pc.field("i") != 92), batch_size=9, **options
            )
        )


def test_only_the_filters_columns_are_read_to_count_and_none_where_statistics_tell(tmp_path):
    wide(tmp_path / "a.parquet", 20_000, 5_000)
    broken(tmp_path / "a.parquet", "l", "r", "n", "s")
    dataset = StructuredDataset(tmp_path, filters=[("u", "<", 0.5)], batch_size=100, columns=["i"])
    assert 9_000 < dataset.num_rows < 11_000
    broken(tmp_path / "a.parquet", "i")  # of i, row groups pass as a whole or not at all
    for filters, rows in (
        ([("i", ">=", 5000)], 15_000),
        ([("i", "<", 10_000)], 10_000),
        (pc.field("i").is_valid(), 20_000),
    ):
        assert StructuredDataset(tmp_path, filters=filters, batch_size=100, columns=["u"]).num_rows == rows
        assert sum(len(b["u"]) for b in StructuredDataset(tmp_path, filters=filters, columns=["u"])) == rows
    with pytest.raises(shardline.ShardlineValueError, match="a.parquet.*column"):
        StructuredDataset(tmp_path, filters=[("i", ">", 5001)], columns=["u"])


def test_a_plan_keeps_the_counts(tmp_path, monkeypatch):
    wide(tmp_path / "a.parquet")
    options = {"batch_size": 100, "columns": ["i"], "filters": [("u", "<", 0.25)]}
    dataset = StructuredDataset(tmp_path / "a.parquet", **options)
    whole = ids(dataset)
    dataset.plan.save(tmp_path / "plan")
    monkeypatch.delattr("shardline.planning.build.count_rows")  # nobody counts again
    plan = Plan.load(tmp_path / "plan")
    assert plan == dataset.plan
    assert ids(StructuredDataset(plan=plan, **options)) == whole
    assert ids(pickle.loads(pickle.dumps(StructuredDataset(plan=plan, **options)))) == whole
    with pytest.raises(shardline.ShardlineValueError, match=r"plan was made for other rows \(filter \('u' < 0.25\)\)"):
        StructuredDataset(plan=plan, batch_size=100)


def test_a_row_group_that_passes_another_number_raises(tmp_path):
    path = tmp_path / "a.parquet"
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False, "row_group_size": 500}
    pq.write_table(pa.table({"i": np.arange(1000), "k": np.zeros(1000)}), path, **options)
    dataset = StructuredDataset(tmp_path, batch_size=100, filters=[("k", "<", 1)])
    assert dataset.num_rows == 1000
    data = path.read_bytes()
    pq.write_table(pa.table({"i": np.arange(1000), "k": np.arange(1000) / 999}), path, **options)
    changed = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    assert changed[-footer:] == data[-footer:]
    with pytest.raises(shardline.FileChangedError, match="row group 1: 499 rows pass the filter now, and 500 did"):
        ids(dataset)
    state = dataset.state_at(2)
    with pytest.raises(shardline.CheckpointMismatchError, match="rows that pass: saved"):
        StructuredDataset(tmp_path, batch_size=100, filters=[("k", "<", 1)]).load_state_dict(state)


def test_the_state_names_another_filter(tmp_path):
    wide(tmp_path / "a.parquet", 1000, 300)
    dataset = StructuredDataset(tmp_path, batch_size=10, columns=["i"], filters=[("u", "<", 0.5)])
    state = json.loads(json.dumps(dataset.state_at(3)))
    assert "rows that pass the filter ('u' < 0.5)" in shardline.describe(state)
    torch.save(state, tmp_path / "state.pt")
    again = StructuredDataset(tmp_path / "a.parquet", batch_size=10, columns=["i"], filters=pc.field("u") < 0.5)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))  # the same, said in another form
    assert ids(again) == ids(dataset)[3:]
    for filters in (None, [("u", "<", 0.6)]):
        other = StructuredDataset(tmp_path, batch_size=10, columns=["i"], filters=filters)
        with pytest.raises(shardline.CheckpointMismatchError, match=r"filters: saved \('u' < 0.5\)"):
            other.load_state_dict(state)
        assert len(ids(other)) == len(other), "nothing was changed"
    with pytest.raises(shardline.CheckpointMismatchError, match="filter.counts is missing"):
        again.load_state_dict({**state, "rows": {**state["rows"], "filter": {"rows": "x", "folders": {}}}})


def test_filters_apply_after_the_sample(hundred):
    sampled = epoch(StructuredDataset(hundred, batch_size=5, sample=0.4))
    both = StructuredDataset(hundred, batch_size=5, sample=0.4, filters=[("i", "<", 50)])
    assert epoch(both) == [row for row in sampled if row < 50]


def count(batch):
    return len(batch["i"])


def test_workers_and_plain_loaders_take_filters(tmp_path):
    table = wide(tmp_path / "a.parquet", 1000, 300)
    wanted = table.filter(pc.field("u") < 0.5)["i"].to_pylist()
    loader = DataLoader(tmp_path, 16, filters=pc.field("u") < 0.5, columns=["i"], num_workers=2, collate_fn=count)
    assert len(loader) == -(-len(wanted) // 16)
    assert list(loader) == [len(wanted[at : at + 16]) for at in range(0, len(wanted), 16)]
    plain = torch.utils.data.DataLoader(
        StructuredDataset(tmp_path, batch_size=16, filters=pc.field("u") < 0.5, columns=["i"]),
        batch_size=None,
        num_workers=2,
    )
    assert sorted(epoch(plain)) == wanted


def test_counting_shows_a_bar_where_asked_for(tmp_path, capfd):
    wide(tmp_path / "a.parquet", 1000, 100)
    DataLoader(tmp_path, 16, filters=[("u", "<", 0.5)], columns=["i"], show_progress=True)
    assert "counting rows that pass: 100%" in capfd.readouterr().err
    DataLoader(tmp_path, 16, filters=[("u", "<", 0.5)], columns=["i"])
    DataLoader(tmp_path, 16, sample=0.5, columns=["i"], show_progress=True)  # nothing is read
    assert capfd.readouterr().err == ""


def _counted(rank, path):
    from shardline.distributed import plan_broadcast

    counted, count_rows = [], plan_broadcast.count_rows

    def spy(plan, selector, groups, *more, **options):
        counted.extend(groups)
        return count_rows(plan, selector, groups, *more, **options)

    plan_broadcast.count_rows = spy
    dataset = StructuredDataset(path, batch_size=7, filters=[("i", "<", 70)], shuffle=True)
    return counted, ids(dataset), dataset.state_dict()["rows"]["filter"]


def test_ranks_divide_the_counting(tmp_path):
    path = write_rows(tmp_path, [[10] * 6, [10, 5, 25]])
    found = job(3, _counted, path)
    assert [groups for groups, _, _ in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert len({json.dumps(entry) for *_, entry in found}) == 1
    assert sorted(row for _, batches, _ in found for batch in batches for row in batch) == list(range(70))


def _otherwise(rank, path):
    try:
        StructuredDataset(path, batch_size=7, filters=[("i", "<", 70 + rank)], rank_timeout=1.5)
    except shardline.RankTimeoutError as error:
        return str(error)
    return ""


def test_another_filter_makes_another_loader(tmp_path):
    path = write_rows(tmp_path, [[10] * 10])
    messages = job(2, _otherwise, path)
    assert "did not count its part" in messages[0]
    assert "with another path or other options" in messages[1]


def _uncountable(rank, path):
    try:
        StructuredDataset(path, batch_size=7, filters=[("u", "<", 0.5)], columns=["i"])
    except shardline.ShardlineValueError as error:
        return str(error)
    return ""


def test_what_one_rank_cannot_count_is_every_ranks_error(tmp_path):
    for name in "abc":
        wide(tmp_path / f"{name}.parquet", 100, 50)
    broken(tmp_path / "b.parquet", "u")
    for message in job(3, _uncountable, tmp_path):
        assert "b.parquet" in message
