"""A process that has read may fork, and its child may read; under every start method, and never a hang."""

import pytest
from support import context, ids, write_rows
from support import functions as f
from support.forks import child

import shardline
from shardline import StructuredDataset

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def dataset(tmp_path):
    return StructuredDataset(write_rows(tmp_path / "data", [[50, 50], [100]]), batch_size=7, shuffle=True)


def test_used_before_the_fork_and_after_it_in_the_child(dataset):
    expected = ids(dataset)
    dataset.set_epoch(0)

    def read():
        assert ids(dataset) == expected

    child(read)


def test_used_in_the_child_only(dataset):
    def read():
        assert sum(map(len, ids(dataset))) == 200

    child(read)
    assert sum(map(len, ids(dataset))) == 200


def test_both_use_it_with_a_live_reader(dataset):
    expected = ids(dataset)
    dataset.set_epoch(0)
    iterator = iter(dataset)
    head = [next(iterator)["i"].tolist() for _ in range(3)]  # its threads live

    def read():
        dataset.set_epoch(0)
        assert ids(dataset) == expected  # the child's own iterator; the parent's is dropped in it

    child(read)
    assert head + ids(iterator) == expected


def test_an_iterator_of_the_parent_raises_in_the_child(dataset):
    iterator = iter(dataset)
    next(iterator)

    def read():
        with pytest.raises(shardline.ShardlineError):
            list(iterator)

    child(read)
    assert sum(len(batch["i"]) for batch in iterator) == 193


def test_a_child_that_only_ends(dataset):
    iterator = iter(dataset)
    next(iterator)
    child(lambda: None)
    assert len(list(iterator)) == len(dataset) - 1


def test_children_do_not_move_each_others_place(dataset):
    expected = [ids(dataset) for _ in range(2)]
    dataset.set_epoch(0)
    child(lambda: dataset.set_epoch(7))
    loader = shardline.DataLoader(dataset)
    assert [ids(loader) for _ in range(2)] == expected


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing(dataset, method):
    expected = ids(dataset)
    dataset.set_epoch(0)
    iterator = iter(dataset)
    next(iterator)
    if method != "fork":  # what is pickled goes on where it stood; a fork is this process again, at a new iter()
        del expected[0]
    chosen = context(method)
    queue = chosen.SimpleQueue()
    process = chosen.Process(target=f.read_all, args=(dataset, queue))
    process.start()
    assert queue.get() == expected
    process.join(60)
    assert process.exitcode == 0
    assert len(list(iterator)) == len(dataset) - 1
