"""Checkpoints in real servers: of S3, moto in this process and SeaweedFS, and of WebDAV, SeaweedFS."""

from contextlib import ExitStack

import pytest
import torch
from support import servers
from torch import nn

from demo import same
from shardline import Checkpointer
from shardline._core import ObjectStore
from shardline.options.storage import check_storage

# fake-gcs-server takes no uploads by the interface that the client speaks, and there is no server of Azure's


@pytest.fixture(scope="module", params=["moto", "seaweed", "webdav"])
def url(request, tmp_path_factory):
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        name = request.param
        start = getattr(servers, name)
        server = stack.enter_context(start() if name == "moto" else start(tmp_path_factory.mktemp(name)))
        for key, value in server.environ.items():
            patch.setenv(key, value)
        yield server.publish(tmp_path_factory.mktemp("nothing"), "run")


def test_saved_kept_damaged_and_restored(url):
    """In parts, as large ones are; the newest is damaged behind the manifest."""
    options = {"request_bytes": 5 << 20}
    torch.manual_seed(3)
    model = nn.Linear(1024, 3000)
    ck = Checkpointer(url, storage_options=options, model=model, extra={"x": 1}, keep_last=2, monitor="loss")
    kept = {}
    for step in (1, 2, 3, 4):
        nn.init.constant_(model.bias, step)
        ck.save(step, metrics={"loss": abs(step - 1.5)})
        kept[step] = {name: value.clone() for name, value in model.state_dict().items()}
    assert [one.step for one in ck.list()] == [1, 3, 4]
    # without conditional puts, as of WebDAV, a folder has a number of its own
    paths = {one.step: one.path for one in ck.list()}
    other = nn.Linear(1024, 3000)
    again = Checkpointer(url, model=other, extra={}, monitor="loss")
    for which, step in (("latest", 4), ("best", 1), (3, 3), (paths[3], 3)):
        assert again.restore(which).step == step
        assert same(dict(other.state_dict()), kept[step])
    storage = check_storage(None, [url], None)
    store = ObjectStore(storage, url)
    names = {step: path.removeprefix(f"{url}/") for step, path in paths.items()}
    store.delete([f"{names[4]}/extra.json", "not-there"])
    restored = again.restore()
    assert (restored.step, f"{paths[4]}/extra.json cannot be read" in restored.skipped[0]) == (3, True)
    store.put(f"{names[3]}/extra.json", b'{"x": 2}')
    assert again.restore().step == 1
    assert again.restore(only="model").step == 4


def test_what_is_put_only_if_it_is_absent(url):
    store = ObjectStore(check_storage(None, [url], None), url)
    answers = [store.create("once", b"first"), store.create("once", b"second"), store.create("once", b"first")]
    assert answers in ([True, False, True], [None, None, None])
    assert store.get("once") == (b"first" if answers[0] else None)
    assert store.get("nothing") is None
    upload = store.upload("large", "large.journal", 0)
    whole = torch.randint(256, (12 << 20,), dtype=torch.uint8).numpy().tobytes()
    upload.write(whole)
    in_parts = url.startswith("s3://")
    assert upload.finish() == (2 if in_parts else 1)
    [(size, tag)] = [(size, tag) for key, size, tag, _ in store.list("") if key == "large"]
    assert store.read("large", 5, size, size, tag) == whole[5:]
    if in_parts:
        store.abort("large", store.get("large.journal").decode())  # it is complete: nothing happens
    assert store.read("large", 0, 9, size, tag) == whole[:9]
