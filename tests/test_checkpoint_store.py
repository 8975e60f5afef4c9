"""Checkpoints in a store that fails: the manifest alone makes one exist, and what was saved stays loadable."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import count

import pytest
import torch
from support.bucket import LOST, WritableStore
from support.small import make, names
from support.store import Fault
from torch import nn

from demo import same
from shardline import Checkpointer, CheckpointError, DataLoader

PART = 5 << 20  # the smallest that stores take
QUICK = {"timeout": 20, "retry": {"init_backoff": 0.001, "max_backoff": 0.01, "max_retries": 8}}
ONCE = {"retry": {"max_retries": 0}}
DAY = 86_400


def keys(bucket, prefix="run"):
    return sorted(key.removeprefix(f"{prefix}/") for key in bucket.objects if key.startswith(prefix))


def large(bucket, folder="run", rows=3000, **options):
    """A state of three parts (of two, with 1,400 rows), and its checkpointer."""
    torch.manual_seed(0)
    model = nn.Linear(1024, rows)
    options = {"storage_options": {**QUICK, "request_bytes": PART}, **options}
    return model, Checkpointer(bucket.root / folder, model=model, **options)


def test_what_lies_there_is_what_lies_on_a_disk(bucket, tmp_path, hundred):
    model, optimizer, ck = make(bucket.root / "run", data=DataLoader(hundred, batch_size=10))
    ck.save(7, values={"note": "x"})
    there = [f"step-7/{name}" for name in ("data.json", "model.pt", "optimizer.pt", "rng_0.pt", "writer.json")]
    found = keys(bucket)
    assert found[1:] == sorted([*there, "step-7/manifest.json"])
    assert found[0].startswith(".writers/00000001-")
    written = [request.key for request in bucket.requests if request.method == "PUT"]
    assert written[-1] == "run/step-7/manifest.json"
    for key in found:
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.objects[f"run/{key}"])
    other, its_optimizer, ck = make(tmp_path / "copy", 1)
    assert ck.restore().values == {"note": "x"}
    assert same(dict(other.state_dict()), model.state_dict())
    assert same(its_optimizer.state_dict(), optimizer.state_dict())
    # and restored from the URL by one that saves elsewhere
    other, _, ck = make(tmp_path / "elsewhere", 2)
    assert ck.restore(f"{bucket.root}/run/step-7").path == f"{bucket.root}/run/step-7"
    assert ck.restore(f"{bucket.root}/run").step == 7
    assert same(dict(other.state_dict()), model.state_dict())


def test_no_secret_is_shown(bucket, caplog):
    secret = "hunter2-of-the-tests"
    options = {**QUICK, "key": "AKIDTEST", "secret": secret, "token": f"token-{secret}"}
    with caplog.at_level(logging.DEBUG):
        _, _, ck = make(bucket.root / "run", storage_options=options)
        ck.save(1)
        bucket.faults = lambda request: Fault(403)
        bucket.words = f"AccessDenied {secret}"
        with pytest.raises(CheckpointError, match="access was denied") as raised:
            ck.save(2)
    shown = [str(raised.value), repr(ck), caplog.text, *map(repr, bucket.objects.values())]
    assert not any(secret in text for text in shown)
    with pytest.raises(ValueError, match="user or password") as refused:
        Checkpointer(f"s3://key:{secret}@bucket/run", extra={})
    assert secret not in str(refused.value)


@pytest.mark.parametrize("kind", [500, 503, 429, "reset", "cut", "stall", LOST])
def test_every_third_request_fails(bucket, kind):
    numbers = count(1)
    bucket.stall = 1.5
    bucket.faults = lambda request: Fault(kind) if next(numbers) % (9 if kind == "stall" else 3) == 0 else None
    # only what is never answered is waited for so briefly
    options = {"storage_options": {**QUICK, "request_bytes": PART, "timeout": 1.0 if kind == "stall" else 20}}
    model, ck = large(bucket, keep_last=1, **options)
    for step in (1, 2):
        with torch.no_grad():
            model.bias.fill_(step)
        ck.save(step)
    other, again = large(bucket, **options)
    with torch.no_grad():
        other.bias.fill_(9)
    assert (again.restore().step, again.restore().skipped) == (2, ())
    assert same(dict(other.state_dict()), model.state_dict())
    assert names(bucket.root / "run") == ["step-2"]
    # where the answer to its begin was lost, nobody knows an upload's name; no part of it was sent
    assert kind == LOST or bucket.uploads == {}
    assert not any(bucket.uploads.values())


@pytest.mark.parametrize("kind", [500, LOST])
def test_a_store_that_fails_for_good_at_any_request(bucket, kind):
    """However far it came: what counts as saved is whole, and what is not is said."""
    large(bucket, rows=1400)[1].save(1)
    saved = dict(bucket.objects)
    outcomes = []
    for at in count():
        bucket.objects.clear(), bucket.objects.update(saved), bucket.uploads.clear()
        bucket.faults = lambda request: None
        model, ck = large(bucket, rows=1400, keep_last=1, storage_options={**ONCE, "request_bytes": PART})
        with torch.no_grad():
            model.bias.fill_(at)
        begin = len(bucket.requests)
        bucket.faults = lambda request, first=begin + at: Fault(kind) if request.number >= first else None
        try:
            ck.save(2)
            outcome = 2
        except CheckpointError:
            outcome = 1
        done = len(bucket.requests) - begin <= at
        bucket.faults = lambda request: None
        other, again = large(bucket, rows=1400)
        restored = again.restore()
        # a manifest whose answer was lost is there, though nobody could say so
        assert restored.step in ((outcome,) if kind != LOST else (outcome, 2))
        assert restored.skipped == ()
        if restored.step == 2:
            assert same(dict(other.state_dict()), model.state_dict())
        outcomes.append(outcome)
        if done:
            break
    assert {1, 2} == set(outcomes)
    assert outcomes == sorted(outcomes)


def test_what_a_killed_save_left_is_removed_a_day_later(bucket):
    """By the store's clock, which is years from this machine's."""
    _, ck = large(bucket)
    ck.save(1)
    pending = ck._backend.begin(2, 0)
    upload = ck._backend.store.upload("step-2/model.pt", "step-2/.uploads/model.pt", 0)
    upload.write(bytes(PART + 1))
    ck._backend.store.put("step-2/rng_0.pt", b"x")
    left = [key for key in keys(bucket) if key.startswith("step-2")]
    assert left == ["step-2/.uploads/model.pt", "step-2/rng_0.pt", "step-2/writer.json"]
    assert list(bucket.uploads) == ["upload-1"]
    bucket.now = DAY - 1
    ck.save(3)
    assert [key for key in keys(bucket) if key.startswith("step-2")] == left
    assert ck.restore().step == 3
    bucket.now = 2 * DAY + 1
    ck.save(4)
    ck.save(5)
    assert not [key for key in keys(bucket) if key.startswith("step-2")]
    assert bucket.uploads == {}
    assert [one.step for one in ck.list()] == [3, 4, 5]
    assert pending.name == "step-2"


def test_what_others_keep_there_is_left_alone(bucket):
    others = ["model.pt", "step-1/notes.txt", "step-x/manifest.json", "steps/1", "data/part-0.parquet"]
    for key in others:
        bucket.write(f"run/{key}", b"theirs")
    bucket.now = 3 * DAY
    _, _, ck = make(bucket.root / "run", keep_last=1)
    assert not ck.restore()
    for step in (1, 2):
        ck.save(step)
    assert all(bucket.objects[f"run/{key}"] == b"theirs" for key in others)
    assert [one.path for one in ck.list()] == [f"{bucket.root}/run/step-2"]


def test_without_conditional_puts(bucket):
    bucket.conditional = False
    model, _, ck = make(bucket.root / "run")
    for step in (1, 2, 2):
        nn.init.constant_(model[0].weight, ck.list()[-1].step + 5 if ck.list() else 0)
        ck.save(step)
    other, _, ck = make(bucket.root / "run", 1)
    assert ck.restore().step == 2
    assert same(dict(other.state_dict()), model.state_dict())


def test_no_bucket_and_no_rights(bucket):
    with pytest.raises(
        CheckpointError, match=r"could not be written to s3://nowhere/run.*'?\"?nowhere\"? must be there"
    ):
        make("s3://nowhere/run")[2].save(1)
    _, _, ck = make(bucket.root / "run", keep_last=1)
    ck.save(1)
    for methods, words in ((("PUT", "POST"), "step 2 could not be written"), (("GET",), "denied")):
        bucket.faults = lambda request, methods=methods: Fault(403) if request.method in methods else None
        with pytest.raises(CheckpointError, match=f"(?s){words}.*access key AKIDTEST"):
            ck.save(2)
    with pytest.raises(CheckpointError, match=r"(?s)cannot be looked at.*access was denied \(403\) to access key"):
        ck.restore()
    bucket.faults = lambda request: None
    assert ck.restore().step == 1


def test_no_right_to_delete_is_a_warning(bucket, caplog):
    _, _, ck = make(bucket.root / "run", keep_last=1)
    ck.save(1)
    bucket.faults = lambda request: Fault(403) if request.method == "DELETE" else None
    with caplog.at_level(logging.WARNING, "shardline"):
        ck.save(2)
    assert "older checkpoints in s3://bucket/run could not be removed" in caplog.text
    assert ck.restore().step == 2


SAVES = """
import sys
sys.path[:] = {path!r}
import torch
import shardline
ck = shardline.Checkpointer("s3://bucket/run", model=torch.nn.Linear(1, 1), keep_last=None)
for line in sys.stdin:
    try:
        ck.save(int(line))
        print("saved", flush=True)
    except shardline.ShardlineError as error:
        print(" ".join(str(error).split()), flush=True)
"""


def test_of_two_that_save_the_later_one_does_and_both_are_named(bucket, caplog):
    program = SAVES.format(path=sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )

    def other(step):
        print(step, file=process.stdin, flush=True)
        return process.stdout.readline()

    try:
        assert other(1) == "saved\n"
        _, _, ck = make(bucket.root / "run", keep_last=None)
        with caplog.at_level(logging.WARNING, "shardline"):
            ck.save(2)
            assert "process" not in caplog.text  # one that was killed and begun again looks the same
            said = other(3)
            ck.save(4)
        for one in (f"process {process.pid} on ", f"process {os.getpid()} on "):
            assert one in said
            assert one in caplog.text
        assert "saves there no more" in said
        assert "a directory of its own" in caplog.text
        assert [one.step for one in ck.list()] == [1, 2, 4]
    finally:
        process.kill()
        process.communicate()


def test_in_the_background_the_training_does_not_wait_for_the_store(bucket):
    _, ck = large(bucket, blocking=False)
    go_on, begun = threading.Event(), threading.Event()

    def hold(request):
        begun.set()
        go_on.wait(30)

    bucket.faults = hold
    ck.save(1)
    assert begun.wait(30)
    assert ck._background.busy
    go_on.set()
    ck.wait()
    assert ck.restore().step == 1


def test_a_preemption_knows_its_time_and_says_what_it_could_not_do(bucket, caplog):
    _, ck = large(bucket, signals=[signal.SIGUSR1], grace=0.5)
    ck.save(1)
    bucket.stall = 5
    bucket.faults = lambda request: Fault("stall") if request.method == "PUT" else None
    os.kill(os.getpid(), signal.SIGUSR1)
    begin = time.monotonic()
    with pytest.raises(SystemExit) as ended, caplog.at_level(logging.ERROR, "shardline"):
        ck.step(2)
    assert ended.value.code == 75
    assert time.monotonic() - begin < 3
    assert "the checkpoint of step 2 could not be written to s3://bucket/run" in caplog.text
    assert "the time that was given for it is over" in caplog.text
    assert "the latest is of step 1" in caplog.text
    assert "grace=0.5" in caplog.text
    bucket.faults = lambda request: None
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert large(bucket)[1].restore().step == 1


def test_a_large_checkpoint_takes_no_more_memory_than_parts_under_way(bucket):
    """The state itself is streamed; nothing lies on the local disk."""
    model, ck = large(bucket)
    ck.save(1)
    parts = [request for request in bucket.requests if (request.method, request.key) == ("PUT", "run/step-1/model.pt")]
    assert len(parts) == 3
    assert bucket.begun == ["run/step-1/model.pt"]
    assert json.loads(bucket.objects["run/step-1/manifest.json"])["files"]["model.pt"]["bytes"] == len(
        bucket.objects["run/step-1/model.pt"]
    )
    assert not [key for key in bucket.objects if ".uploads" in key]
    assert isinstance(bucket, WritableStore)
    assert model.weight.nbytes > 2 * PART
