"""Which rows a batch has, by arithmetic, and what was left out."""

import pyarrow.parquet as pq
import pytest
from support import ids, take
from support.states import make_resumed

import shardline
from shardline import DataLoader, StructuredDataset


@pytest.fixture
def make(hundred):
    return lambda path=hundred, **options: DataLoader(path, **{"batch_size": 10, "shuffle": True, **options})


def test_seek_skips_and_the_state_remembers(make):
    whole = ids(make())
    loader = make()
    assert take(iter(loader), 2) == whole[:2]
    loader.seek(6)
    state = loader.state_dict()
    assert loader.batch_index == 6
    assert ids(loader) == whole[6:]
    assert sum(stop - start for start, stop in loader.left_out()) == 40
    resumed = make_resumed(make, state)
    assert ids(resumed) == whole[6:]
    assert resumed.left_out() == loader.left_out() == [(20, 60)]
    for step in (1, 11):
        with pytest.raises(shardline.ShardlineValueError, match="seek goes forward"):
            make_resumed(make, state).seek(step)


def test_rows_at_names_the_rows_of_any_batch_of_any_rank(hundred):
    tables = {}

    def rows(step, rank, dataset):
        found = []
        for name, group, start, stop in dataset.rows_at(step, rank=rank):
            file = tables.setdefault(name, pq.ParquetFile(hundred / name))
            found += file.read_row_group(group)["i"].to_pylist()[start:stop]
        return found

    datasets = [
        StructuredDataset(hundred, batch_size=7, shuffle=True, rank=r, num_ranks=2, num_shards=4, split_rows=10)
        for r in range(2)
    ]
    for rank, dataset in enumerate(datasets):
        for step, batch in enumerate(ids(dataset)):
            assert rows(step, rank, datasets[1 - rank]) == batch
            assert rows(step, None, dataset) == batch
    for arguments in ({"step": 100}, {"step": -1}, {"step": 0, "rank": 2}):
        with pytest.raises(shardline.ShardlineValueError, match="step|rank"):
            datasets[0].rows_at(**arguments)


def test_rows_at_reaches_back_over_legs(make, hundred):
    loader = make(batch_size=10)
    expected = take(iter(loader), 3)
    resumed = make(batch_size=20)
    resumed.load_state_dict(loader.state_dict())
    expected += ids(resumed)
    again = make(batch_size=20)
    again.load_state_dict(loader.state_dict())
    files = {name: pq.ParquetFile(hundred / name) for name, _, _ in loader.dataset.plan.files()}
    for step, batch in enumerate(expected):
        found = []
        for name, group, start, stop in again.dataset.rows_at(step):
            found += files[name].read_row_group(group)["i"].to_pylist()[start:stop]
        assert found == batch
