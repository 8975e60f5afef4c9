"""Who saves under a prefix of a store: two that do are found out, and both named.

Every process that saves leaves an object there, numbered one higher than those before it. The one with the highest
number saves; one that finds a higher number than its own was replaced, says so and saves no more. So a job that was
started again goes on, and what is left of the job before it, cut off from its scheduler, harms nothing.
"""

import json
import logging
import os
import socket
import uuid
from collections.abc import Callable

from shardline._core import ObjectStore
from shardline.checkpoint.store_objects import WRITERS, Listing
from shardline.errors import CheckpointError

log = logging.getLogger("shardline")

_tokens: dict[int, str] = {}  # of this process; a fork is another one


class Writers:
    """The claim of this process. `name`: of its object; "" before the first save."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, str] = {}
        self.name = ""

    def claim(self, look: Callable[[], Listing]) -> Listing:
        """What lies there, when this process is the one that saves; CheckpointError where another one is."""
        if _process_of(self.name) == _token():
            objects = look()
            self.check(objects)
            return objects
        others = [key.partition("/")[2] for key, *_ in self._store.list(WRITERS)]
        number = max((_number(name) for name in others), default=0) + 1
        self.name = f"{number:08}-{_token()}.json"
        self._store.put(f"{WRITERS}/{self.name}", about_me())
        objects = look()
        self._known = {name: one.tag for name, one in objects.get(WRITERS, {}).items() if name in others}
        self.check(objects)
        return objects

    def check(self, objects: Listing) -> None:
        """CheckpointError where another process saves there in the place of this one; warns of one that wanted to."""
        claims = objects.get(WRITERS, {})
        newest = max(claims, default="")
        if newest > self.name and _process_of(newest) != _token():
            self._store.put(f"{WRITERS}/{self.name}", about_me(replaced=True))  # so that it hears of this one
            raise CheckpointError(
                f"two processes save to {self._store.url}: {_who(about_me())} (this one), and "
                f"{self._describe(newest)}, which began to later. This one saves there no more; give each run a "
                "directory of its own"
            )
        for name, one in claims.items():
            if _process_of(name) != _token() and self._known.get(name) != one.tag:
                self._known[name] = one.tag
                log.warning(
                    "%s tried to save a checkpoint to %s after %s (this one) had begun to: it was refused. Give each "
                    "run a directory of its own",
                    *(self._describe(name), self._store.url, _who(about_me())),
                )

    def _describe(self, name: str) -> str:
        try:
            return _who(self._store.get(f"{WRITERS}/{name}") or b"{}")
        except OSError:
            return "a process that cannot be named"


def about_me(**more: object) -> bytes:
    """Who this process is."""
    me = {"host": socket.gethostname(), "pid": os.getpid(), "process": _token(), **more}
    return json.dumps(me).encode()


def _who(text: bytes) -> str:
    try:
        known = json.loads(text)
        return f"process {int(known['pid'])} on {known['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _token() -> str:
    return _tokens.setdefault(os.getpid(), uuid.uuid4().hex)


def _process_of(name: str) -> str:
    return name.rpartition("-")[2].removesuffix(".json")


def _number(name: str) -> int:
    digits = name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0
