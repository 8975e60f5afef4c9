"""A store as far away as a real one: every request takes so long, and every connection gives so many bytes a second.

`python benches/slow_store.py LATENCY BYTES_PER_SECOND [ALL_TOGETHER]` reads lines of `prefix count path` (that many
more objects of one file under a prefix) from standard input up to an empty line, then prints its port and serves S3's
listings and ranges, and plain HTTP.

A body's byte n is sent no sooner than the latency and n / rate after its request. With ALL_TOGETHER the connections
share a link of so many bytes a second, instead, and take turns on it. The kernel copies bodies from the
page cache (sendfile), so that the store takes little of the cores that its clients are measured on.
"""

import asyncio
import os
import socket
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PIECE = 128 << 10
PAGE = 1000
# What a client does not take in time is not made up for: no more than this is sent at once.
BURST = 4 * PIECE


class Link:
    """What all connections send through, piece after piece."""

    def __init__(self, rate):
        self.rate, self.free = rate, 0.0

    def reserve(self, now, length):
        """When the last of these bytes has left, if they are sent after all that was reserved before."""
        self.free = max(self.free, now) + length / self.rate
        return self.free


class Store(asyncio.Protocol):
    def __init__(self, objects, latency, rate, link=None):
        self.objects, self.latency, self.rate, self.link = objects, latency, rate, link
        self.keys = sorted(objects)
        self.buffer = b""

    def connection_made(self, transport):
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.socket = transport.get_extra_info("socket")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.answer(head, self.loop.time() + self.latency)

    def answer(self, head, begin):
        line, _, rest = head.decode("latin-1").partition("\r\n")
        method, target, _ = line.split(" ")
        parts = urlsplit(target)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if not key:
            return self.send(begin, "200 OK", "", self.listing(parse_qs(parts.query)))
        if key not in self.objects:
            return self.send(begin, "404 Not Found", "", b"")
        file, size = self.objects[key]
        extra = 'ETag: "1"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n'
        start, end, status = 0, size, "200 OK"
        at = rest.lower().find("range: bytes=")
        if at >= 0:
            first, _, last = rest[at + 13 :].partition("\r\n")[0].partition("-")
            start, end = (size - int(last), size) if not first else (int(first), min(int(last or size - 1) + 1, size))
            extra += f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
            status = "206 Partial Content"
        if method == "HEAD":
            return self.send(begin, status, extra, b"", size)
        if self.link:
            self.loop.call_at(begin, self.transport.write, self.head(status, extra, end - start))
            return self.loop.call_at(begin, self.share, file, start, end)
        if end - start <= PIECE:
            return self.send(begin, status, extra, os.pread(file, end - start, start))
        head = self.head(status, extra, end - start)
        self.loop.call_at(begin, self.transport.write, head)
        return self.loop.call_at(begin + PIECE / self.rate, self.pour, file, start, end, begin - start / self.rate)

    def head(self, status, extra, length):
        return f"HTTP/1.1 {status}\r\n{extra}Content-Length: {length}\r\n\r\n".encode()

    def send(self, begin, status, extra, body, length=None):
        head = self.head(status, extra, len(body) if length is None else length)
        self.loop.call_at(begin + len(body) / self.rate, self.transport.write, head + body)

    def pour(self, file, at, end, begin):
        """Sends what is due of the bytes from `at` to `end`: those that left at `begin + n / rate`."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        due = min(end, int((now - begin) * self.rate))
        if due - at > BURST:
            begin += (due - at - BURST) / self.rate
            due = at + BURST
        try:
            while at < due:
                at += os.sendfile(self.socket.fileno(), file, at, due - at)
        except BlockingIOError:
            self.loop.call_later(0.002, self.pour, file, at, end, begin)
            return
        except OSError:
            self.transport.abort()
            return
        if at < end:
            self.loop.call_at(begin + min(end, at + PIECE) / self.rate, self.pour, file, at, end, begin)

    def share(self, file, at, end):
        """Sends the bytes from `at` to `end` through the link."""
        until = min(end, at + PIECE)
        due = self.link.reserve(self.loop.time(), until - at)
        self.loop.call_at(due, self.give, file, at, until, end)

    def give(self, file, at, until, end):
        if self.transport.is_closing():
            return
        try:
            while at < until:
                at += os.sendfile(self.socket.fileno(), file, at, until - at)
        except BlockingIOError:
            self.loop.call_later(0.002, self.give, file, at, until, end)
            return
        except OSError:
            self.transport.abort()
            return
        if at < end:
            self.share(file, at, end)

    def listing(self, query):
        def get(name):
            return query.get(name, [""])[0]

        after, prefix = max(get("start-after"), get("continuation-token")), get("prefix")
        start = max(bisect_right(self.keys, after), bisect_left(self.keys, prefix))
        found = [key for key in self.keys[start : start + PAGE + 1] if key.startswith(prefix)]
        page = found[:PAGE]
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(found) > PAGE else ""
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>1</ETag>"
            f"<Size>{self.objects[key][1]}</Size></Contents>"
            for key in page
        )
        head = f"<Name>bench</Name><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f'<?xml version="1.0"?><ListBucketResult>{head}{more}{entries}</ListBucketResult>'.encode()


async def main():
    latency, rate, *together = map(float, sys.argv[1:])
    link = Link(*together) if together else None
    objects, counts = {}, Counter()
    for line in iter(lambda: sys.stdin.readline().strip(), ""):
        prefix, count, path = line.split(" ", 2)
        file = os.open(path, os.O_RDONLY), Path(path).stat().st_size
        for _ in range(int(count)):
            objects[f"{prefix}/{counts[prefix]:06}.parquet"] = file
            counts[prefix] += 1
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Store(objects, latency, rate, link), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
