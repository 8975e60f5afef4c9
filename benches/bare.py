"""The least that can be done with a store: fetch ranges over so many connections, and look at nothing."""

import asyncio
import socket
from collections import deque
from urllib.parse import urlsplit


class Connection(asyncio.BufferedProtocol):
    """Asks for one range after another; `ranges` is shared by all connections."""

    def __init__(self, host, ranges, ended):
        self.host, self.ranges, self.ended = host, ranges, ended
        self.buffer = bytearray(1 << 20)
        self.head, self.missing = b"", None

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self.ask()

    def ask(self):
        if not self.ranges:
            self.transport.close()
            return
        path, start, end = self.ranges.popleft()
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nRange: bytes={start}-{end - 1}\r\n\r\n"
        self.missing = None
        self.transport.write(request.encode())

    def get_buffer(self, _):
        return self.buffer

    def buffer_updated(self, count):
        if self.missing is None:
            self.head += bytes(self.buffer[:count])
            head, found, rest = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 206 " in head, head
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.head, self.missing, count = b"", length, len(rest)
        self.missing -= count
        if self.missing == 0:
            self.ask()

    def connection_lost(self, error):
        self.ended.set_exception(error or EOFError("the store hung up")) if self.missing else self.ended.set_result(0)


async def _fetch(endpoint, ranges, connections):
    place, loop, ranges = urlsplit(endpoint), asyncio.get_running_loop(), deque(ranges)
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: Connection(place.netloc, ranges, end), place.hostname, place.port)
    await asyncio.gather(*ends)


def fetch(endpoint, ranges, connections):
    """Fetches ranges, each `(path, first byte, byte after the last)`."""
    asyncio.run(_fetch(endpoint, ranges, connections))
