"""The objects of a run's directory in a store: what lies in which folder, and what may be removed."""

import re
from datetime import datetime
from typing import NamedTuple

from shardline._core import ObjectStore
from shardline.checkpoint.manifest import NAME

FOLDER = re.compile(r"step-\d+(\.\d+)?")
"""The names of folders that may be checkpoints."""
WRITERS = ".writers"
"""Beside them: who saves here."""
UPLOADS = ".uploads"
"""In one: the uploads that are under way."""
WRITER = "writer.json"
"""In one: who writes it."""
_DAY = 86_400


class Stored(NamedTuple):
    """An object as it is listed. `tag`: another one, and it is another content. `time`: seconds since 1970 or 0.0."""

    bytes: int
    tag: str
    time: float


Listing = dict[str, dict[str, Stored]]
"""The objects of every folder, by their names in it."""


class StoreObjects:
    """Looks at them, and removes them."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def place(self, name: str) -> str:
        """Its URL."""
        return f"{self.store.url.rstrip('/')}/{name}"

    def look(self, prefix: str = "") -> Listing:
        """All folders. What else lies there is left alone, whatever it is."""
        found: Listing = {}
        for key, size, tag, time in self.store.list(prefix):
            folder, _, name = key.partition("/")
            if FOLDER.fullmatch(folder) or folder == WRITERS:
                when = datetime.fromisoformat(time).timestamp() if time else 0.0
                found.setdefault(folder, {})[name] = Stored(size, tag, when)
        return found

    def folder(self, folder: str) -> dict[str, Stored]:
        """One folder."""
        return self.look(folder).get(folder, {})

    def sweep(self, objects: Listing, mine: str) -> None:
        """Removes what killed saves left, older than a day: by the newest thing that lies here, for clocks may be off.

        `mine`: the object of this process among `WRITERS`.
        """
        now = max((one.time for each in objects.values() for one in each.values()), default=0.0)
        for folder, each in list(objects.items()):
            old = all(0 < one.time < now - _DAY for one in each.values())
            if folder != WRITERS and NAME not in each and WRITER in each and old:
                self.take_apart(folder, list(each))
                del objects[folder]
        old_writers = [name for name, one in objects.get(WRITERS, {}).items() if 0 < one.time < now - _DAY]
        self.store.delete([f"{WRITERS}/{name}" for name in old_writers if name != mine])

    def take_apart(self, folder: str, names: list[str], *, is_over: bool = True) -> None:
        """Removes these objects of a folder: uploads are ended first, and what says whose it is goes last.

        `is_over`: nobody writes to it any more. Else that stays, and what names uploads too, for a later `sweep`.
        """
        for name in names:
            if name.startswith(f"{UPLOADS}/") and (upload := self.store.get(f"{folder}/{name}")) is not None:
                self.store.abort(f"{folder}/{name.removeprefix(f'{UPLOADS}/')}", upload.decode())
        needed = [name for name in names if name == WRITER or name.startswith(f"{UPLOADS}/")]
        self.store.delete([f"{folder}/{name}" for name in names if name not in needed])
        if is_over:
            self.store.delete([f"{folder}/{name}" for name in needed if name != WRITER])
            self.store.delete([f"{folder}/{name}" for name in needed if name == WRITER])
