"""Copies of a dataset in the workers of torch's DataLoader and of torchdata's StatefulDataLoader."""

import gc
import json
from itertools import islice
from pathlib import Path

import pytest
import torch.utils.data
from support import context, ids, write_rows
from support import functions as f
from support.worked import left_over, names
from torchdata.stateful_dataloader import StatefulDataLoader

import shardline
from shardline import CheckpointMismatchError, DataLoader, StructuredDataset, job_state

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*starts again where the last one started:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata calls it
]
WORKERS = [0, 1, 2, 4]
BATCHES = 13


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("copies") / "data", [[10, 20, 5], [25], [10, 10, 20]])


def make(data, **options):
    return StructuredDataset(data, **({"batch_size": 8, "shuffle": True, "num_threads": 2} | options))


def plain(dataset, workers, **options):
    return torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers, **options)


def stateful(dataset, workers, **options):
    return StatefulDataLoader(dataset, batch_size=None, num_workers=workers, **options)


@pytest.fixture(scope="module")
def epochs(data):
    dataset = make(data)
    return [ids(dataset) for _ in range(5)]


# A plain DataLoader


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_epochs_of_a_plain_loader(data, epochs, workers, persistent):
    dataset = make(data)
    loader = plain(dataset, workers, persistent_workers=persistent)
    assert [ids(loader) for _ in range(3)] == epochs[:3]
    for epoch in (1, 1, 4, 0):
        dataset.set_epoch(epoch)
        assert ids(loader) == epochs[epoch]
    assert ids(loader) == epochs[1]


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_plain_loader_after_a_load_in_mid_epoch(data, epochs, workers, persistent):
    dataset = make(data)
    state = dataset.state_at(5, epoch=2)
    loader = plain(dataset, workers, persistent_workers=persistent)
    assert ids(loader) == epochs[0]
    dataset.load_state_dict(state)
    assert ids(loader) == epochs[2][5:]
    assert ids(loader) == epochs[3]
    dataset.load_state_dict(state)
    dataset.set_epoch(2)
    assert ids(loader) == epochs[2][5:]


def test_a_seek_reaches_workers(data, epochs):
    dataset = make(data)
    dataset.seek(4)
    assert ids(plain(dataset, 2)) == epochs[0][4:]


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_leaving_an_epoch_begins_it_again(data, epochs, method):
    dataset = make(data, batch_size=1)
    ones = ids(make(data, batch_size=1))
    for persistent in (False, True):
        loader = plain(dataset, 3, persistent_workers=persistent, multiprocessing_context=context(method))
        dataset.set_epoch(0)
        assert ids(islice(loader, 5)) == ones[:5]
        assert ids(loader) == ones


def test_the_parent_iterates_between(data, epochs):
    dataset = make(data)
    assert ids(dataset) == epochs[0]
    loader = plain(dataset, 2)
    assert ids(loader) == epochs[1]
    dataset.set_epoch(3)
    assert ids(dataset) == epochs[3]
    assert ids(loader) == epochs[4]


def test_more_workers_than_batches(data):
    dataset, here = make(data, batch_size=60), make(data, batch_size=60)
    loader = plain(dataset, 4)
    assert [ids(loader) for _ in range(2)] == [ids(here) for _ in range(2)]


def test_the_state_under_a_plain_loader_raises_and_says_what_to_use(data):
    dataset = make(data)
    dataset.state_dict()
    loader = plain(dataset, 2)
    dataset.state_dict()
    next(iter(loader))
    with pytest.raises(shardline.ShardlineError, match=r"shardline.DataLoader.*StatefulDataLoader"):
        dataset.state_dict()
    dataset.set_epoch(1)
    assert dataset.state_dict() == make(data).state_at(0, epoch=1)


@pytest.mark.parametrize(
    ("num_shards", "shuffle"),
    [
        pytest.param(num_shards, shuffle, marks=[] if shuffle == (num_shards in (3, 4, 8)) else pytest.mark.long)
        for num_shards in (1, 2, 3, 4, 6, 8)
        for shuffle in (False, True)
    ],
)
def test_workers_of_ranks_over_any_number_of_shards(data, num_shards, shuffle):
    options = {"num_shards": num_shards, "shuffle": shuffle, "batch_size": 3}
    whole = ids(make(data, **options))
    for ranks in (1, 2):
        if num_shards % ranks:
            continue
        for rank in range(ranks):
            mine = make(data, rank=rank, num_ranks=ranks, **options)
            state = mine.state_at(5)
            for workers in (2, 3):
                assert ids(plain(mine, workers)) == whole[rank::ranks]
                mine.load_state_dict(state)
                assert ids(plain(mine, workers)) == whole[rank::ranks][5:]
                mine.set_epoch(0)


def test_shards_for_every_worker_are_read_once(data):
    """With num_shards = ranks x workers a worker opens only what is its own."""
    dataset = make(data, num_shards=2, shuffle=False, transform=f.read_so_far, num_threads=1)
    f.DATASET.append(dataset)
    try:
        batches = list(plain(dataset, 2, multiprocessing_context="fork"))
    finally:
        f.DATASET.clear()
    assert sum(sorted({batch["worker"]: batch["rows"] for batch in batches}.values())) <= 100


def test_transforms_in_copies_are_seeded_alike(data):
    here = [batch["noise"].tolist() for batch in make(data, transform=f.augment)]
    for workers in (1, 3):
        assert [batch["noise"].tolist() for batch in plain(make(data, transform=f.augment), workers)] == here


# StatefulDataLoader


def stopped(data, workers, stop, **options):
    """The state of a loader that was left after `stop` batches, counted over epochs, and what it delivered."""
    loader, out = stateful(make(data), workers, **options), []
    if stop == 0:
        return loader.state_dict(), out
    while True:
        for batch in loader:
            out.append(batch["i"].tolist())
            if len(out) == stop:
                return loader.state_dict(), out


def rest(loader):
    """What is left of its epoch, and the next: which is one pass where the end was seen, and two are more than that."""
    return ids(loader) + ids(loader)


def check(data, epochs, workers, stop, **options):
    line = sum(epochs, [])
    state, before = stopped(data, workers, stop, **options)
    assert before == line[:stop]
    resumed = stateful(make(data), workers, **options)
    resumed.load_state_dict(state)
    after = rest(resumed)
    assert len(after) >= BATCHES
    assert after == line[stop : stop + len(after)]
    dataset = make(data)
    dataset.load_state_dict(json.loads(json.dumps(job_state(state))))
    after = rest(DataLoader(dataset))
    assert after == line[stop : stop + len(after)]


@pytest.mark.parametrize(("workers", "step"), [(0, 1), (1, 3), (2, 4), (4, 5)])
def test_a_stateful_loader_stops_and_resumes(data, epochs, workers, step):
    for stop in range(0, 2 * BATCHES + 2, step):
        check(data, epochs, workers, stop)


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"snapshot_every_n_steps": 5}], ids=str)
def test_around_the_border_of_an_epoch(data, epochs, options):
    for stop in range(BATCHES - 2, BATCHES + 2):
        check(data, epochs, 2, stop, **options)
    check(data, epochs, 4, BATCHES, **options)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_every_position_of_a_stateful_loader(data, epochs, say):
    count = 0
    for workers in WORKERS:
        for method in ("fork", "forkserver") if workers else (None,):
            for every in (1, 4, 5):
                for persistent in (False, True) if workers else (False,):
                    for stop in range(2 * BATCHES + 2):
                        options = {"snapshot_every_n_steps": every, "persistent_workers": persistent}
                        if method:
                            options["multiprocessing_context"] = context(method)
                        check(data, epochs, workers, stop, **options)
                        count += 1
    say(f"{count} stops of StatefulDataLoader resumed exactly")


@pytest.mark.parametrize("workers", WORKERS)
def test_a_state_taken_after_the_end_was_seen(data, epochs, workers):
    loader = stateful(make(data), workers)
    assert ids(loader) == epochs[0]
    state = loader.state_dict()
    resumed = stateful(make(data), workers)
    resumed.load_state_dict(state)
    assert [ids(resumed), ids(resumed)] == epochs[1:3]
    dataset = make(data)
    dataset.load_state_dict(job_state(state))
    assert [ids(dataset), ids(dataset)] == epochs[1:3]


@pytest.mark.parametrize("workers", [2, 4])
def test_a_chain_of_stops(data, epochs, workers):
    line, out, state = sum(epochs, []), [], None
    for take in (3, 5, 4, 1, 1, 7, 11):
        loader = stateful(make(data), workers)
        if state is not None:
            loader.load_state_dict(state)
        before = len(out)
        while len(out) < before + take:
            for batch in loader:
                out.append(batch["i"].tolist())
                state = loader.state_dict()
                if len(out) == before + take:
                    break
    assert out == line[: len(out)]


def test_other_workers_by_way_of_the_job_state(data, epochs):
    line, out, state = sum(epochs, []), [], None
    for workers, take in ((2, 3), (4, 4), (1, 2), (0, 3), (3, 4), (2, 6)):
        dataset = make(data)
        if state is not None:
            dataset.load_state_dict(job_state(state))
        loader, before = stateful(dataset, workers), len(out)
        while len(out) < before + take:
            for batch in loader:
                out.append(batch["i"].tolist())
                if len(out) == before + take:
                    break
        state = loader.state_dict()
    assert out == line[: len(out)]


def test_a_stateful_loader_of_a_rank(data):
    options = {"num_shards": 2, "num_ranks": 2}
    whole = ids(make(data, num_shards=2))
    loader = stateful(make(data, rank=1, **options), 2)
    assert ids(islice(loader, 3)) == whole[1::2][:3]
    state = job_state(loader.state_dict())
    assert state == make(data, rank=0, **options).state_at(3)
    dataset = make(data, rank=0, **options)
    dataset.load_state_dict(state)
    assert ids(dataset) == whole[0::2][3:]


def test_states_that_are_not_the_jobs_are_refused_in_words(data):
    state, _ = stopped(data, 2, 5)
    with pytest.raises(CheckpointMismatchError, match=r"shardline\.job_state"):
        make(data).load_state_dict(state)
    part = state["_snapshot"]["_worker_snapshots"]["worker_1"]["dataset_state"]
    with pytest.raises(CheckpointMismatchError, match=r"worker 1 of 2.*job_state"):
        make(data).load_state_dict(part)
    with pytest.raises(CheckpointMismatchError, match=r"drop_last.*job_state"):
        loader = stateful(make(data, batch_size=5), 2)
        loader.load_state_dict(state)
        list(loader)
    for wrong in ({}, {"_snapshot": {}}, {"dataset_state": None}):
        with pytest.raises(CheckpointMismatchError, match="StatefulDataLoader"):
            job_state(wrong)
    plain_state = make(data).state_dict()
    assert job_state(plain_state) == plain_state


def test_no_descriptors_are_left(data):
    def held():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    list(plain(make(data), 2))
    descriptors, shared = held(), names("/dev/shm")
    for _ in range(5):
        list(islice(stateful(make(data), 2), 4))
        list(plain(make(data), 2, persistent_workers=True))
    # What earlier tests left may go meanwhile; nothing may come.
    assert held() <= descriptors
    assert left_over("/dev/shm", shared) == []


@pytest.mark.parametrize("make_loader", [plain, stateful], ids=["torch", "torchdata"])
def test_a_place_set_while_workers_iterate_ends_no_worker(data, make_loader):
    """The parent takes back what its workers have agreed on, while they are at work."""
    dataset = make(data)
    loader = make_loader(dataset, 2)
    for epoch in range(4):
        iterator = iter(loader)
        for n, _ in enumerate(iterator):
            if n % 3 == 0:
                dataset.set_epoch(epoch + 1)
        del iterator
        gc.collect()
