"""`blocking=False`: what is written is what was there when `save` was called."""

import threading
import time

import pytest
import torch
from support import lives
from support.small import full_disk, make, names
from torch import nn

from demo import same
from shardline import Checkpointer, CheckpointError


@pytest.fixture(scope="module")
def server():
    one = lives.Server()
    yield one
    one.close()


def test_in_the_background_what_is_saved_is_what_was_there(tmp_path):
    model, _, ck = make(tmp_path, blocking=False, extra=(extra := {"list": [1]}))
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    begin, go_on = threading.Event(), threading.Event()
    write = ck._saver.save

    def slow(taken):
        begin.set()
        assert go_on.wait(30)
        write(taken)

    ck._saver.save = slow
    assert ck.save(1)
    assert begin.wait(30)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(9)
    extra["list"].append(2)
    assert ck.list() == []
    go_on.set()
    ck.save(2)  # waits for the first: two never overlap
    assert [one.step for one in ck.list()][:1] == [1]
    ck.wait()
    other, _, again = make(tmp_path, 1, extra=(read := {}))
    again.restore(1)
    assert same(dict(other.state_dict()), expected)
    assert read == {"list": [1]}
    again.restore(2)
    assert other[0].weight[0, 0] == 9
    assert read == {"list": [1, 2]}


def test_what_every_rank_has_of_its_own_is_copied_too(tmp_path):
    own, counts = nn.Linear(3, 3), {"sum": torch.zeros(3)}
    expected = {k: v.clone() for k, v in own.state_dict().items()}
    ck = Checkpointer(tmp_path, per_rank={"own": own, "counts": counts}, blocking=False)
    go_on, write = threading.Event(), ck._saver.save
    ck._saver.save = lambda taken: (go_on.wait(30), write(taken))
    ck.save(1)
    with torch.no_grad():
        for tensor in (*own.parameters(), counts["sum"]):
            tensor.fill_(9)
    go_on.set()
    ck.wait()
    ck.restore()
    assert same(dict(own.state_dict()), expected)
    assert counts["sum"].tolist() == [0, 0, 0]


def test_a_failure_in_the_background_is_said_at_once(tmp_path, caplog):
    """The process may end without another save or wait()."""
    _, _, ck = make(tmp_path, blocking=False)
    with full_disk():
        ck.save(1)
        ck._background._thread.join()
    assert "a checkpoint was not saved in the background: the checkpoint of step 1 could not be written" in caplog.text


def test_a_failure_in_the_background_does_not_take_the_next_save_with_it(tmp_path):
    _, _, ck = make(tmp_path, blocking=False, on_error="warn")
    with full_disk():
        assert ck.save(1)
        ck._background._thread.join()
    with pytest.warns(RuntimeWarning, match="step 1 could not be written"):
        assert ck.save(2)
    ck.wait()
    assert names(tmp_path) == ["step-2"]
    _, _, ck = make(tmp_path, blocking=False)
    with full_disk():
        ck.save(3)
        with pytest.raises(CheckpointError, match="step 3 could not be written"):
            ck.save(4)


def test_what_failed_is_not_tried_again_at_once(tmp_path, monkeypatch):
    now = [0.0]
    _, _, ck = make(tmp_path, every_minutes=1, on_error="warn")
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ck._clock.saved()
    with full_disk():
        now[0] = 61.0
        with pytest.warns(RuntimeWarning):
            assert not ck.step(1)
        now[0] = 62.0
        assert not ck.step(2)
    now[0] = 122.0
    assert ck.step(3)


def test_tied_tensors_stay_one_in_the_copy(tmp_path):
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    model[1].weight = model[0].weight
    sizes = {}
    for blocking in (True, False):
        ck = Checkpointer(tmp_path / str(blocking), model=model, blocking=blocking)
        ck.save(1)
        ck.wait()
        sizes[blocking] = (tmp_path / str(blocking) / "step-1" / "model.pt").stat().st_size
    assert abs(sizes[True] - sizes[False]) < 1000


def test_the_end_of_the_process_waits(server, tmp_path):
    assert server.run(lives.save_and_end, str(tmp_path)) == [0]
    assert Checkpointer(tmp_path, extra={}).restore().step == 1
