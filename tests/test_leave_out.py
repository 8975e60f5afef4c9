"""Files that are damaged or gone in the middle of a run: it continues without their rows, and nothing else changes."""

import json
import pickle
import warnings

import pytest
from support import ids, take

import shardline
from shardline import DataLoader, StructuredDataset

LOST = "part-0001.parquet"  # rows 35 to 59 of `hundred`
GONE = set(range(35, 60))


def without(batches):
    """Batches as they are to be without the lost file's rows."""
    return [[row for row in batch if row not in GONE] for batch in batches]


def damage(file):
    """The footer stays; every page is destroyed."""
    data = bytearray(file.read_bytes())
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[4:end] = bytes(end - 4)
    file.write_bytes(data)


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"shuffle_buffer_size": 0}, {"batch_size": 3}], ids=str)
@pytest.mark.parametrize("ranks", [1, 2])
def test_only_the_lost_rows_are_missing(hundred, options, ranks):
    def datasets():
        settings = {"batch_size": 10, "shuffle": True, "num_ranks": ranks, "num_shards": 2, **options}
        return [StructuredDataset(hundred, rank=rank, **settings) for rank in range(ranks)]

    whole = [[ids(dataset) for _ in range(2)] for dataset in datasets()]
    damage(hundred / LOST)
    for dataset, epochs in zip(datasets(), whole, strict=True):
        with pytest.warns(RuntimeWarning, match="25 of 100 rows are left out"):
            dataset.leave_out([LOST])
        for epoch in epochs:
            assert ids(dataset) == without(epoch)


def test_a_run_continues_in_the_middle_of_an_epoch(make, hundred, epochs):
    loader = make()
    assert take(iter(loader), 4) == epochs[0][:4]
    state = json.loads(json.dumps(loader.state_dict()))
    damage(hundred / LOST)
    with pytest.raises(shardline.ShardlineValueError, match="leave_out"):
        resumed = make()
        resumed.load_state_dict(state)
        list(resumed)
    resumed = make()
    with pytest.warns(RuntimeWarning, match=LOST):
        resumed.load_state_dict(state, leave_out=[str(hundred / LOST)])
    iterator = iter(resumed)
    assert take(iterator, 2) == without(epochs[0][4:6])
    left = {place for start, stop in resumed.left_out() for place in range(start, stop)}
    assert len(left) == 25
    again = make()
    with pytest.warns(RuntimeWarning, match="left out"):
        again.load_state_dict(resumed.state_dict())  # the state records it
    assert ids(again) == without(epochs[0][6:])
    assert ids(again) == without(epochs[1])
    assert f"1 file left out: {LOST}" in shardline.describe(again.state_dict())


@pytest.mark.parametrize("filters", [None, [("x", ">", 3)]])
@pytest.mark.parametrize("changed", [False, True], ids=["gone", "changed"])
def test_a_file_that_is_gone_or_another_one_now(make, hundred, rows, filters, changed):
    def kept(batches):
        return [[row for row in batch if row not in GONE] for batch in batches]

    loader = make(filters=filters)
    whole = [ids(make(filters=filters)), ids(loader)]
    loader = make(filters=filters)
    assert take(iter(loader), 4) == whole[0][:4]
    state = json.loads(json.dumps(loader.state_dict()))
    (hundred / LOST).unlink()
    if changed:
        (rows([[3]]) / "part-0000.parquet").rename(hundred / LOST)
    resumed = make(filters=filters)
    with pytest.raises(shardline.CheckpointMismatchError, match=r"part-0001.*leave_out="):
        resumed.load_state_dict(state)
    with pytest.warns(RuntimeWarning, match="25 of 100 rows are left out"):
        resumed.load_state_dict(state, leave_out=[LOST])
    assert ids(resumed) == kept(whole[0][4:])
    state = resumed.state_dict()
    again = make(filters=filters)
    with pytest.warns(RuntimeWarning, match="left out"):
        again.load_state_dict(state)
    second = ids(resumed)
    assert ids(again) == second
    assert sorted(sum(second, [])) == sorted(sum(kept(whole[0]), []))


def test_a_file_that_is_gone_needs_the_plan_where_row_groups_are_many(make, hundred, tmp_path, monkeypatch):
    monkeypatch.setattr("shardline.planning.file_table.MAX_PACKED_GROUPS", 3)
    loader = make()
    whole = ids(make())
    take(iter(loader), 4)
    state = loader.state_dict()
    loader.dataset.plan.save(tmp_path / "plan")
    (hundred / LOST).unlink()
    with pytest.raises(shardline.CheckpointMismatchError, match=r"row groups.*give plan="):
        make().load_state_dict(state, leave_out=[LOST])
    resumed = DataLoader(plan=shardline.Plan.load(tmp_path / "plan"), batch_size=10, shuffle=True)
    with pytest.warns(RuntimeWarning, match="left out"):
        resumed.load_state_dict(state, leave_out=[LOST])
    assert ids(resumed) == without(whole[4:])


def test_a_batch_without_rows_is_delivered_and_counted_beforehand(hundred):
    """Rows 35 to 59 in file order: batches 4 and 5 of ten rows lose all."""
    damage(hundred / LOST)
    loader = DataLoader(hundred, batch_size=10)
    with pytest.warns(RuntimeWarning, match=r"2 batches of all ranks in the rest of epoch 0 have 0 rows"):
        loader.leave_out([LOST])
    found = list(loader)
    assert [len(batch["i"]) for batch in found] == [10, 10, 10, 5, 0, 0, 10, 10, 10, 10]
    assert found[4]["x"].dtype == found[0]["x"].dtype


def test_workers_replicas_and_pickles_leave_it_out_too(make, hundred, epochs):
    damage(hundred / LOST)
    loader = make(num_workers=2, transform=same, multiprocessing_context="fork")
    with pytest.warns(RuntimeWarning, match="left out"):
        loader.leave_out([LOST])
    assert ids(loader) == without(epochs[0])
    copy = pickle.loads(pickle.dumps(loader.dataset))
    assert ids(copy) == without(epochs[1])


def same(batch):
    return batch


def test_rows_at_and_bad_arguments(make):
    loader = make()
    with pytest.raises(shardline.ShardlineFileNotFoundError, match=r"no file 'part-9.parquet'.*part-0000.parquet"):
        loader.leave_out(["part-9.parquet"])
    with pytest.raises(shardline.ShardlineTypeError, match="list of file names"):
        loader.leave_out("part-0001.parquet")
    iterator = iter(loader)
    next(iterator)
    with pytest.raises(shardline.ShardlineRuntimeError, match="before its first batch"):
        loader.leave_out([LOST])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader.load_state_dict(loader.state_dict(), leave_out=[LOST])
    assert all(row[0] != LOST for step in range(10) for row in loader.dataset.rows_at(step))


def test_a_refresh_ends_it_in_pickles_too(make, hundred, epochs, rows):
    """The epochs after a refresh have all files again: what was left out of the resumed epoch is no part of them."""
    loader = make()
    assert take(iter(loader), 4) == epochs[0][:4]
    state = loader.state_dict()
    (rows([[7]], start=100) / "part-0000.parquet").rename(hundred / "part-0100.parquet")
    resumed = make(on_new_files="refresh")
    with pytest.warns(RuntimeWarning, match="left out"):
        resumed.load_state_dict(state, leave_out=[LOST])
    copy = pickle.loads(pickle.dumps(resumed.dataset))
    for one in (resumed, copy):
        assert ids(one) == without(epochs[0][4:])
        assert sorted(sum(ids(one), [])) == list(range(107))
        assert one.left_out() == []
