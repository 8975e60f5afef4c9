"""Short messages between the caller and one worker, a descriptor of shared memory with some of them.

The other side's end closes the channel, however it ended.
"""

import marshal
import socket
import time
from contextlib import suppress
from typing import Any

_HEADER = 4
MAX_MESSAGE = 65_536
"""What does not fit goes into a block: a message must never wait for the other side to read."""


class Channel:
    """One end of a socket pair. Picklable while a process is being started, as its argument."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._data = bytearray()
        self._handles: list[int] = []

    @staticmethod
    def pair() -> "tuple[Channel, Channel]":
        """Both ends."""
        ours, theirs = socket.socketpair()
        return Channel(ours), Channel(theirs)

    def send(self, message: tuple[Any, ...], handle: int | None = None) -> None:
        """Sends plain values (what marshal takes); `handle` stays the sender's. OSError where nobody listens."""
        body = marshal.dumps(message)
        data = len(body).to_bytes(_HEADER, "little") + body
        if handle is None:
            self._end.sendall(data)
        else:
            sent = socket.send_fds(self._end, [data], [handle])
            self._end.sendall(data[sent:])

    def receive(self, timeout: float | None = None) -> tuple[tuple[Any, ...], list[int]]:
        """(message, descriptors that came with it, now the receiver's).

        TimeoutError after `timeout` seconds; EOFError where the other side is gone. Interrupted, it loses nothing.
        """
        self._end.settimeout(timeout)
        data = self._data
        self._fill(_HEADER)
        end = _HEADER + int.from_bytes(data[:_HEADER], "little")
        self._fill(end)
        message = marshal.loads(memoryview(data)[_HEADER:end])
        handles, self._handles = self._handles, []
        self._data = bytearray()
        return message, handles

    def _fill(self, size: int) -> None:
        """Never more than `size`: what comes behind belongs to the next message."""
        while len(self._data) < size:
            try:
                part, handles, _, _ = socket.recv_fds(self._end, size - len(self._data), 1)
            except ConnectionResetError:
                part, handles = b"", []
            self._handles += handles
            self._data += part
            if not part:
                raise EOFError("the other side of the channel is gone")

    def is_closed(self) -> bool:
        """Whether the other side is gone, and nothing that it sent is left to be received."""
        self._end.setblocking(False)
        try:
            return not self._end.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def finish(self) -> None:
        """Nothing more is sent: the other side reads an end, but may still send."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)

    def wait_closed(self, timeout: float) -> bool:
        """Whether the other side is gone within so many seconds; drops what it still sends."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self._end.settimeout(max(0.001, deadline - time.monotonic()))
                if not self._end.recv(MAX_MESSAGE):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Idempotent."""
        self._end.close()
