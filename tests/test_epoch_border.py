"""An epoch's border, under loops and frameworks that count in their own ways: a resumed run delivers what is left.

Each test stops a run in mid-epoch, after an epoch's last batch (its end not seen), and after its end, and resumes it.
"""

import warnings
from itertools import islice

import pytest
from support import ids, take

EPOCHS, STEPS = 3, 10
MID, LAST, ENDED = "in mid-epoch", "after the last batch", "after the end"
STOPS = [(MID, 4), (MID, 13), (LAST, 10), (LAST, 20), (ENDED, 10), (ENDED, 20)]
DELIVERS_NOTHING = "delivers nothing"


@pytest.fixture
def whole(epochs):
    return [batch for epoch in epochs[:EPOCHS] for batch in epoch]


def stopped(make, stop):
    """The state of a run that was stopped, and the steps it had taken."""
    where, steps = stop
    loader = make()
    taken = 0
    for _ in range(EPOCHS):
        iterator = iter(loader)
        while taken < steps:
            if next(iterator, None) is None:
                break
            taken += 1
        if taken == steps:
            if where is ENDED:
                assert next(iterator, None) is None
            break
    return loader.state_dict(), steps


def resumed(make, state):
    loader = make()
    loader.load_state_dict(state)
    return loader


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_the_readmes_loop(make, whole, stop):
    state, steps = stopped(make, stop)
    loader, found, passes = resumed(make, state), [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(loader.epoch, EPOCHS):
            loader.set_epoch(epoch)
            found += ids(loader)
            passes += 1  # what a user does once an epoch is done once for each
    assert found == whole[steps:]
    assert passes == EPOCHS - (steps - (stop[0] is not ENDED)) // STEPS


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_by_steps_with_set_epoch(make, whole, stop):
    state, step = stopped(make, stop)
    loader, found = resumed(make, state), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while step < EPOCHS * STEPS:
            loader.set_epoch(step // len(loader))
            for batch in loader:
                found.append(batch["i"].tolist())
                step += 1
    assert found == whole[len(whole) - len(found) :]
    assert len(found) == len(whole) - stop[1]


def test_by_steps_with_another_number_of_ranks_warns(make):
    """`step // len(loader)` is another epoch then: of 5 steps, where the steps so far were of epochs of 10."""
    loader = make()
    take(iter(loader), 6)
    more = make(rank=0, num_ranks=2)
    more.load_state_dict(loader.state_dict())
    with pytest.warns(RuntimeWarning, match=r"set_epoch\(1\) leaves the loaded place, epoch 0, step 3 of 5: .*ranks"):
        more.set_epoch(6 // len(more))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        more.load_state_dict(loader.state_dict())
        more.set_epoch(more.epoch)


@pytest.mark.parametrize("where", [LAST, ENDED])
def test_by_steps_with_fewer_ranks_warns_where_an_epoch_would_come_again(make, epochs, where):
    loader = make(rank=0, num_ranks=2, num_shards=2)
    iterator = iter(loader)
    assert len(take(iterator, 5)) == len(loader)
    if where is ENDED:
        assert next(iterator, None) is None
    fewer = make(num_shards=2)
    fewer.load_state_dict(loader.state_dict())
    fewer.set_epoch(5 // len(fewer))
    assert ids(fewer) == []  # epoch 0 is done
    with pytest.warns(RuntimeWarning, match=r"set_epoch\(0\) leaves the loaded place, epoch 1, step 0 of 10"):
        fewer.set_epoch(5 // len(fewer))
    assert fewer.epoch == 0


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_by_steps_without_set_epoch_warns_where_a_pass_is_empty(make, whole, stop):
    where, steps = stop
    state, _ = stopped(make, stop)
    loader, found = resumed(make, state), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps // STEPS, EPOCHS):
            found += ids(loader)
    short = STEPS if where is LAST else 0  # the empty pass counts as one
    assert found == whole[steps : len(whole) - short]
    assert [DELIVERS_NOTHING in str(w.message) for w in caught] == [True] * (where is LAST)


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_until_so_many_steps_were_taken(make, whole, stop):
    where, _ = stop
    state, step = stopped(make, stop)
    loader, found = resumed(make, state), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while step < EPOCHS * STEPS:
            for batch in islice(loader, EPOCHS * STEPS - step):
                found.append(batch["i"].tolist())
                step += 1
    assert found == whole[stop[1] :]
    assert [DELIVERS_NOTHING in str(w.message) for w in caught] == [True] * (where is LAST)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_a_loop_over_a_saved_epoch(make, whole, stop, named):
    """The number saved is that of the epoch in hand; after its end, still that."""
    where, steps = stop
    state, _ = stopped(make, stop)
    saved = (steps - 1) // STEPS
    loader, found = resumed(make, state), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch in range(saved, EPOCHS):
            if named:
                loader.set_epoch(epoch)
            found += ids(loader)
    assert found[: len(whole) - steps] == whole[steps:]
    more = STEPS if where is ENDED and not named else 0  # one pass more than epochs are left: the caller's own
    assert len(found) == len(whole) - steps + more
    assert [DELIVERS_NOTHING in str(w.message) for w in caught] == [True] * (where is LAST and not named)


def framework(loader, start, stop, limit=None, iter_first=False):
    """Epochs as a framework runs them that sets the epoch of a loader's sampler, by its own count."""
    found = []
    for count in range(start, stop):
        if iter_first and count == start:  # before the framework tells which epoch it is
            iterator = iter(loader)
            loader.sampler.set_epoch(count)
        else:
            loader.sampler.set_epoch(count)
            iterator = iter(loader)
        found += [batch["i"].tolist() for batch in islice(iterator, limit)]
    return found


def framework_stopped(make, stop, limit=None):
    where, steps = stop
    loader = make()
    per = limit or STEPS
    full, rest = divmod(steps, per)
    if where is not MID:
        full, rest = full - 1, per
    framework(loader, 0, full, limit, iter_first=True)
    loader.sampler.set_epoch(full)
    iterator = iter(loader)
    take(iterator, rest)
    if where is ENDED and limit is None:
        assert next(iterator, None) is None
    return loader.state_dict(), full


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_a_framework_that_counts_done_epochs(make, whole, stop):
    """Lightning counts an epoch as done after its last step, and asks the loader before it tells the epoch."""
    where, steps = stop
    state, count = framework_stopped(make, stop)
    assert state["asked"] == count
    loader = resumed(make, state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = framework(loader, count + (where is not MID), EPOCHS, iter_first=True)
    assert found == whole[steps:]


@pytest.mark.parametrize("saved", [1, 2])
def test_a_framework_that_loads_no_loader_state_at_an_epochs_end(make, epochs, saved):
    found = framework(make(), saved, EPOCHS, iter_first=True)
    assert found == [batch for epoch in epochs[saved:EPOCHS] for batch in epoch]


@pytest.mark.parametrize("stop", [(MID, 2), (MID, 9), (LAST, 4), (LAST, 8)], ids=str)
def test_a_framework_that_limits_its_epochs(make, epochs, stop):
    """`limit_train_batches`: another epoch's first batches each time, and the same after a resume."""
    limit = 4
    wanted = [batch for epoch in epochs[:EPOCHS] for batch in epoch[:limit]]
    assert framework(make(), 0, EPOCHS, limit, iter_first=True) == wanted
    where, steps = stop
    state, count = framework_stopped(make, stop, limit)
    loader = resumed(make, state)
    if where is MID:  # the framework takes what is left of its epoch
        loader_rest = limit - steps % limit
        iterator = iter(loader)
        loader.sampler.set_epoch(count)
        found = take(iterator, loader_rest)
        found += framework(loader, count + 1, EPOCHS, limit)
    else:
        found = framework(loader, count + 1, EPOCHS, limit, iter_first=True)
    assert found == wanted[steps:]


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_a_framework_that_counts_from_0_after_a_load(make, whole, stop):
    """Fabric: its count is that of this process's passes."""
    where, steps = stop
    state, _ = framework_stopped(make, stop)
    loader = resumed(make, state)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        passes = EPOCHS - steps // STEPS + (where is LAST)  # the empty one, which is warned of, is a pass too
        found = framework(loader, 0, passes)
    assert found == whole[steps:]
    assert [DELIVERS_NOTHING in str(w.message) for w in caught] == [True] * (where is LAST)


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_the_readmes_loop_in_a_framework_that_counts_from_0(make, whole, stop):
    """Fabric over a loop that calls set_epoch itself: the caller's count is what holds."""
    state, _ = framework_stopped(make, stop)
    loader, found = resumed(make, state), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count, epoch in enumerate(range(loader.epoch, EPOCHS)):
            loader.set_epoch(epoch)
            found += framework(loader, count, count + 1)
    assert found == whole[stop[1] :]


def test_an_epoch_that_the_caller_named_holds_against_a_frameworks_count(make, epochs):
    loader = make()
    for count, epoch in enumerate([1, 2, 3]):  # a loop over a saved number, and no state
        loader.set_epoch(epoch)
        assert framework(loader, count, count + 1) == epochs[epoch]


def test_of_two_loaders_the_shorter_cycles(make, epochs):
    """Its own epoch runs ahead of the framework's: nothing comes twice in one pass, and nothing after a resume."""
    short = make()
    short.sampler.set_epoch(0)
    assert ids(short) == epochs[0]
    assert ids(short) == epochs[1]  # a second pass within the framework's epoch 0
    iterator = iter(short)
    assert take(iterator, 3) == epochs[2][:3]
    state = short.state_dict()
    loader = resumed(make, state)
    loader.sampler.set_epoch(0)
    assert ids(loader) == epochs[2][3:]
    for each in (short, loader):
        each.sampler.set_epoch(1)
    assert ids(short) == ids(loader) == epochs[3]


def test_the_same_count_again_changes_nothing(make, epochs):
    loader = make()
    for _ in range(2):
        loader.sampler.set_epoch(0)
    iterator = iter(loader)
    first = take(iterator, 2)
    loader.sampler.set_epoch(0)
    assert first + ids(iterator) == epochs[0]
    loader.sampler.set_epoch(0)  # a second fit: its count begins again, the epochs go on
    assert ids(loader) == epochs[1]


@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_an_iterator_without_a_batch_takes_no_place(make, whole, stop):
    """`iter()` before `set_epoch`, as frameworks and prefetchers do, changes nothing of what it says."""
    _, steps = stop
    state, _ = stopped(make, stop)
    loader, found = resumed(make, state), []
    iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range((steps - 1) // STEPS, EPOCHS):
            loader.set_epoch(epoch)
            found += ids(loader)
    assert found == whole[steps:]
