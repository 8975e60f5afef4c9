"""docs/how-to/bucket.md: its training is preempted and goes on, and its policy gives the rights that are needed."""

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import torch
from support.bucket import Fault, WritableStore
from support.flights import write_page_flights
from torch import nn

from shardline import Checkpointer

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "bucket.md").read_text()
[TRAINING] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
[POLICY] = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]
DAY = 86_400


@pytest.fixture
def flights(tmp_path):
    write_page_flights(tmp_path / "flights")
    return tmp_path


def weights(store):
    last = max(
        (json.loads(data) | {"key": key} for key, data in store.objects.items() if key.endswith("/manifest.json")),
        key=lambda manifest: manifest["serial"],
    )
    ck = Checkpointer(f"s3://bucket/{last['key'].rpartition('/step-')[0]}", model=(net := nn.Linear(2, 1)))
    return ck.restore(only="model").step, [p.detach().clone() for p in net.parameters()]


def run(folder, store, code):
    """A life of the training, in a process of its own."""
    command = [sys.executable, "-u", "-c", code]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **store.environ}, capture_output=True, text=True, timeout=120
    )


def test_the_training_is_preempted_and_requeued(flights, monkeypatch):
    """As it stands; the signal comes in the middle of its 20th step."""
    monkeypatch.chdir(flights)
    signalled = TRAINING.replace(
        "        step += 1\n",
        "        step += 1\n        if step == 20:\n            signal.raise_signal(signal.SIGTERM)\n",
    )
    assert signalled != TRAINING
    found = {}
    for name, lives in (("whole", [(TRAINING, 0)]), ("preempted", [(signalled, 75), (TRAINING, 0)])):
        with WritableStore() as store:
            for key, value in store.environ.items():
                monkeypatch.setenv(key, value)
            for code, status in lives:
                life = run(flights, store, code)
                assert life.returncode == status, life.stderr
                if status == 75:
                    assert weights(store)[0] == 20
            found[name] = weights(store)
    assert found["whole"][0] == found["preempted"][0] == 3 * 14
    assert all(torch.equal(one, other) for one, other in zip(found["whole"][1], found["preempted"][1], strict=True))


def action_of(request, path):
    """(what S3 calls it, the resource, the prefix of a listing)."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    if request.method == "GET" and not request.key:
        return "s3:ListBucket", "arn:aws:s3:::bucket", query["prefix"][0]
    ends = request.method == "DELETE" and "uploadId" in query
    names = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject"}
    action = "s3:AbortMultipartUpload" if ends else names.get(request.method, "s3:DeleteObject")
    return action, f"arn:aws:s3:::{unquote(parts.path).lstrip('/')}", None


def allows(statement, action, resource, prefix):
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    if action not in actions or not fnmatch.fnmatchcase(resource, statement["Resource"]):
        return False
    conditions = statement.get("Condition", {}).get("StringLike", {})
    return all(prefix is not None and fnmatch.fnmatchcase(prefix, pattern) for pattern in conditions.values())


def test_the_policy_gives_what_is_needed_and_no_more(bucket):
    """A run of all that is done there: parts, pruning, what killed saves left, restoring."""
    needed = set()

    def judge(request):
        asked = action_of(request, bucket.paths[request.number])
        needed.add(asked[0])
        allowed = any(allows(statement, *asked) for statement in POLICY["Statement"])
        return None if allowed else Fault(403)

    bucket.faults = judge
    model, options = nn.Linear(1024, 1500), {"request_bytes": 5 << 20}
    ck = Checkpointer("s3://bucket/runs/7", storage_options=options, model=model, keep_last=1)
    assert not ck.restore()
    ck.save(1)
    pending = ck._backend.begin(2, 0)
    ck._backend.store.upload(f"{pending.name}/x", f"{pending.name}/.uploads/x", 0).write(bytes(6 << 20))
    bucket.now = 2 * DAY
    again = Checkpointer("s3://bucket/runs/7", storage_options=options, model=model, keep_last=1)
    assert again.restore().step == 1
    again.save(3)
    assert again.restore().step == 3
    assert [one.step for one in again.list()] == [3]
    assert bucket.uploads == {}
    assert needed == {action for statement in POLICY["Statement"] for action in actions_of(statement)}
    with pytest.raises(Exception, match="denied"):
        Checkpointer("s3://bucket/others", model=model).save(1)


def actions_of(statement):
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
