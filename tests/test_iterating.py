"""The rules of iterating (docs/resume.md), each with its own test."""

import random
import signal
import warnings
from itertools import islice

import numpy as np
import pytest
import torch
from support import ids, take

import shardline
from shardline import DataLoader


def test_epochs_follow_each_other_when_their_end_was_seen(make, epochs):
    loader = make()
    assert (loader.epoch, loader.batch_index, loader.remaining) == (0, 0, 10)
    assert ids(loader) == epochs[0]
    assert (loader.epoch, loader.batch_index, loader.remaining) == (1, 0, 10)
    assert ids(loader) == epochs[1]


def test_unshuffled_rows_come_in_file_order(hundred):
    assert ids(DataLoader(hundred, batch_size=30)) == [list(range(a, min(a + 30, 100))) for a in (0, 30, 60, 90)]


def test_peek_costs_nothing_and_does_not_warn(make, epochs):
    loader = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peeked = next(iter(loader))
        assert peeked["i"].tolist() == epochs[0][0]
        assert loader.batch_index == 1
        assert ids(loader) == epochs[0]


def test_rewinding_more_than_one_batch_warns(make, epochs):
    loader = make()
    take(iter(loader), 2)
    iterator = iter(loader)
    assert loader.batch_index == 0
    with pytest.warns(RuntimeWarning, match="2 batches are delivered again"):
        assert ids(iterator) == epochs[0]


def test_leaving_early_without_shuffle_or_after_set_epoch_does_not_warn(make, epochs):
    plain, shuffled = make(shuffle=False), make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            take(iter(plain), 3)
            shuffled.set_epoch(0)
            assert take(iter(shuffled), 3) == epochs[0][:3]


def test_break_then_iter_starts_where_the_last_one_started(make, epochs):
    loader = make()
    loader.load_state_dict(loader.state_at(3))
    take(iter(loader), 1)
    assert loader.batch_index == 4
    assert ids(loader) == epochs[0][3:]


def test_loading_ones_own_state_goes_on_where_the_loop_was_left(make, epochs):
    loader = make()
    assert take(iter(loader), 4) == epochs[0][:4]
    loader.load_state_dict(loader.state_dict())
    assert ids(loader) == epochs[0][4:]
    assert ids(loader) == epochs[1]


def test_older_iterator_raises_and_the_state_is_the_newest_ones(make, epochs):
    loader = make()
    older = iter(loader)
    next(older)
    newer = iter(loader)
    with pytest.raises(shardline.ShardlineRuntimeError, match="newer iterator"):
        next(older)
    assert loader.batch_index == 0
    assert take(newer, 2) == epochs[0][:2]
    with pytest.raises(RuntimeError, match="newer iterator"):
        next(older)
    assert loader.batch_index == 2


def test_exhausted_iterator_stays_exhausted_and_ends_only_its_own_epoch(make, epochs):
    loader = make()
    older = iter(loader)
    assert ids(older) == epochs[0]
    newer = iter(loader)
    next(newer)
    assert next(older, "over") == "over"
    assert (loader.epoch, loader.batch_index) == (1, 1)
    assert ids(newer) == epochs[1][1:]


def test_all_delivered_but_end_not_seen_next_iter_in_process_begins_the_next_epoch(make, epochs):
    loader = make()
    assert take(iter(loader), 10) == epochs[0]
    assert (loader.epoch, loader.batch_index, loader.remaining) == (0, 10, 0)
    assert ids(loader) == epochs[1]


def test_state_before_the_end_was_seen_delivers_nothing_first(make, epochs):
    loader = make()
    take(iter(loader), 10)
    state = loader.state_dict()
    assert state["ended"] is False
    resumed = make()
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.batch_index, resumed.remaining) == (0, 10, 0)
    iter(resumed)  # an iterator that is never asked sees no end
    with pytest.warns(RuntimeWarning, match=r"epoch 0 delivers nothing.*set_epoch\(step // len\(loader\)\)"):
        assert (resumed.epoch, ids(resumed)) == (0, [])
    assert (resumed.epoch, ids(resumed)) == (1, epochs[1])


def test_state_after_the_end_was_seen_begins_the_next_epoch(make, epochs):
    loader = make()
    ids(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["ended"]) == (0, True)
    resumed = make()
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.batch_index) == (1, 0)
    assert ids(resumed) == epochs[1]


def test_set_epoch_begins_at_the_start_delivered_before_or_not(make, epochs):
    loader = make()
    loader.set_epoch(2)
    assert ids(loader) == epochs[2]
    loader.set_epoch(2)
    assert ids(loader) == epochs[2]
    loader.set_epoch(0)
    take(iter(loader), 3)
    loader.set_epoch(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ids(loader) == epochs[0]


def test_set_epoch_of_the_loaded_epoch_keeps_the_position_until_its_end_was_seen(make, epochs):
    loader = make()
    loader.load_state_dict(make().state_at(4))
    for _ in range(3):
        loader.set_epoch(0)
        assert loader.batch_index == 4
    assert take(iter(loader), 2) == epochs[0][4:6]
    loader.set_epoch(0)
    assert ids(loader) == epochs[0][4:]
    loader.set_epoch(0)
    assert ids(loader) == epochs[0]


def test_seek_0_repeats_an_epoch(make, epochs):
    loader = make()
    loader.load_state_dict(make().state_at(4))
    loader.seek(0)
    assert (loader.epoch, loader.batch_index) == (0, 0)
    assert ids(loader) == epochs[0]
    ended = make()
    ended.load_state_dict(loader.state_dict())
    ended.set_epoch(0)
    assert ended.remaining == 0
    ended.seek(0)
    ended.set_epoch(0)
    assert ids(ended) == epochs[0]
    with pytest.raises(ValueError, match="or back to 0, not to 2"):
        take(iter(ended), 3)
        ended.seek(2)


@pytest.mark.parametrize("move", ["set_epoch", "seek", "load"])
def test_an_iterator_takes_its_place_at_its_first_batch(make, epochs, move):
    loader = make()
    assert ids(loader) == epochs[0]
    iterator = iter(loader)
    loader.seek(2)
    if move == "set_epoch":
        loader.set_epoch(3)
        wanted = epochs[3]
    elif move == "seek":
        loader.seek(7)
        wanted = epochs[1][7:]
    else:
        loader.load_state_dict(make().state_at(6, epoch=2))
        wanted = epochs[2][6:]
    assert take(iterator, 1) == wanted[:1]
    assert len(loader) - loader.remaining == loader.batch_index
    assert ids(iterator) == wanted[1:]
    assert loader.state_dict()["ended"]


def test_set_epoch_of_the_epoch_that_is_being_iterated_changes_nothing(make, epochs):
    loader = make()
    iterator = iter(loader)
    next(iterator)
    before = loader.state_dict()
    loader.set_epoch(0)
    assert loader.state_dict() == before
    assert ids(iterator) == epochs[0][1:]


def test_set_epoch_of_an_epoch_that_was_delivered_repeats_it(make, epochs):
    loader = make()
    for _ in range(2):
        loader.set_epoch(1)
        assert take(iter(loader), 10) == epochs[1]  # its end is not seen
    assert ids(loader) == epochs[2]


def test_set_epoch_keeps_a_loaded_position_after_a_peek(make, epochs):
    loader = make()
    loader.load_state_dict(loader.state_at(4))
    next(iter(loader))
    loader.set_epoch(0)
    assert ids(loader) == epochs[0][4:]
    loader.set_epoch(0)
    assert ids(loader) == epochs[0]


def test_set_epoch_of_another_epoch_leaves_the_loaded_position(make, epochs):
    loader = make()
    loader.load_state_dict(loader.state_at(4))
    with pytest.warns(RuntimeWarning, match=r"set_epoch\(1\) leaves the loaded place, epoch 0, step 4 of 10"):
        loader.set_epoch(1)
    assert ids(loader) == epochs[1]
    loader.set_epoch(0)
    assert ids(loader) == epochs[0]


@pytest.mark.parametrize("seen", [False, True])
def test_set_epoch_of_a_complete_loaded_epoch_delivers_nothing(make, epochs, seen):
    loader = make()
    iterator = iter(loader)
    take(iterator, 10)
    if seen:
        assert next(iterator, None) is None
    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    resumed.set_epoch(0)
    assert (resumed.epoch, resumed.batch_index, resumed.remaining) == (0, 10, 0)
    assert ids(resumed) == []
    resumed.set_epoch(1)
    assert ids(resumed) == epochs[1]


def test_the_usual_training_loop_resumes_at_every_step(make, epochs):
    whole = [(e, i, batch) for e in range(3) for i, batch in enumerate(epochs[e])]
    for stop in range(0, 30, 7):
        loader = make()
        seen = []

        def train(loader, count):
            for epoch in range(loader.epoch, 3):
                loader.set_epoch(epoch)
                for index, batch in enumerate(loader, start=loader.batch_index):
                    seen.append((epoch, index, batch["i"].tolist()))  # noqa: B023
                    if len(seen) == count:  # noqa: B023
                        return loader.state_dict()
            return None

        state = train(loader, stop) if stop else loader.state_dict()
        resumed = make()
        resumed.load_state_dict(state)
        train(resumed, -1)
        assert seen == whole


def test_failed_load_leaves_everything_as_it_was(make, epochs):
    loader = make()
    iterator = iter(loader)
    take(iterator, 3)
    before, shown = loader.state_dict(), repr(loader)
    with pytest.raises(shardline.CheckpointMismatchError):
        loader.load_state_dict({**make(shuffle_seed=1).state_dict(), "epoch": 5})
    assert loader.state_dict() == before
    assert repr(loader) == shown
    assert ids(iterator) == epochs[0][3:]
    assert ids(loader) == epochs[1]


def test_load_takes_effect_at_the_next_iter(make, epochs):
    loader = make()
    iterator = iter(loader)
    take(iterator, 2)
    loader.load_state_dict(loader.state_at(7))
    assert loader.batch_index == 7
    with pytest.raises(shardline.ShardlineRuntimeError, match=r"position was set .* call iter\(\)"):
        next(iterator)
    assert (loader.epoch, loader.batch_index) == (0, 7)
    assert ids(loader) == epochs[0][7:]


def test_enumerate_from_batch_index(make, epochs):
    loader = make()
    loader.load_state_dict(loader.state_at(6))
    found = [(i, batch["i"].tolist()) for i, batch in enumerate(loader, start=loader.batch_index)]
    assert found == [(i, epochs[0][i]) for i in range(6, 10)]
    assert next(enumerate(loader, start=loader.batch_index))[0] == 0


def test_length_is_the_whole_epochs_before_and_after_a_resume(make):
    loader = make()
    for _ in loader:
        assert len(loader) == len(loader.dataset) == loader.batch_index + loader.remaining == 10
    resumed = make()
    resumed.load_state_dict(loader.state_at(4))
    assert (len(resumed), resumed.batch_index, resumed.remaining) == (10, 4, 6)


def test_state_at_is_the_state_as_of_that_step(make, epochs):
    loader = make()
    states = [loader.state_dict()]
    iterator = iter(loader)
    for _ in range(10):
        next(iterator)
        states.append(loader.state_dict())
    assert [loader.state_at(step) for step in range(11)] == states
    assert next(iterator, None) is None
    # The end was seen, by a wrapper that looks ahead say: a step is still one of the epoch that was iterated…
    assert loader.state_at(9) == states[9]
    # …until the next begins, or where another is named.
    assert loader.state_at(3, epoch=1)["epoch"] == 1
    iter(loader)
    assert loader.state_at(9)["epoch"] == 1
    for step in (-1, 11):
        with pytest.raises(shardline.ShardlineValueError, match="step"):
            loader.state_at(step)


def test_batches_taken_by_islice_zip_and_an_exception_count_once(make, epochs):
    loader = make()
    list(zip(range(3), loader, strict=False))
    assert loader.batch_index == 3  # zip asks its first iterable first, so that a fourth is not taken
    loader.load_state_dict(loader.state_dict())
    list(islice(loader, 2))
    assert loader.batch_index == 5
    loader.load_state_dict(loader.state_dict())
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            1 / 0  # noqa: B018
    assert loader.batch_index == 6


def test_interrupts_at_any_moment_of_a_wait_lose_nothing(rows):
    """As Ctrl-C does, an alarm raises between any two steps of the interpreter while a batch is waited for."""
    loader = DataLoader(rows([[5] * 1000]), batch_size=5, num_threads=1, prefetch_bytes=1)
    interrupts = 0

    def interrupt(_, frame):
        if frame.f_code.co_name in ("_fill", "convert", "get"):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        while interrupts < 20:
            iterator, found = iter(loader), []
            while len(found) < 5000:
                try:
                    found += next(iterator)["i"].tolist()
                except KeyboardInterrupt:
                    interrupts += 1
            assert found == list(range(5000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_is_drawn_from_global_generators(make):
    loader = make(shuffle_seed=None)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    ids(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
