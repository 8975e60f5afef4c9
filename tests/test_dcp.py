"""A loader in a checkpoint of torch.distributed.checkpoint: under one key, loaded by any number of ranks."""

from itertools import chain

import pytest
import torch.distributed.checkpoint as dcp
from support import dcp_ranks, ids, take, write_rows
from support.dcp_ranks import STOPS
from support.job import job
from torch.distributed.checkpoint.api import CheckpointException

from shardline import CheckpointMismatchError, DataLoader

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
STEPS = 10


def in_order(ranks):
    """The job's batches, in turn, from those of each rank."""
    return list(chain.from_iterable(zip(*ranks, strict=True)))


def rows_of(batches, epoch):
    return [row for at, batch in batches if at == epoch for row in batch]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(data, checkpoints, what each of 2 ranks did) of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("dcp")
    data = write_rows(folder / "data", [[10, 20, 5], [25], [10, 10, 20]])
    return data, folder, job(2, dcp_ranks.whole, data, folder)


def test_fsdp2_on_any_number_of_ranks(saved):
    """In mid-epoch, after the last batch, after the end: the job's batches are the same, or cut anew."""
    data, folder, whole = saved
    batches = in_order([found for found, _ in whole])
    after = {name: 2 * (STEPS * epoch + steps) for name, (epoch, steps, _) in STOPS.items()}
    for ranks in (2, 1, 4):
        results = job(ranks, dcp_ranks.rest, data, folder, list(STOPS))
        for number, name in enumerate(STOPS):
            found = in_order([rank[number][0] for rank in results])
            if ranks == 4 and name == "odd":  # 6 batches were delivered, which 4 ranks do not divide
                left = sorted(rows_of(found, 2))
                assert left == sorted(rows_of(batches[after[name] :], 2))
                continue
            assert found == batches[after[name] :], (ranks, name)
            if ranks == 2:
                assert [rank[number][1] for rank in results] == [weights for _, weights in whole]


def test_several_legs(saved):
    """2 ranks, 4, 1 and 2 again, within an epoch and over two more."""
    data, folder, whole = saved
    batches = in_order([found for found, _ in whole])
    found, name = batches[:4], "mid"
    for ranks, steps in ((4, 1), (1, 4), (2, None)):
        results = job(ranks, dcp_ranks.rest, data, folder, [name], steps)
        found += in_order([rank[0][0] for rank in results])
        name += "-again"
    assert found == batches


def test_a_key_a_rank_is_read_by_as_many_ranks_or_fewer(hundred, tmp_path):
    """torchtitan's way. DCP refuses more ranks; the state of any one rank is the job's, so all may read rank 0's."""
    expected = job(2, dcp_ranks.key_a_rank, hundred, tmp_path, False)
    assert job(2, dcp_ranks.key_a_rank, hundred, tmp_path, True) == expected
    assert job(1, dcp_ranks.key_a_rank, hundred, tmp_path, True) == [in_order(expected)]
    refused = job(4, dcp_ranks.key_a_rank, hundred, tmp_path, True)
    assert all("Missing key in checkpoint state_dict: dataloader.dp_rank_" in text for text in refused)
    assert in_order(job(4, dcp_ranks.any_ones_key, hundred, tmp_path)) == in_order(expected)


def test_saved_in_the_background(make, epochs, tmp_path):
    """The place is that of the call, however far the loop has come when it is written."""
    loader = make()
    iterator = iter(loader)
    take(iterator, 4)
    saved = dcp.async_save({"data": loader}, checkpoint_id=tmp_path / "ck")
    ids(iterator)
    saved.result()
    again = make()
    dcp.load({"data": again}, checkpoint_id=tmp_path / "ck")
    assert ids(again) == epochs[0][4:]


@pytest.fixture
def changed(tmp_path):
    """A checkpoint, and what is in its folder by now."""
    folder = write_rows(tmp_path / "data", [[10, 10]])
    loader = DataLoader(folder, batch_size=5)
    take(iter(loader), 1)
    dcp.save({"data": loader}, checkpoint_id=tmp_path / "ck")
    write_rows(folder, [[10, 5]], start=50)
    return folder, tmp_path / "ck"


def test_a_refused_load_changes_nothing(changed):
    """DCP loads in place, into what state_dict() returned: that must not be what later states are made of."""
    folder, checkpoint = changed
    loader = DataLoader(folder, batch_size=5)
    before = loader.state_dict()
    with pytest.raises(CheckpointMismatchError, match="files changed since"):
        dcp.load({"data": loader}, checkpoint_id=checkpoint)
    assert loader.state_dict() == before
    again = DataLoader(folder, batch_size=5)
    again.load_state_dict(loader.state_dict())
    assert ids(again) == ids(loader)


def test_new_files_come_with_the_next_epoch(rows, tmp_path):
    """And the states of that epoch name them."""
    folder = rows([[10, 10]])
    loader = DataLoader(folder, batch_size=5)
    take(iter(loader), 1)
    dcp.save({"data": loader}, checkpoint_id=tmp_path / "ck")
    more = write_rows(tmp_path / "more", [[10]], start=20)
    (more / "part-0000.parquet").rename(folder / "part-0009.parquet")
    resumed = DataLoader(folder, batch_size=5, on_new_files="refresh")
    dcp.load({"data": resumed}, checkpoint_id=tmp_path / "ck")
    assert sorted(sum(ids(resumed), [])) == list(range(5, 20))
    iterator = iter(resumed)
    first = take(iterator, 2)
    again = DataLoader(folder, batch_size=5)
    again.load_state_dict(resumed.state_dict())
    assert sorted(sum([*first, *ids(again)], [])) == list(range(30))


@pytest.mark.parametrize(("before", "here"), [(None, [("i", ">", 3)]), ([("i", ">", 3)], None)])
def test_other_rows_are_refused(hundred, tmp_path, before, here):
    dcp.save({"data": DataLoader(hundred, filters=before)}, checkpoint_id=tmp_path / "ck")
    with pytest.raises(CheckpointException, match=r"Missing key in checkpoint state_dict: data\.rows\.filter"):
        dcp.load({"data": DataLoader(hundred, filters=here)}, checkpoint_id=tmp_path / "ck")


def test_files_that_were_left_out_stay_so(make, tmp_path):
    """DCP reads only keys that the loader's own state has: those of the rows are there, whether used or not."""
    state = make().state_dict()
    saved = {**state, "rows": {**state["rows"], "left_out": ["part-0001.parquet"]}}
    dcp.save({"data": saved}, checkpoint_id=tmp_path / "ck")
    loaded = {"data": make().state_dict()}
    dcp.load(loaded, checkpoint_id=tmp_path / "ck")
    assert loaded["data"] == saved
