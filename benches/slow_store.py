"""A store as far away as a real one: every request takes so long, and every connection gives so many bytes a second.

`python benches/slow_store.py LATENCY BYTES_PER_SECOND` reads lines of `count path` (that many objects of one file) from
standard input up to an empty line, then prints its port and serves S3's listings and ranges, and plain HTTP.
"""

import asyncio
import socket
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PIECE = 256 << 10
PAGE = 1000


class Store(asyncio.Protocol):
    def __init__(self, objects, latency, rate):
        self.objects, self.latency, self.rate = objects, latency, rate
        self.keys = sorted(objects)
        self.buffer = b""

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        transport.set_write_buffer_limits(high=4 << 20)

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, self.buffer = self.buffer[:end].decode("latin-1"), self.buffer[end + 4 :]
            asyncio.get_running_loop().call_later(self.latency, self.answer, head)

    def answer(self, head):
        if self.transport.is_closing():
            return None
        line, *rest = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (entry.partition(": ") for entry in rest)}
        parts = urlsplit(target)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if not key:
            return self.send("200 OK", self.listing(parse_qs(parts.query)), "", method)
        body = self.objects.get(key)
        if body is None:
            return self.send("404 Not Found", b"", "", method)
        extra, status, size = (
            'ETag: "1"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n',
            "200 OK",
            len(body),
        )
        if "range" in headers:
            first, _, last = headers["range"].removeprefix("bytes=").partition("-")
            start, end = (size - int(last), size) if not first else (int(first), min(int(last or size - 1) + 1, size))
            extra += f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
            body, status = memoryview(body)[start:end], "206 Partial Content"
        return self.send(status, body, extra, method)

    def send(self, status, body, extra, method):
        self.transport.write(f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode())
        if method != "HEAD" and len(body):
            self.pour(memoryview(body), 0, asyncio.get_running_loop().time())

    def pour(self, body, sent, begin):
        if self.transport.is_closing():
            return
        self.transport.write(body[sent : sent + PIECE])
        sent += PIECE
        if sent < len(body):
            asyncio.get_running_loop().call_at(begin + sent / self.rate, self.pour, body, sent, begin)

    def listing(self, query):
        def get(name):
            return query.get(name, [""])[0]

        after, prefix = max(get("start-after"), get("continuation-token")), get("prefix")
        keys = [key for key in self.keys if key > after and key.startswith(prefix)]
        page = keys[:PAGE]
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(keys) > PAGE else ""
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>1</ETag>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        head = f"<Name>bench</Name><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f'<?xml version="1.0"?><ListBucketResult>{head}{more}{entries}</ListBucketResult>'.encode()


async def main():
    latency, rate = map(float, sys.argv[1:])
    objects = {}
    for line in iter(lambda: sys.stdin.readline().strip(), ""):
        count, path = line.split(" ", 1)
        body = Path(path).read_bytes()
        for number in range(int(count)):
            objects[f"{Path(path).stem}/{number:06}.parquet"] = body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Store(objects, latency, rate), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
