"""A dataset gives whole batches: what would batch or share them again is refused before a row is lost."""

import pytest
import torch.utils.data
from support import ids
from torch.utils.data import default_convert

import shardline
from shardline import DataLoader, StructuredDataset

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def listed(batches):
    return batches


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("batch_size", "collate_fn"),
    [(1, None), (1, default_convert), (10, None), (10, listed)],
    ids=["default of 1", "rebuilt by a framework", "default", "own"],
)
def test_batches_of_batches_raise(hundred, workers, batch_size, collate_fn):
    dataset = StructuredDataset(hundred, batch_size=10)
    loader = torch.utils.data.DataLoader(dataset, batch_size, num_workers=workers, collate_fn=collate_fn)
    with pytest.raises(shardline.ShardlineRuntimeError, match=r"batches of batches.*batch_size=None"):
        next(iter(loader))


@pytest.mark.parametrize("workers", [0, 1])
def test_one_batch_at_a_time_is_taken(hundred, workers):
    dataset = StructuredDataset(hundred, batch_size=10)
    one = torch.utils.data.DataLoader(dataset, 1, num_workers=workers, collate_fn=listed)
    assert [batch["i"].tolist() for (batch,) in one] == ids(DataLoader(hundred, 10))
    assert ids(torch.utils.data.DataLoader(dataset, None, num_workers=workers)) == ids(DataLoader(hundred, 10))


class Rows(torch.utils.data.IterableDataset):
    """A user's own dataset of rows, over one of batches."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        for batch in self.dataset:
            yield from batch["i"].tolist()


def test_a_dataset_of_rows_over_it_may_be_batched(hundred):
    rows = Rows(StructuredDataset(hundred, batch_size=10))
    assert torch.cat(list(torch.utils.data.DataLoader(rows, 7))).tolist() == list(range(100))


class IterableDatasetShard(torch.utils.data.IterableDataset):
    """As accelerate's and transformers' of this name: every k-th element is a rank's."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        for n, element in enumerate(self.dataset):
            if n % 2 == 0:
                yield element


def test_batches_shared_out_again_raise(hundred):
    again = IterableDatasetShard(StructuredDataset(hundred, batch_size=10))
    with pytest.raises(shardline.ShardlineRuntimeError, match="IterableDatasetShard would share .* a second time"):
        next(iter(torch.utils.data.DataLoader(again, None)))


class DataLoaderDispatcher:
    """As accelerate's: it reads on rank 0, and sends each rank a part of that."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        yield from self.loader


def dispatched(path, method=None, **ranks):
    dataset = StructuredDataset(path, batch_size=10, **ranks)
    how = {"num_workers": 1, "multiprocessing_context": method} if method else {}
    return list(DataLoaderDispatcher(torch.utils.data.DataLoader(dataset, None, **how)))


@pytest.mark.parametrize("method", [None, "fork", "forkserver"])
def test_one_rank_that_reads_for_all_raises(hundred, method):
    with pytest.raises(shardline.ShardlineRuntimeError, match=r"one of 2 parts of the rows.*shardline.DataLoader"):
        dispatched(hundred, method, rank=0, num_ranks=2)


def test_one_rank_that_reads_all_rows_for_all_may(hundred):
    assert ids(dispatched(hundred, rank=0, num_ranks=1)) == ids(DataLoader(hundred, 10))


def test_accelerate_finds_the_marks_of_a_loader_that_it_leaves_alone(hundred):
    loader = DataLoader(hundred, 10)
    assert loader._is_accelerate_prepared
    assert loader.use_stateful_dataloader
