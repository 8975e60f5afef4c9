"""Saves to a store that end early: what they leave is never a checkpoint that is not whole, and does not stay."""

import logging
import os
import signal
import threading
import time

import pytest
import torch
from support.bucket import Fault
from support.small import full_disk, make
from torch import nn

from demo import same
from shardline import Checkpointer, CheckpointError
from shardline.checkpoint import save as saving
from shardline.checkpoint.store_pending import StorePending

PART = 5 << 20  # the smallest that stores take
SOON = {"timeout": 2.0, "retry": {"max_retries": 0}}
DAY = 86_400


def of(bucket, folder):
    return sorted(key.removeprefix("run/") for key in bucket.objects if key.startswith(f"run/{folder}"))


class Held:
    """Holds a request until the test lets it go, long after its client gave up, and knows when it was done."""

    def __init__(self, bucket, key):
        self.key, self.go_on, self.done = key, threading.Event(), threading.Event()
        bucket.faults, self._write = self._hold, bucket.write
        bucket.write = self._note

    def _hold(self, request):
        if (request.method, request.key) == ("PUT", self.key):
            assert self.go_on.wait(60)

    def _note(self, key, body):
        self._write(key, body)
        if key == self.key:
            self.done.set()

    def release(self):
        self.go_on.set()
        assert self.done.wait(60)


def test_what_comes_after_its_save_was_given_up_is_removed_a_day_later(bucket):
    _, _, ck = make(bucket.root / "run", storage_options=SOON)
    ck.save(1)
    held = Held(bucket, "run/step-2/model.pt")
    with pytest.raises(CheckpointError, match=r"(?s)step 2 could not be written.*step-2/model.pt.*gave nothing for 2"):
        ck.save(2)
    held.release()
    assert of(bucket, "step-2") == ["step-2/model.pt", "step-2/writer.json"]
    assert make(bucket.root / "run", 1)[2].restore().step == 1
    bucket.now = 2 * DAY
    _, _, ck = make(bucket.root / "run")
    ck.save(3)
    assert of(bucket, "step-2") == []
    assert ck.restore().step == 3


def test_a_manifest_that_comes_after_its_save_was_given_up_is_that_of_a_whole_checkpoint(bucket):
    model, _, ck = make(bucket.root / "run", storage_options=SOON)
    ck.save(1)
    nn.init.constant_(model[0].weight, 2.0)
    held = Held(bucket, "run/step-2/manifest.json")
    with pytest.raises(CheckpointError, match="step 2 could not be written"):
        ck.save(2)
    assert make(bucket.root / "run", 1)[2].restore().step == 1
    held.release()
    other, _, ck = make(bucket.root / "run", 1)
    assert (ck.restore().step, ck.restore().skipped) == (2, ())
    assert same(dict(other.state_dict()), model.state_dict())


def test_no_part_is_sent_after_a_save_has_failed(bucket):
    model = nn.Linear(1024, 9000)  # eight parts
    ck = Checkpointer(bucket.root / "run", storage_options={**SOON, "timeout": 30, "request_bytes": PART}, model=model)
    go_on = threading.Event()
    parts = []

    def faults(request):
        if (request.method, request.key) == ("PUT", "run/step-1/model.pt"):
            parts.append(request)
            if len(parts) == 1:
                return Fault(403)
            assert go_on.wait(60)
        return None

    bucket.faults = faults
    with pytest.raises(CheckpointError, match="access was denied") as raised:
        ck.save(1)
    go_on.set()
    bucket.faults = lambda request: None
    sent = len(parts)
    ck.save(2)  # the error, which holds all that failed, is alive still
    assert "step 1" in str(raised.value)
    assert [
        request for request in bucket.requests if request.key == "run/step-1/model.pt" and request.method == "PUT"
    ] == (parts[:sent])
    assert bucket.uploads == {}
    assert "step-1/model.pt" not in of(bucket, "step-1")
    bucket.now = 2 * DAY
    Checkpointer(bucket.root / "run", model=model).save(3)
    assert of(bucket, "step-1") == []


def test_what_may_not_be_removed_does_not_stop_a_save(bucket, caplog):
    _, _, ck = make(bucket.root / "run")
    ck.save(1)
    ck._backend.begin(2, 0)
    bucket.now = 2 * DAY
    bucket.faults = lambda request: Fault(403) if request.method == "DELETE" else None
    _, _, ck = make(bucket.root / "run")
    with caplog.at_level(logging.WARNING, "shardline"):
        ck.save(3)
    assert "what killed saves left in s3://bucket/run could not be removed: " in caplog.text
    assert ck.restore().step == 3
    bucket.faults = lambda request: None
    make(bucket.root / "run")[2].save(4)
    assert of(bucket, "step-2") == []


def test_nothing_is_written_after_the_grace(bucket, caplog):
    """However fast the store is: the machine may be gone."""
    _, _, ck = make(bucket.root / "run", signals=[signal.SIGUSR1], grace=0.001)
    try:
        ck.save(1)
        before = dict(bucket.objects)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.002)
        with pytest.raises(SystemExit) as ended, caplog.at_level(logging.ERROR, "shardline"):
            ck.step(2)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert ended.value.code == 75
    assert "the time that was given for it is over" in caplog.text
    assert bucket.objects == before


def test_a_full_local_disk_is_no_matter(bucket):
    """Nothing is staged on it."""
    torch.manual_seed(0)
    model, other = nn.Linear(1024, 3000), nn.Linear(1024, 3000)
    ck = Checkpointer(bucket.root / "run", storage_options={"request_bytes": PART}, model=model)
    again = Checkpointer(bucket.root / "run", model=other)
    with full_disk():
        ck.save(1)
        assert again.restore().step == 1
    assert same(dict(other.state_dict()), model.state_dict())


def test_a_right_to_list_but_not_to_read(bucket):
    _, _, ck = make(bucket.root / "run")
    ck.save(1)
    bucket.faults = lambda request: Fault(403) if request.method == "GET" and request.key else None
    with pytest.raises(CheckpointError, match=r"(?s)cannot be looked at.*manifest.json.*denied \(403\) to access key"):
        make(bucket.root / "run", 1)[2].restore()


def test_clocks_that_are_off_by_hours(bucket, monkeypatch):
    """The order is that of the saves, whatever their machines say that the time is."""
    hours = 3600
    for step, off in ((10, 9), (5, -9), (7, 0)):
        monkeypatch.setattr(saving.time, "time", lambda off=off: 1.7e9 + off * hours)
        _, _, ck = make(bucket.root / "run", keep_last=2)
        ck.save(step)
        assert make(bucket.root / "run", 1)[2].restore().step == step
    assert [one.step for one in ck.list()] == [5, 7]


def test_keys_that_expire_during_a_save(bucket, monkeypatch):
    """Each request has keys of its own here, so short do they live; one more part is not lost for it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    handed = []

    def keys():
        handed.append(f"AKID{len(handed)}")
        return {"access_key_id": handed[-1], "secret_access_key": "hunter2", "expires_at": time.time()}

    model = nn.Linear(1024, 3000)
    options = {"request_bytes": PART, "credential_provider": keys}
    ck = Checkpointer(bucket.root / "run", storage_options=options, model=model)
    ck.save(1)
    sent = [
        headers["authorization"].partition("Credential=")[2].partition("/")[0]
        for headers in map(lowered, bucket.headers)
    ]
    parts = {key for key, request in zip(sent, bucket.requests, strict=True) if request.key == "run/step-1/model.pt"}
    assert len(parts) == 5  # begin, three parts, end
    assert parts < set(handed)
    assert set(sent) <= set(handed)
    assert "hunter2" not in repr(ck) + repr(ck._backend.store)
    assert ck.restore().step == 1


def lowered(headers):
    return {name.lower(): value for name, value in headers.items()}


def test_a_damaged_checkpoint_takes_no_memory_while_the_one_before_it_is_read(bucket):
    _, _, ck = make(bucket.root / "run")
    ck.save(1), ck.save(2)
    bucket.write("run/step-2/optimizer.pt", bucket.objects["run/step-2/optimizer.pt"][:-1] + b"?")
    held, source = [], ck._backend.source

    def looked_at(*args):
        held.extend(ck._backend._held)
        return source(*args)

    ck._backend.source = looked_at
    assert ck.restore().step == 1
    assert {folder for folder, _ in held} == {"step-1"}


def test_two_saves_of_one_process_never_share_a_folder(bucket):
    """Though the store's listing does not show the first yet."""
    _, _, ck = make(bucket.root / "run")
    ck.save(1)
    backend = ck._backend
    names = [StorePending.begin(backend._objects, backend._writers, 2, {}, 0).name for _ in range(3)]
    assert names == ["step-2", "step-2.1", "step-2.2"]
