"""A checkpoint into an object store, beside a plain multipart upload of the same bytes and torch.save with an upload.

A SeaweedFS server of this machine is the store (`--url` names another, its keys in the environment). Every measurement
is a process of its own, so that its memory is its own; the ways are interleaved, and medians reported.

    python benches/checkpoint_store.py [--mebibytes 512] [--rounds 5] [--url s3://bucket/prefix]
"""

import argparse
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

PART = 8 << 20


def status(name: str) -> float:
    """Of this process, in MiB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def client():
    import boto3

    return boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))


def sender(url: str, name: str) -> Callable[[io.BufferedIOBase], object]:
    """As boto3 uploads: parts of 8 MiB, ten at a time. Its imports are not measured."""
    parts, one = urlsplit(url), client()
    return lambda source: one.upload_fileobj(source, parts.netloc, f"{parts.path.lstrip('/')}/{name}")


def plain(url: str, state: dict[str, torch.Tensor]) -> Callable[[], object]:
    """The bytes are there before."""
    torch.save(state, buffer := io.BytesIO())
    buffer.seek(0)
    send = sender(url, "plain.pt")
    return lambda: send(buffer)


def plain_by_the_core(url: str, state: dict[str, torch.Tensor]) -> Callable[[], object]:
    """The same bytes by the client that the checkpoint uses, neither made nor hashed meanwhile."""
    from shardline._core import ObjectStore
    from shardline.options.storage import check_storage

    torch.save(state, buffer := io.BytesIO())
    storage = check_storage(None, [url], None)
    assert storage is not None
    store, view = ObjectStore(storage, url), buffer.getbuffer()

    def upload() -> None:
        one = store.upload("core.pt", "core.journal", len(view))
        for start in range(0, len(view), PART):
            one.write(view[start : start + PART])
        one.finish()

    return upload


def by_hand(url: str, state: dict[str, torch.Tensor]) -> Callable[[], object]:
    """torch.save into memory, then the upload of it."""

    send = sender(url, "by-hand.pt")

    def save() -> None:
        torch.save(state, buffer := io.BytesIO())
        buffer.seek(0)
        send(buffer)

    return save


class Holder:
    """An object with the state."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state


def checkpoint(url: str, state: dict[str, torch.Tensor], **options: object) -> Callable[[], object]:
    import shardline

    ck = shardline.Checkpointer(url, holder=Holder(state), **options)  # type: ignore[arg-type]

    def save() -> None:
        ck.save(int(time.time_ns()))
        save.stopped = time.perf_counter()  # type: ignore[attr-defined]
        ck.wait()

    return save


WAYS: dict[str, Callable[..., Callable[[], object]]] = {
    "plain upload (boto3)": plain,
    "plain upload (the core's)": plain_by_the_core,
    "torch.save + upload (boto3)": by_hand,
    "Checkpointer": checkpoint,
    "Checkpointer(blocking=False)": lambda url, state: checkpoint(url, state, blocking=False),
}


def measure(way: str, url: str, mebibytes: int) -> None:
    """One measurement, as JSON."""
    state = {f"weight_{i}": torch.randn(1 << 20) for i in range(mebibytes // 4)}
    run = WAYS[way](url, state)
    Path("/proc/self/clear_refs").write_text("5")
    before, began = status("VmRSS"), time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    stopped = getattr(run, "stopped", began + seconds) - began
    print(json.dumps([seconds, stopped, status("VmHWM") - before]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mebibytes", type=int, default=512, help="of the state")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measure(given.way, given.url, given.mebibytes)
        return
    if given.url:
        compare(given.url, given.mebibytes, given.rounds, dict(os.environ))
        return
    from support import servers

    with tempfile.TemporaryDirectory() as folder, servers.seaweed(Path(folder), volumes=1000) as server:
        compare("s3://laws/checkpoints", given.mebibytes, given.rounds, {**os.environ, **server.environ})


def compare(url: str, mebibytes: int, rounds: int, environ: dict[str, str]) -> None:
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--url", f"{url}/{number}", f"--mebibytes={mebibytes}"]
            output = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
            found[way].append(json.loads(output.splitlines()[-1]))
    print(f"{mebibytes} MiB of state, {rounds} rounds, torch {torch.__version__}, {os.cpu_count()} cores; medians")
    print(f"{'':30}{'seconds':>9}{'MiB/s':>8}{'least - most':>16}{'stands still':>14}{'MiB more':>10}")
    rates = {}
    for way, times in found.items():
        seconds, stopped, memory = (statistics.median(column) for column in zip(*times, strict=True))
        rates[way] = mebibytes / seconds
        least, most = min(one[0] for one in times), max(one[0] for one in times)
        print(f"{way:30}{seconds:9.2f}{rates[way]:8.0f}{least:8.2f} -{most:6.2f}{stopped:14.2f}{memory:10.0f}")
    for other in list(WAYS)[:3]:
        print(f"Checkpointer / {other}: {rates['Checkpointer'] / rates[other]:.2f} of its speed")


if __name__ == "__main__":
    main()
