"""Forks and stores: built before a fork it reads after it; forked while somebody reads it raises; never a hang."""

import pytest
import torch.utils.data
from support import context, ids, take, write_rows
from support import functions as f
from support.forks import child
from support.store import Store
from torchdata.stateful_dataloader import StatefulDataLoader

import shardline
from shardline import DataLoader, StructuredDataset

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata calls it
]


@pytest.fixture
def store(tmp_path):
    with Store(write_rows(tmp_path / "data", [[50, 50], [100]])) as server:
        yield server


@pytest.fixture
def dataset(store):
    return StructuredDataset(store.url, batch_size=7, shuffle=True, storage_options=store.options)


def test_built_here_and_read_in_a_fork_and_here(dataset):
    def read():
        assert sum(map(len, ids(dataset))) == 200

    child(read)
    read()
    child(read)  # the reader of the parent is gone, and its runtime with it


def test_planned_in_a_fork(store, dataset):
    ids(dataset)
    child(lambda: StructuredDataset(store.url, storage_options=store.options))


def test_a_fork_while_the_parent_reads_is_told(store, dataset):
    iterator = iter(dataset)
    head = take(iterator, 3)

    def read():
        fresh = StructuredDataset(plan=dataset.plan, batch_size=7, storage_options=store.options)
        for attempt in (
            lambda: next(iter(fresh)),
            lambda: next(iter(dataset)),
            lambda: StructuredDataset(store.url, storage_options=store.options),
        ):
            with pytest.raises(RuntimeError, match="forkserver") as caught:
                attempt()
            assert isinstance(caught.value, shardline.ShardlineError)
        with pytest.raises(shardline.ShardlineError):
            next(iterator)

    child(read)
    child(lambda: None)
    assert len(sum(head + ids(iterator), [])) == 200


@pytest.mark.parametrize("loader", [torch.utils.data.DataLoader, StatefulDataLoader])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_of_torch(dataset, loader, method):
    wanted = ids(dataset)
    dataset.set_epoch(0)
    workers = loader(dataset, batch_size=None, num_workers=2, multiprocessing_context=context(method), timeout=60)
    assert ids(workers) == wanted


def test_workers_of_ours_are_not_forked(store, caplog):
    caplog.set_level("INFO", "shardline")
    arguments = {"batch_size": 7, "storage_options": store.options, "transform": f.identity}
    wanted = ids(StructuredDataset(store.url, **{**arguments, "transform": None}))
    loader = DataLoader(store.url, num_workers=2, **arguments)
    for _ in range(2):
        assert ids(loader) == wanted
    assert "(forkserver)" in caplog.text
    told = DataLoader(store.url, num_workers=1, multiprocessing_context="fork", **arguments)
    assert ids(told) == wanted
    assert "(fork)" in caplog.text


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing(dataset, method):
    expected = ids(dataset)
    dataset.set_epoch(0)
    chosen = context(method)
    queue = chosen.SimpleQueue()
    process = chosen.Process(target=f.read_all, args=(dataset, queue))
    process.start()
    assert queue.get() == expected
    process.join(60)
    assert process.exitcode == 0
